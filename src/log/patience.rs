//! How long a call waits.

use std::time::Duration;

use crate::error::Result;
use crate::io::Deadline;
use crate::log::follow::waits::{unbounded, within};
use crate::log::signal::Signal;

/// How long a call waits for something to come: it looks, and waits, and looks again. The look that begins when its time is over is
/// the last, however often the signal is raised meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    deadline: Deadline,
    is_over: bool,
}

impl Patience {
    pub(crate) fn new(wait: Duration) -> Self {
        Self { deadline: Deadline::after(wait), is_over: wait.is_zero() }
    }

    /// That of a task, which is asked again.
    pub(crate) fn of_a_task() -> Self {
        Self::new(Duration::ZERO)
    }

    /// Waits until the signal was raised since `seen`. False when the time is over and the caller has looked since.
    pub(crate) fn waits(&mut self, signal: &Signal, seen: u64) -> bool {
        self.waits_until(self.deadline, signal, seen)
    }

    /// A look that waits no longer than this time for a log that another process writes: nothing where that cannot be seen yet.
    pub(crate) fn bounds<T>(&self, look: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        within(self.deadline, look)
    }

    /// Calls a function of the program's in the middle of such a look: what that reads waits as long as it would elsewhere.
    pub(crate) fn call<T>(function: impl FnOnce() -> T) -> T {
        unbounded(function)
    }

    /// Whether its time is over.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.is_over |= self.deadline.has_passed();
        self.is_over
    }

    /// The same for one that has something to do at `due` besides.
    pub(crate) fn waits_until(&mut self, due: Deadline, signal: &Signal, seen: u64) -> bool {
        if self.is_over {
            return false;
        }
        let wake = self.deadline.min(due);
        let is_raised = signal.wait(seen, wake);
        if !is_raised && wake == self.deadline {
            self.is_over = true;
            return false;
        }
        self.is_over = self.deadline.has_passed();
        true
    }
}

#[cfg(all(test, not(annals_shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_call_whose_signal_is_raised_during_each_look_ends_when_its_time_is_over() {
        let (signal, mut patience) = (Signal::default(), Patience::new(Duration::from_millis(20)));
        let far = Deadline::after(Duration::from_secs(10));
        let mut looks = 0;
        loop {
            let seen = signal.raised();
            looks += 1;
            signal.raise();
            if !patience.waits(&signal, seen) {
                break;
            }
            assert!(!far.has_passed(), "it does not end");
        }
        assert!(looks > 1);
        let mut none = Patience::new(Duration::ZERO);
        signal.raise();
        assert!(!none.waits(&signal, 0), "one look");
        let mut long = Patience::new(Duration::MAX);
        assert!(
            long.waits_until(Deadline::after(Duration::ZERO), &signal, signal.raised()),
            "something is due"
        );
    }
}
