//! Calling what may panic: functions of the program, and whatever uses clocks and files of the program.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::error::{Error, Result};

/// Runs `work`; a panic in it is an error. The panic hook has printed it by then, as it does everywhere.
///
/// Nothing that `work` holds may be left half done by a panic: locks are given back by their guards, and what they guard
/// is changed by steps that are whole.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Error::Panicked { message: message(panic) }))
}

/// Does what is left to do when something is dropped. A panic in it goes on, but not where one is on its way through the thread already: a second
/// one would end the process.
pub(crate) fn in_drop(work: impl FnOnce()) {
    in_drop_each([work], |work| work());
}

/// The same in parts, also of what is no drop. One that panics keeps no other from being done: the first panic goes on when all are.
pub(crate) fn in_drop_each<T>(parts: impl IntoIterator<Item = T>, mut work: impl FnMut(T)) {
    let mut first = None;
    for part in parts {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(part))) else { continue };
        if first.is_none() && !std::thread::panicking() {
            first = Some(panic);
        } else {
            // Its drop is code of the program, too, and may panic again.
            std::mem::forget(panic);
        }
    }
    if let Some(panic) = first {
        resume_unwind(panic);
    }
}

/// Runs `work`. Where that panics `undo` is done to what it was at work on, and then the panic goes on.
pub(crate) fn undone_by_panic<S, T>(
    mut of: S,
    work: impl FnOnce(&mut S) -> T,
    undo: impl FnOnce(&mut S),
) -> T {
    match catch_unwind(AssertUnwindSafe(|| work(&mut of))) {
        Ok(done) => done,
        Err(panic) => {
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| undo(&mut of))) {
                // Its drop is code of the program, too, and may panic again.
                std::mem::forget(again);
            }
            resume_unwind(panic)
        }
    }
}

fn message(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| {
        // Its drop is code of the program, too, and may panic again.
        std::mem::forget(panic);
        "it did not say why".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsAgain;

    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic!("while it was dropped");
        }
    }

    #[test]
    fn every_kind_of_panic_is_an_error() {
        let said = |work: fn() -> Result<()>| caught(work).unwrap_err().to_string();
        assert!(said(|| panic!("no disk")).ends_with("no disk"));
        assert!(said(|| panic!("{} disks", 0)).ends_with("0 disks"));
        assert!(said(|| std::panic::panic_any(PanicsAgain)).ends_with("it did not say why"));
    }
}
