//! Free space.

#[cfg(unix)]
use std::io;

/// Bytes that an ordinary user may still write in the file system of an open directory.
#[cfg(unix)]
pub(super) fn available_space(dir: &std::fs::File) -> io::Result<Option<u64>> {
    use std::mem::MaybeUninit;
    use std::os::fd::AsRawFd;

    let mut stats = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `dir` keeps the descriptor open for the call; `stats` is room for exactly what fstatvfs fills.
    #[expect(unsafe_code, reason = "std does not tell free space")]
    let code = unsafe { libc::fstatvfs(dir.as_raw_fd(), stats.as_mut_ptr()) };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fstatvfs returned 0, so it has filled all of `stats`.
    #[expect(unsafe_code, reason = "std does not tell free space")]
    let stats = unsafe { stats.assume_init() };
    Ok(Some(wide(stats.f_bavail).saturating_mul(wide(stats.f_frsize))))
}

/// The fields have other widths on other systems.
#[cfg(unix)]
fn wide(count: impl Into<u64>) -> u64 {
    count.into()
}

/// True where blocks that were reserved for a file stay its own, also once they were written and read back: then storing
/// into them needs no space. Not so where every write goes to new blocks, or where another machine decides.
#[cfg(target_os = "linux")]
pub(super) fn keeps_reserved_blocks(file: &std::fs::File) -> io::Result<bool> {
    use std::mem::MaybeUninit;
    use std::os::fd::AsRawFd;

    /// From the kernel's `magic.h`.
    const XFS_SUPER_MAGIC: i64 = 0x5846_5342;
    let mut stats = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `stats` is room for exactly what fstatfs fills; `file` keeps the descriptor open for the call.
    #[expect(unsafe_code, reason = "std does not tell the file system")]
    let code = unsafe { libc::fstatfs(file.as_raw_fd(), stats.as_mut_ptr()) };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fstatfs returned 0, so it has filled all of `stats`.
    #[expect(unsafe_code, reason = "std does not tell the file system")]
    let stats = unsafe { stats.assume_init() };
    Ok([libc::EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, libc::TMPFS_MAGIC].contains(&stats.f_type))
}

#[cfg(all(test, unix))]
mod tests {
    #[test]
    #[expect(clippy::disallowed_methods, reason = "this is the seam behind which std::fs stands")]
    fn there_is_some() {
        let directory = std::fs::File::open(std::env::temp_dir()).unwrap();
        assert!(super::available_space(&directory).unwrap().unwrap() > 0);
    }
}
