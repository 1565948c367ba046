//! A clock that is read in a few nanoseconds and moves every few milliseconds.

/// A moment, as exact as the system's timer interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tick(i64, i64);

impl Tick {
    /// Another number in the next moment.
    pub(super) fn number(self) -> u64 {
        (self.0.unsigned_abs() << 30).wrapping_add(self.1.unsigned_abs()) | 1
    }
}

/// Now.
#[inline]
pub(super) fn tick() -> Tick {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime fills the struct it is given, which lives through the call. With a clock that exists it does
    // not fail; if it did, the struct would stay as it is.
    #[expect(unsafe_code, reason = "std has no coarse clock")]
    let _: libc::c_int = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    Tick(time.tv_sec, time.tv_nsec)
}
