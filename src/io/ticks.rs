//! A clock that is read in a few nanoseconds and moves every few milliseconds.

use super::cycles::cycles;

/// A moment of at most about four milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tick(u64);

impl Tick {
    /// Another number in the next moment; never 0.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// Cycles of a tick, as a power of two: four milliseconds where a cycle is a nanosecond, and fewer where it is shorter.
const TICK: u32 = 22;

/// Now.
#[inline]
pub(crate) fn tick() -> Tick {
    Tick(cycles().map_or_else(coarse, |cycles| cycles >> TICK) << 1 | 1)
}

/// As exact as the system's timer interrupts.
fn coarse() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime fills the struct it is given, which lives through the call. With a clock that exists it does
    // not fail; if it did, the struct would stay as it is.
    #[expect(unsafe_code, reason = "std has no coarse clock")]
    let _: libc::c_int = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    (time.tv_sec.unsigned_abs() << 30).wrapping_add(time.tv_nsec.unsigned_abs())
}
