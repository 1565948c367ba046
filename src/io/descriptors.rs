//! How many files a process may have open.

/// How many descriptors this process may have, as it is set now; `None` where nobody tells.
#[cfg(target_os = "linux")]
pub(crate) fn descriptor_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a place for what getrlimit writes, and outlives the call.
    #[expect(unsafe_code, reason = "std does not tell the limit")]
    let code = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    (code == 0).then_some(limit.rlim_cur)
}

/// How many descriptors this process may have, as it is set now; `None` where nobody tells.
#[cfg(not(target_os = "linux"))]
pub(crate) fn descriptor_limit() -> Option<u64> {
    None
}
