//! What becomes of a call that is chosen to fail.
#![expect(clippy::unwrap_used, reason = "a lock is poisoned after a test has failed")]
#![expect(clippy::panic, reason = "one of the faults is a panic")]

use std::io;
use std::sync::{Arc, Condvar, Mutex};

/// What happens to a call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It fails with that number of an error (`errno`) and does nothing.
    Error(i32),
    /// A write of so many bytes happens, and is reported as that.
    Short(usize),
    /// A write of so many bytes happens, and is reported as a failure.
    Torn(usize, i32),
    /// It waits until the gate is opened, then happens.
    Hold(Arc<Gate>),
    /// It panics, as a file system of a program's own may. What it says is [`PLANTED`].
    Panic,
    /// It waits until the gate is opened, then panics.
    HoldThenPanic(Arc<Gate>),
    /// It waits until the gate is opened, then fails and does nothing.
    HoldThenError(Arc<Gate>, i32),
}

/// What is said by a panic that was asked for: a panic hook may keep it quiet.
pub const PLANTED: &str = "a panic in the file system, on purpose";

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// The first call that matches, and no other.
    Once,
    /// That call and all after it.
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
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    open: bool,
    waiting: usize,
}

impl Gate {
    /// Lets go all callers that wait here, and all that come later.
    pub fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    /// Returns when a caller waits here.
    ///
    /// # Panics
    ///
    /// When no caller has come after twenty seconds.
    pub fn await_arrival(&self) {
        let state = self.state.lock().unwrap();
        let soon = std::time::Duration::from_secs(20);
        let (state, late) = self.changed.wait_timeout_while(state, soon, |state| state.waiting == 0).unwrap();
        drop(state);
        assert!(!late.timed_out(), "the call that was to be held was never made");
    }

    pub(crate) fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        // A test that failed meanwhile opens no gate, and closes its store on the way out.
        let most = std::time::Duration::from_secs(30);
        let (mut state, _) = self.changed.wait_timeout_while(state, most, |state| !state.open).unwrap();
        state.waiting -= 1;
    }
}
