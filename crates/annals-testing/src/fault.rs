//! What becomes of a call that is chosen to fail.
#![expect(clippy::unwrap_used, reason = "a lock is poisoned after a test has failed")]
#![expect(clippy::panic, reason = "one of the faults is a panic")]

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What happens to a call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It fails with that error number (`errno`) and does nothing.
    Error(i32),
    /// A write of so many bytes happens, and is reported as that. A call for the free space reports so much.
    Short(usize),
    /// A write of so many bytes happens, and is reported as a failure.
    Torn(usize, i32),
    /// It waits until the gate is opened, then happens.
    Hold(Arc<Gate>),
    /// It panics, as a file system of a program may. The message is [`PLANTED`].
    Panic,
    /// It waits until the gate is opened, then panics.
    HoldThenPanic(Arc<Gate>),
    /// It waits until the gate is opened, then fails and does nothing.
    HoldThenError(Arc<Gate>, i32),
}

/// The message of a panic that was asked for: a panic hook may silence it.
pub const PLANTED: &str = "a panic in the file system, on purpose";

/// How often a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// The first matching call, and no other.
    Once,
    /// The first matching call and all after it.
    ForEver,
}

impl Fault {
    /// Waits if it is that kind, and returns the error if it is one.
    pub(crate) fn strike(&self) -> io::Result<()> {
        match self {
            Self::Short(_) => Ok(()),
            Self::Error(errno) | Self::Torn(_, errno) => Err(io::Error::from_raw_os_error(*errno)),
            Self::Hold(gate) => {
                gate.pass();
                Ok(())
            }
            Self::Panic => panic!("{PLANTED}"),
            Self::HoldThenPanic(gate) => {
                gate.pass();
                panic!("{PLANTED}");
            }
            Self::HoldThenError(gate, errno) => {
                gate.pass();
                Err(io::Error::from_raw_os_error(*errno))
            }
        }
    }

    /// How many of `len` bytes a write that fails, or is to be short, writes.
    pub(crate) fn part_of_write(&self, len: usize) -> usize {
        match self {
            Self::Error(_) | Self::HoldThenError(..) => 0,
            _ => self.part(len),
        }
    }

    /// How much of `len` bytes goes through.
    pub(crate) fn part(&self, len: usize) -> usize {
        match self {
            Self::Short(n) | Self::Torn(n, _) => len.min(*n),
            _ => len,
        }
    }
}

/// A place where calls wait.
///
/// A call waits for thirty seconds at most, so that a test that failed in the meantime, and opens no gate, ends. If no test has failed,
/// the call panics then, and so does [`open`](Self::open).
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    open: bool,
    waiting: usize,
    /// A call did not wait any longer.
    was_given_up: bool,
}

impl Gate {
    /// Releases all callers that wait here, and all that come later.
    ///
    /// # Panics
    ///
    /// If a call has waited here for thirty seconds and continued: what should have happened in the meantime did not.
    pub fn open(&self) {
        let mut state = self.state.lock().unwrap();
        state.open = true;
        self.changed.notify_all();
        let was_given_up = state.was_given_up;
        drop(state);
        assert!(!was_given_up || std::thread::panicking(), "{GIVEN_UP}");
    }

    /// Returns how many callers wait here now.
    pub fn waiting(&self) -> usize {
        self.state.lock().unwrap().waiting
    }

    /// Waits until a caller waits here.
    ///
    /// # Panics
    ///
    /// If no caller has come after twenty seconds.
    pub fn await_arrival(&self) {
        let state = self.state.lock().unwrap();
        let soon = Duration::from_secs(20);
        let (state, late) = self.changed.wait_timeout_while(state, soon, |state| state.waiting == 0).unwrap();
        drop(state);
        assert!(!late.timed_out(), "the call that was to be held was never made");
    }

    pub(crate) fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        // A test that failed meanwhile opens no gate, and closes its store on the way out.
        let (mut state, late) =
            self.changed.wait_timeout_while(state, PATIENCE, |state| !state.open).unwrap();
        state.waiting -= 1;
        state.was_given_up |= late.timed_out();
        drop(state);
        assert!(!late.timed_out() || std::thread::panicking(), "{GIVEN_UP}");
    }
}

/// How long a call waits at a gate.
const PATIENCE: Duration = Duration::from_secs(30);
const GIVEN_UP: &str = "a call has waited thirty seconds at a gate that nobody opened";
