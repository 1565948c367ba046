//! Clocks that std does not have.

use std::time::Duration;

use crate::harness::Outcome;

/// Nanoseconds of a clock that all processes have in common.
pub(crate) fn nanos() -> Outcome<u64> {
    Ok(u64::try_from(read(libc::CLOCK_MONOTONIC)?.as_nanos())?)
}

/// What all threads of this process have had of the processors.
pub(crate) fn processor_time() -> Outcome<Duration> {
    read(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn read(clock: libc::clockid_t) -> Outcome<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes one timespec, which is there.
    let code = unsafe { libc::clock_gettime(clock, &raw mut time) };
    if code != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(Duration::new(u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?))
}
