//! Space for a file ahead of its writes.

use std::fs::File;
use std::io;

/// What a file got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allocated {
    /// Blocks of its own for every byte.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only here blocks can be reserved"))]
    Reserved,
    /// Its length, and blocks when they are written.
    Length,
}

/// Reserves blocks up to `len` and makes the file that long, so that later syncs have no length to write. Where the file
/// system cannot reserve, the file is only made longer.
#[cfg(target_os = "linux")]
pub(super) fn allocate(file: &File, len: u64) -> io::Result<Allocated> {
    use std::os::fd::AsRawFd;

    let len_i64 = i64::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    loop {
        // SAFETY: fallocate takes a descriptor and three integers and touches no memory of ours; `file` keeps the
        // descriptor open for the call.
        #[expect(unsafe_code, reason = "std has no fallocate")]
        let code = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len_i64) };
        if code == 0 {
            return Ok(Allocated::Reserved);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EOPNOTSUPP | libc::ENOSYS) => return extend(file, len).map(|()| Allocated::Length),
            _ => return Err(error),
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn allocate(file: &File, len: u64) -> io::Result<Allocated> {
    extend(file, len).map(|()| Allocated::Length)
}

fn extend(file: &File, len: u64) -> io::Result<()> {
    if file.metadata()?.len() < len { file.set_len(len) } else { Ok(()) }
}
