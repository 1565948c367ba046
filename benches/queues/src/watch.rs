//! How long something takes: by the clock, or by what all threads of the process have had of the processors.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::Outcome;

static IS_CPU: AtomicBool = AtomicBool::new(false);

pub(crate) fn count_processor_time(is_cpu: bool) {
    IS_CPU.store(is_cpu, Ordering::Relaxed);
}

/// Runs `work` and says how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(T, Duration)> {
    if !IS_CPU.load(Ordering::Relaxed) {
        return crate::harness::timed(work);
    }
    let before = processor_time()?;
    let done = work()?;
    Ok((done, processor_time()?.saturating_sub(before)))
}

fn processor_time() -> Outcome<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes one timespec, which is there.
    let code = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    if code != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(Duration::new(u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?))
}
