//! Ctrl-C: the first asks, the second ends.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::{Failure, Outcome};

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From here on the first SIGINT or SIGTERM sets a flag, and the second ends the process with the status of the first.
pub(crate) fn watch() -> Outcome {
    let asked = Arc::clone(ASKED.get_or_init(Arc::default));
    let failed = |source| Failure::System { what: "cannot watch for signals".to_owned(), source };
    // A limit on the size of files would end the process. With a handler the write fails instead, and says so.
    #[cfg(unix)]
    flag::register(signal_hook::consts::SIGXFSZ, Arc::default()).map_err(failed)?;
    for signal in [SIGINT, SIGTERM] {
        // In this order: the flag is looked at before it is set.
        flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))
            .and_then(|_| flag::register(signal, Arc::clone(&asked)))
            .map_err(failed)?;
    }
    Ok(())
}

/// Whether the user wants it to end.
pub(crate) fn is_asked() -> bool {
    ASKED.get().is_some_and(|asked| asked.load(Ordering::Relaxed))
}

/// An error when the user wants it to end.
pub(crate) fn check() -> Outcome {
    if is_asked() { Err(Failure::Interrupted) } else { Ok(()) }
}
