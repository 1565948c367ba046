//! A copy of the package in which bugs are planted and tests are run.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::catalogue::{Bug, Tests};

/// What came of a bug and a set of tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This test failed first.
    Caught(String),
    /// The tests did not end, or the process died.
    Stopped,
    Missed,
    /// That proves nothing.
    DoesNotBuild,
}

/// How long a set of tests may take before the bug is taken to have stopped it. Without a bug each is run first, and has
/// to end in that time.
const PATIENCE: Duration = Duration::from_secs(120);

/// The copy, and where it is built.
pub(crate) struct CopyOfSource {
    copy: PathBuf,
    target: PathBuf,
    /// Locked as long as this lives: of two runs in one copy each would find the bugs of the other.
    _lock: fs::File,
}

impl CopyOfSource {
    /// The copy stands where it stood the last time, and files that are as they were are left alone: what cargo built of them
    /// is good.
    pub(crate) fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let target = target.join("planted");
        let copy = target.join("source");
        fs::create_dir_all(&target).unwrap();
        let lock = fs::File::create(target.join("lock")).unwrap();
        lock.lock().unwrap();
        for part in [
            "Cargo.toml",
            "Cargo.lock",
            "clippy.toml",
            "README.md",
            "src",
            "crates",
            "tests",
            "examples",
            "benches",
            "docs",
            "fuzz/corpus",
        ] {
            copy_all(&root.join(part), &copy.join(part));
        }
        Self { copy, target, _lock: lock }
    }

    /// Plants `bug`, runs each of `tests`, and takes the bug out again.
    pub(crate) fn try_out(&self, bug: &Bug, tests: &[Tests]) -> Vec<Verdict> {
        let path = self.copy.join(bug.file);
        let good = fs::read_to_string(&path).unwrap();
        fs::write(&path, good.replacen(bug.good, bug.bad, 1)).unwrap();
        let verdicts = self.run_all(tests);
        fs::write(&path, good).unwrap();
        verdicts
    }

    /// One build for all of `tests`, then one after the other.
    pub(crate) fn run_all(&self, tests: &[Tests]) -> Vec<Verdict> {
        let Some(built) = self.build(tests) else { return vec![Verdict::DoesNotBuild; tests.len()] };
        tests.iter().map(|tests| self.run(&built, tests)).collect()
    }

    /// The paths of the test binaries.
    fn build(&self, tests: &[Tests]) -> Option<Vec<PathBuf>> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--no-run", "--message-format=json"]).current_dir(&self.copy);
        let binaries: BTreeSet<_> = tests.iter().map(|tests| tests.binary).collect();
        for binary in binaries {
            match binary {
                "lib" => cargo.arg("--lib"),
                name => cargo.args(["--test", name]),
            };
        }
        cargo.env("CARGO_TARGET_DIR", &self.target).env("CARGO_INCREMENTAL", "1");
        // Of the package alone: what it depends on is built as everywhere else.
        cargo.args(["--config", "profile.dev.package.annals.debug=false"]);
        cargo.args(["--config", "profile.dev.package.annals-tests.debug=false"]).stderr(Stdio::null());
        let output = cargo.output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let executable = |line: &str| {
            let (_, rest) = line.split_once("\"executable\":\"")?;
            Some(PathBuf::from(rest.split_once('"')?.0))
        };
        output.status.success().then(|| told.lines().filter_map(executable).collect())
    }

    fn run(&self, built: &[PathBuf], tests: &Tests) -> Verdict {
        let name = if tests.binary == "lib" { "annals" } else { tests.binary };
        let is_it = |path: &&PathBuf| {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            stem.rsplit_once('-').is_some_and(|(binary, _)| binary == name)
        };
        let mut command = Command::new(built.iter().find(is_it).unwrap());
        command.args(tests.filters).current_dir(&self.copy).stdout(Stdio::piped()).stderr(Stdio::null());
        // A part of what `cargo test` looks at: a bug that takes more to be seen is not caught well.
        command.env("ANNALS_CRASH_STATES", "10000").env("ANNALS_SWEEP_STRIDE", "17");
        let mut test = command.process_group(0).spawn().unwrap();
        let verdict = watch(&mut test);
        // The whole group: tests start processes too.
        let group = format!("-{}", test.id());
        Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status().unwrap();
        test.wait().unwrap();
        verdict
    }
}

/// Waits for the first failure, the end, or the end of patience.
fn watch(test: &mut Child) -> Verdict {
    let lines = lines_of(test);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if let Some(name) =
                    line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"))
                {
                    return Verdict::Caught(name.to_owned());
                }
            }
            Err(RecvTimeoutError::Timeout) => return Verdict::Stopped,
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if test.wait().unwrap().success() { Verdict::Missed } else { Verdict::Stopped }
}

fn lines_of(test: &mut Child) -> Receiver<String> {
    let (send, lines) = channel();
    let told = BufReader::new(test.stdout.take().unwrap());
    std::thread::spawn(move || {
        // Nobody listens any more after the first failure.
        told.lines().map_while(Result::ok).try_for_each(|line| send.send(line)).ok();
    });
    lines
}

fn copy_all(from: &Path, to: &Path) {
    if !from.is_dir() {
        let bytes = fs::read(from).unwrap();
        if fs::read(to).ok().as_ref() != Some(&bytes) {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, bytes).unwrap();
        }
        return;
    }
    remove_others(from, to);
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "target" {
            copy_all(&entry.path(), &to.join(entry.file_name()));
        }
    }
}

/// What is gone from the package, or is of another kind there.
fn remove_others(from: &Path, to: &Path) {
    for entry in fs::read_dir(to).into_iter().flatten() {
        let entry = entry.unwrap();
        let (there, here) = (from.join(entry.file_name()), entry.path());
        match here.is_dir() {
            true if !there.is_dir() => fs::remove_dir_all(here).unwrap(),
            false if !there.is_file() => fs::remove_file(here).unwrap(),
            _ => {}
        }
    }
}
