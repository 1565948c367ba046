//! A broker, and the mirror's process.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use annals_kafka_tests::cluster::Cluster;
use annals_kafka_tests::java::Java;
use tempfile::TempDir;

static ONE: Mutex<()> = Mutex::new(());

/// A cluster of one broker, and a directory beside it.
pub(crate) struct Broker {
    pub(crate) cluster: Cluster,
    pub(crate) dir: TempDir,
    /// One broker at a time.
    _one: MutexGuard<'static, ()>,
}

impl Broker {
    /// Nothing where there is no Java.
    pub(crate) fn start() -> Option<Self> {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let java = match Java::prepare().expect("preparing Java") {
            Ok(java) => java,
            Err(reason) => {
                eprintln!("SKIPPED: no Java, no Maven, or no way to fetch Kafka: {reason}");
                return None;
            }
        };
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::create(&java, dir.path(), 1).unwrap().with_heap(256);
        cluster.start().unwrap();
        Some(Self { cluster, dir, _one: one })
    }

    pub(crate) fn servers(&self) -> String {
        self.cluster.servers()
    }
}

/// The command, with its output in a file.
pub(crate) fn mirror(way: &str, store: &Path, servers: &str, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_annals-mirror"));
    command.arg(way).arg("--store").arg(store).args(["--servers", servers]).args(words);
    command.stdin(Stdio::null());
    command
}

/// Runs it to its end, which must be a good one.
pub(crate) fn run(mut command: Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A process that ends with its owner.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn spawn(mut command: Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// Ends it as a power switch would.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}
