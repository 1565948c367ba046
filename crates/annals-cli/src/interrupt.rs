//! Ctrl-C: the first asks, the second ends.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::{Failure, Outcome};

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From here on the first SIGINT or SIGTERM sets a flag, and the second ends the process with the status of the first. A limit of the
/// size of files is an error of a write.
pub(crate) fn watch() -> Outcome {
    let asked = Arc::clone(ASKED.get_or_init(Arc::default));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the flag is looked at before it is set.
        flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))
            .and_then(|_| flag::register(signal, Arc::clone(&asked)))
            .map_err(cannot_watch)?;
    }
    outlive_limit_of_files()
}

/// A file at the limit of its size would end the process in the middle: with somebody to take the signal the write fails, and says that
/// there is no room.
#[cfg(unix)]
fn outlive_limit_of_files() -> Outcome {
    let nobody_asks = Arc::default();
    flag::register(signal_hook::consts::SIGXFSZ, nobody_asks).map(drop).map_err(cannot_watch)
}

#[cfg(not(unix))]
fn outlive_limit_of_files() -> Outcome {
    Ok(())
}

fn cannot_watch(source: std::io::Error) -> Failure {
    Failure::System { what: "cannot watch for signals".to_owned(), source }
}

/// Whether the user wants it to end.
pub(crate) fn is_asked() -> bool {
    ASKED.get().is_some_and(|asked| asked.load(Ordering::Relaxed))
}

/// An error when the user wants it to end.
pub(crate) fn check() -> Outcome {
    if is_asked() { Err(Failure::Interrupted) } else { Ok(()) }
}
