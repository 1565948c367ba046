//! A copy of the package in which bugs are planted and tests are run.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::catalogue::Bug;

/// What came of a bug and a set of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The tests failed, or did not end.
    Caught,
    Missed,
    /// That proves nothing.
    DoesNotBuild,
}

/// How long a set of tests may take before the bug is taken to have stopped it.
const PATIENCE: Duration = Duration::from_secs(300);

/// The copy, and where it is built.
pub(crate) struct Workshop {
    copy: tempfile::TempDir,
    target: PathBuf,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let copy = tempfile::tempdir().unwrap();
        for part in [
            "Cargo.toml",
            "Cargo.lock",
            "clippy.toml",
            "README.md",
            "src",
            "tests",
            "examples",
            "benches",
            "docs",
            "fuzz/corpus",
        ] {
            copy_all(&root.join(part), &copy.path().join(part));
        }
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        Self { copy, target: target.join("planted") }
    }

    /// Plants `bug`, runs `tests`, and takes the bug out again.
    pub(crate) fn try_out(&self, bug: &Bug, tests: &[&str]) -> Verdict {
        let path = self.copy.path().join(bug.file);
        let good = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, good.replacen(bug.good, bug.bad, 1)).unwrap();
        let verdict = self.run(tests);
        std::fs::write(&path, good).unwrap();
        verdict
    }

    fn run(&self, tests: &[&str]) -> Verdict {
        let (selected, filters): (Vec<_>, Vec<_>) = match tests.iter().position(|word| *word == "--") {
            Some(at) => (tests[..at].to_vec(), tests[at..].to_vec()),
            None => (tests.to_vec(), Vec::new()),
        };
        let mut build = self.cargo();
        build.args(&selected).arg("--no-run");
        if !build.status().unwrap().success() {
            return Verdict::DoesNotBuild;
        }
        let mut test = self.cargo().args(&selected).args(&filters).process_group(0).spawn().unwrap();
        let started = Instant::now();
        loop {
            match test.try_wait().unwrap() {
                Some(status) if status.success() => return Verdict::Missed,
                Some(_) => return Verdict::Caught,
                None if started.elapsed() > PATIENCE => {
                    // The whole group: the tests run in a child of cargo.
                    let group = format!("-{}", test.id());
                    Command::new("kill").args(["-9", "--", &group]).status().unwrap();
                    test.wait().unwrap();
                    return Verdict::Caught;
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn cargo(&self) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.arg("test").arg("--quiet").current_dir(self.copy.path()).env("CARGO_TARGET_DIR", &self.target);
        // Warnings about code that a bug made dead are no news.
        cargo.env("RUSTFLAGS", "-Awarnings").stdout(Stdio::null()).stderr(Stdio::null());
        cargo
    }
}

fn copy_all(from: &Path, to: &Path) {
    if !from.is_dir() {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
        return;
    }
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "target" {
            copy_all(&entry.path(), &to.join(entry.file_name()));
        }
    }
}
