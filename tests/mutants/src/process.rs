//! One run of a test program: bounded in time and memory, in a directory of its own, and ended as soon as a test has failed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::compile::Program;

/// Private memory of one process, in bytes: a length that a mutant makes huge must not take the machine with it.
const MAX_MEMORY: u64 = 4 << 30;
/// A file's length, in bytes. Tests place records behind two gigabytes.
const MAX_FILE: u64 = 16 << 30;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Passed,
    /// The name of the test, or what the process died of.
    Failed(String),
    TimedOut,
}

/// Where test programs run.
pub struct Runner {
    /// The crate's root: tests read files there.
    pub directory: PathBuf,
    /// Holds a temporary directory for each run.
    pub scratch: PathBuf,
    next: AtomicUsize,
}

impl Runner {
    pub fn new(directory: PathBuf, scratch: PathBuf) -> Self {
        Self { directory, scratch, next: AtomicUsize::new(0) }
    }

    /// Runs these tests of `program` with `variable` set, for at most `limit`.
    pub fn run(
        &self,
        program: &Program,
        tests: &[&str],
        variable: (&str, &str),
        limit: Duration,
    ) -> Result<End> {
        let temporary = self.scratch.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir_all(&temporary)?;
        let mut command = Command::new("prlimit");
        command.arg(format!("--data={MAX_MEMORY}")).arg(format!("--fsize={MAX_FILE}")).arg("--core=0");
        command.arg(&program.path).arg("--exact").args(tests);
        // A test that hangs does not keep the others from failing.
        command.args(["--test-threads", "4"]).env("TMPDIR", &temporary).env(variable.0, variable.1);
        command.env("CARGO_MANIFEST_DIR", &self.directory).current_dir(&self.directory);
        // A tenth of what `cargo test` looks at: what takes more to be noticed is not noticed well.
        command.env("ANNALS_CRASH_STATES", "10000").env("ANNALS_SWEEP_STRIDE", "17");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().map_err(|e| format!("prlimit (of util-linux): {e}"))?;
        let end = follow(&mut child, limit);
        kill_group(&child);
        let status = child.wait()?;
        remove(&temporary);
        Ok(match end {
            Some(end) => end,
            None => judge(status),
        })
    }
}

/// Reads what the tests print until one fails, time is up, or nothing more comes.
fn follow(child: &mut Child, limit: Duration) -> Option<End> {
    let (send, lines) = channel();
    let stdout = child.stdout.take()?;
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(std::result::Result::ok) {
            if send.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    let until = Instant::now() + limit;
    loop {
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if let Some(name) =
                    line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
                {
                    return Some(End::Failed(name.to_owned()));
                }
                if line.starts_with("test result: ok") {
                    return Some(End::Passed);
                }
            }
            Err(RecvTimeoutError::Timeout) => return Some(End::TimedOut),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// The end of a program that printed none.
fn judge(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(0), _) => End::Passed,
        (_, Some(signal)) => End::Failed(format!("signal {signal}")),
        (code, None) => End::Failed(format!("exit code {}", code.unwrap_or(-1))),
    }
}

/// Ends the program and all it started.
fn kill_group(child: &Child) {
    let group = format!("-{}", child.id());
    let ended = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    if let Err(error) = ended {
        eprintln!("kill: {error}");
    }
}

/// Removes a run's directory, of which a test may have taken rights.
fn remove(directory: &Path) {
    if fs::remove_dir_all(directory).is_err() {
        let opened = Command::new("chmod").args(["-R", "u+rwx"]).arg(directory).status();
        if let Err(error) = opened.and_then(|_| fs::remove_dir_all(directory)) {
            eprintln!("{}: {error}", directory.display());
        }
    }
}
