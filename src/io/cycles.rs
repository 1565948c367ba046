//! The processor's cycle counter: a few nanoseconds where a clock takes some dozens.

/// Cycles since some moment, the same for all threads; at least one for each nanosecond. `None` where there is no such
/// counter.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
pub(super) fn cycles() -> Option<u64> {
    // SAFETY: reads a register that every x86-64 processor lets user programs read, or that its system reads for them; it
    // touches no memory.
    #[expect(unsafe_code, reason = "std has no cycle counter")]
    let cycles = unsafe { core::arch::x86_64::_rdtsc() };
    Some(cycles)
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[inline]
pub(super) fn cycles() -> Option<u64> {
    None
}
