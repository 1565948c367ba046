//! How long a look waits for an owner that does not show what is looked for.

use std::cell::Cell;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::io::{Deadline, pause};
use crate::log::follow::follow::{Follow, Look};
use crate::log::log::Log;

/// How long a look waits for an owner that is about to open the store, and how long it tries again what has failed.
pub(super) const LONGEST_LOOK: Duration = Duration::from_secs(10);
const LONGEST_FAILURE: Duration = Duration::from_millis(100);
/// Whoever has less time than that waits so long all the same: most owners are only in the middle of a change.
const SHORTEST_LOOK: Duration = Duration::from_millis(20);
/// How long it is until the next look, and from so many on.
const BETWEEN_LOOKS: Duration = Duration::from_micros(200);
const BETWEEN_LATER_LOOKS: Duration = Duration::from_millis(1);
const MANY_LOOKS: u32 = 100;

/// What a look does, in its errors.
const FOLLOW: &str = "follow";

thread_local! {
    /// Until when a call of this thread may take.
    static CALL: Cell<Option<Deadline>> = const { Cell::new(None) };
}

/// Ends the time of a call with it.
struct Call(Option<Deadline>);

impl Drop for Call {
    fn drop(&mut self) {
        CALL.set(self.0);
    }
}

/// Does what looks at logs that another process writes, and waits for that no longer than until then, for all of them together: nothing where
/// it cannot be seen yet.
pub(crate) fn within<T>(deadline: Deadline, act: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    let deadline = deadline.max(Deadline::after(SHORTEST_LOOK));
    let _call = Call(CALL.replace(Some(deadline)));
    match act() {
        Err(error) if is_out_of_time(&error) => Ok(None),
        done => done.map(Some),
    }
}

/// Whether a look had no more time. That is of its call alone: whoever keeps failures for a later call keeps none of these.
pub(crate) fn is_out_of_time(error: &Error) -> bool {
    matches!(error, Error::Io { operation: FOLLOW, source, .. } if source.kind() == ErrorKind::WouldBlock)
}

/// Until when the call may take that this thread is in the middle of, if it has a time of its own that ends by then.
pub(crate) fn call_ends_by(latest: Deadline) -> Option<Deadline> {
    CALL.get().filter(|call| *call <= latest)
}

/// What is said of a file in the way of a call that has no more time.
pub(crate) fn out_of_time(path: &Path, why: &str) -> Error {
    Error::io(path, FOLLOW, std::io::Error::new(ErrorKind::WouldBlock, why))
}

/// Does what a program has asked to be called for in the middle of such a call: that has no limit of its own.
pub(crate) fn unbounded<T>(act: impl FnOnce() -> T) -> T {
    let _call = Call(CALL.replace(None));
    act()
}

/// The times at which a look is to end.
struct Ends {
    /// What has failed is tried again until then.
    failing: Deadline,
    look: Deadline,
    /// The call that looks may take no longer.
    call: Option<Deadline>,
    looks: u32,
    /// Whoever is about to go on does so by then.
    shortest: Deadline,
}

impl Ends {
    fn new() -> Self {
        let call = CALL.get();
        let (failing, look) = (Deadline::after(LONGEST_FAILURE), Deadline::after(LONGEST_LOOK));
        Self { failing, look, call, looks: 0, shortest: failing }
    }
}

impl Log {
    /// The same, whatever becomes of transactions that nobody has judged. It calls no layer above for that.
    #[cold]
    pub(super) fn look_at(&self, follow: &Follow) -> Result<()> {
        self.check_open()?;
        let mut last = self.look_once(follow, &mut follow.known.lock());
        if matches!(last, Ok(Look::Done)) {
            return Ok(());
        }
        let mut ends = Ends::new();
        loop {
            match &last {
                Ok(Look::Done) => return Ok(()),
                Ok(Look::Again) => {
                    self.check_waits(follow, &ends)?;
                    ends.failing = Deadline::after(LONGEST_FAILURE);
                }
                Err(error) if ends.failing.has_passed() => return Err(error.clone()),
                Err(_) => {}
            }
            ends.looks += 1;
            // Under no lock: others wait until their own time is over.
            pause(if ends.looks < MANY_LOOKS { BETWEEN_LOOKS } else { BETWEEN_LATER_LOOKS });
            // It may have been deleted.
            (follow.topics)()?;
            self.check_open()?;
            last = self.look_once(follow, &mut follow.known.lock());
        }
    }

    /// An error where it was waited for long enough.
    fn check_waits(&self, follow: &Follow, ends: &Ends) -> Result<()> {
        const NOT_YET: &str = "the process that has the store open does not show it yet";
        let path = self.directory.path();
        // It is bounded by its own time, however long others have waited, and hands out nothing then.
        if let Some(call) = ends.call.filter(|call| *call <= ends.look) {
            return if call.has_passed() { Err(out_of_time(path, NOT_YET)) } else { Ok(()) };
        }
        // All who wait for an owner wait together: it may stand there for ever, in its open or in a change, and who comes later knows that.
        let together = match follow.guest.opening_until(LONGEST_LOOK) {
            Some(until) => until,
            None => follow.standing_until(LONGEST_LOOK).max(ends.shortest),
        };
        if ends.look.min(together).has_passed() {
            let why = "the process that has the store open does not show it";
            return Err(Error::io(path, FOLLOW, std::io::Error::new(ErrorKind::TimedOut, why)));
        }
        Ok(())
    }
}
