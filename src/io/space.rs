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

#[cfg(all(test, unix))]
mod tests {
    #[test]
    fn there_is_some() {
        let available = super::available_space(&std::env::temp_dir()).unwrap();
        assert!(available.unwrap() > 0);
        assert!(super::available_space(std::path::Path::new("/nowhere/at/all")).is_err());
    }
}
