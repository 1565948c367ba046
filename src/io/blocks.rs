//! Files that share their blocks.

use std::fs::File;
use std::io;

/// Makes `target`, which is empty, share the blocks of `source`. `Unsupported` where the file system has no such thing.
#[cfg(target_os = "linux")]
pub(super) fn share_blocks(source: &File, target: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    // SAFETY: FICLONE takes two descriptors and touches no memory of ours; both files stay open for the call.
    #[expect(unsafe_code, reason = "std has no reflinks")]
    let code = unsafe { libc::ioctl(target.as_raw_fd(), libc::FICLONE, source.as_raw_fd()) };
    if code == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Which of these a file system without reflinks answers differs from one to the other.
        Some(libc::ENOTTY | libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        _ => Err(error),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn share_blocks(_source: &File, _target: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
