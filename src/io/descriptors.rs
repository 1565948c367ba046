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

/// The most that one store may hold of them for long, whatever it was allowed: a quarter is for what it opens for moments and for
/// the program around it, 64 where that is less.
pub(crate) fn most_held(limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return usize::MAX };
    let held = limit.saturating_sub((limit / 4).max(64)).max(limit / 4);
    usize::try_from(held).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::most_held;

    #[test]
    fn some_are_left_for_the_program() {
        let held = |limit| most_held(Some(limit));
        assert_eq!([held(1024), held(256), held(150), held(64)], [768, 192, 86, 16]);
        assert_eq!([most_held(None), most_held(Some(u64::MAX))].map(|held| held > 1 << 60), [true; 2]);
    }
}
