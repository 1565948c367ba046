//! `mirror`: a program of its own, since it has a Kafka client in it, which this one is built without.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};

const PROGRAM: &str = "annals-mirror";

/// Carry topics to a Kafka cluster (`out`) or from one (`in`), each record once. Runs `annals-mirror`, which is installed by itself
///
/// What stands behind `mirror` is given to `annals-mirror` as it is, and --store, where it stands before `mirror`, as ANNALS_STORE. That program is looked for beside this
/// one, then where PATH says. `annals mirror out --help` has its options, and its exit status is that of the verb.
///
/// Example: annals mirror out --servers 127.0.0.1:9092 --topic orders --once
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// `out` or `in`, and options of `annals-mirror`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "WORD")]
    words: Vec<OsString>,
}

pub(crate) fn run(options: &Options, arguments: &Arguments) -> Outcome {
    let mut command = Command::new(program());
    command.args(&options.words);
    if let Some(store) = &arguments.store {
        command.env("ANNALS_STORE", store);
    }
    Err(become_it(command))
}

/// Beside this program, where both were installed to, or else what the system finds.
fn program() -> PathBuf {
    let name = format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().map(|this| this.with_file_name(&name));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(PROGRAM))
}

/// It takes the place of this process, so that signals and the status are its own.
#[cfg(unix)]
fn become_it(mut command: Command) -> Failure {
    use std::os::unix::process::CommandExt as _;
    not_started(command.exec())
}

#[cfg(not(unix))]
fn become_it(mut command: Command) -> Failure {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => not_started(error),
    }
}

fn not_started(source: io::Error) -> Failure {
    if source.kind() != io::ErrorKind::NotFound {
        return Failure::System { what: format!("cannot run {PROGRAM}"), source };
    }
    Failure::Missing(format!(
        "{PROGRAM} is neither beside this program nor where PATH says: it is a program of its own, with a Kafka client in it; \
         `cargo install --path crates/annals-mirror` builds it"
    ))
}
