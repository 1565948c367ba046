//! A process of this binary that opens a store, and what it says until somebody stops listening.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Outcome;
use crate::common::{now, spawn};
use crate::content::Seen;
use crate::report::{READY, State, Told};

pub(crate) struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reading: Option<JoinHandle<()>>,
    errors: Option<JoinHandle<String>>,
}

/// What it has said and how it ended.
pub(crate) struct End {
    /// Nothing if it did not get so far.
    pub(crate) found: Option<State>,
    pub(crate) told: Told,
    pub(crate) status: ExitStatus,
    pub(crate) errors: String,
}

/// What it has said, line by line.
pub(crate) struct Words {
    pub(crate) lines: Vec<String>,
    /// So many of them were heard before the end was near.
    pub(crate) counted: usize,
    pub(crate) status: ExitStatus,
    pub(crate) errors: String,
}

/// This binary with these words.
pub(crate) fn this(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(words);
    command
}

/// A life in a store: `kind` is a function of `life.rs`.
pub(crate) fn life(kind: &str, dir: &Path, life: u64) -> Command {
    this(&[kind, dir.to_str().expect("a path of text"), &life.to_string()])
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Outcome<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (mut out, into) = (BufReader::new(child.stdout.take().expect("its output")), Arc::clone(&lines));
        let reading = spawn(move || {
            let mut line = String::new();
            // A line without an end was cut off by the kill.
            while out.read_line(&mut line).is_ok_and(|bytes| bytes > 0) && line.ends_with('\n') {
                into.lock().expect("the lines").push(line.trim_end().to_owned());
                line.clear();
            }
        });
        let mut err = child.stderr.take().expect("its errors");
        let errors = spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap_or_default();
            text
        });
        Ok(Self { child, lines, reading: Some(reading), errors: Some(errors) })
    }

    /// How many lines were heard.
    pub(crate) fn heard(&self) -> usize {
        self.lines.lock().expect("the lines").len()
    }

    /// Waits for a line that is just this, or for the end of the process.
    pub(crate) fn await_line(&mut self, wanted: &str) -> Outcome {
        let started = now();
        while started.elapsed() < Duration::from_secs(60) {
            let is_there = self.lines.lock().expect("the lines").iter().any(|line| line == wanted);
            if is_there || self.has_ended()? {
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Err(format!("no {wanted} in a minute"))
    }

    pub(crate) fn has_ended(&mut self) -> Outcome<bool> {
        Ok(self.child.try_wait().map_err(|error| error.to_string())?.is_some())
    }

    /// Gives it a line to go on.
    pub(crate) fn go_on(&mut self) -> Outcome {
        let mut input = self.child.stdin.take().expect("its input");
        input.write_all(b"on\n").map_err(|error| error.to_string())
    }

    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
    }

    /// Waits for its end. Of what it said it did, only the first `counted` lines count.
    pub(crate) fn end(self, counted: usize) -> Outcome<End> {
        let Words { lines, status, errors, .. } = self.words(counted)?;
        let Some(ready) = lines.iter().position(|line| line == READY) else {
            return Ok(End { found: None, told: Told::default(), status, errors });
        };
        let found = State::of(&lines[..ready])?;
        // The disk died while it looked, so it did nothing behind that either.
        let is_cut_off = ready >= counted && found.wrong.iter().any(|wrong| wrong.contains("(os error"));
        let found = (!is_cut_off).then_some(found);
        let (done, late) = lines[ready + 1..].split_at(counted.clamp(ready + 1, lines.len()) - ready - 1);
        // What was begun may have happened, whenever it was said.
        let done = done.iter().chain(late.iter().filter(|line| line.starts_with(['c', 'k', 'x'])));
        let marks = ["WORKING", "TEN", "END"];
        let done: Vec<String> = done.filter(|line| !marks.contains(&line.as_str())).cloned().collect();
        let mut told = Told::of(&done)?;
        told.late = late.iter().filter_map(|line| Seen::acknowledged(line)).collect();
        Ok(End { found, told, status, errors })
    }

    /// Waits for its end; returns what it has said, and how much of that counts.
    pub(crate) fn words(mut self, counted: usize) -> Outcome<Words> {
        drop(self.child.stdin.take());
        let status = self.child.wait().map_err(|error| error.to_string())?;
        self.reading.take().expect("once").join().map_err(|_| "the reader of its lines died")?;
        let errors = self.errors.take().expect("once").join().map_err(|_| "the reader of its errors died")?;
        if errors.contains("panicked") {
            return Err(format!("it panicked: {errors}"));
        }
        let lines = std::mem::take(&mut *self.lines.lock().expect("the lines"));
        Ok(Words { lines, counted, status, errors })
    }
}
