//! A virtual machine in which Kafka's own classes look at directories.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::Value;

use crate::Answer;
use crate::java::Java;

/// Answers a line with a line.
#[derive(Debug)]
pub struct Judge {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Judge {
    pub fn start(java: &Java) -> Answer<Self> {
        let mut command = java.command(384, "judge.Main");
        let mut process = command.arg("logs").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let questions = process.stdin.take().ok_or("no input")?;
        let answers = BufReader::new(process.stdout.take().ok_or("no output")?);
        Ok(Self { process, questions, answers })
    }

    /// What Kafka says of a partition's directory, which it then owns; `what` is explained in `Logs.java`.
    pub fn ask(
        &mut self,
        dir: &Path,
        what: &str,
        start: i64,
        index_interval: usize,
        times: &[i64],
    ) -> Answer<Value> {
        let mut list = String::new();
        for time in times {
            write!(list, "{time},")?;
        }
        writeln!(self.questions, "{}\t{what}\t{start}\t{index_interval}\t{list}", dir.display())?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("a judge may still run: {error}");
        }
    }
}
