//! Free space.

use std::io;
use std::path::Path;

/// Bytes that an ordinary user may still write in the file system of `dir`.
#[cfg(unix)]
pub(super) fn available_space(dir: &Path) -> io::Result<Option<u64>> {
    use std::ffi::CString;
    use std::mem::MaybeUninit;
    use std::os::unix::ffi::OsStrExt;

    let path = CString::new(dir.as_os_str().as_bytes())?;
    let mut stats = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends with a zero byte and lives through the call; `stats` is room for exactly what statvfs fills.
    #[expect(unsafe_code, reason = "std does not tell free space")]
    let code = unsafe { libc::statvfs(path.as_ptr(), stats.as_mut_ptr()) };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: statvfs returned 0, so it has filled all of `stats`.
    #[expect(unsafe_code, reason = "std does not tell free space")]
    let stats = unsafe { stats.assume_init() };
    Ok(Some(wide(stats.f_bavail).saturating_mul(wide(stats.f_frsize))))
}

/// The fields have other widths on other systems.
#[cfg(unix)]
fn wide(count: impl Into<u64>) -> u64 {
    count.into()
}

#[cfg(not(unix))]
pub(super) fn available_space(_dir: &Path) -> io::Result<Option<u64>> {
    Ok(None)
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
    fn there_is_some() {
        let available = super::available_space(&std::env::temp_dir()).unwrap();
        assert!(available.unwrap() > 0);
        assert!(super::available_space(std::path::Path::new("/nowhere/at/all")).is_err());
    }
}
