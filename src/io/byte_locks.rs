//! Locks of single bytes of a file, which belong to the open file and not to the process (`F_OFD_SETLK`): another descriptor that
//! the process closes does not give them back, and the system does when it dies.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

fn of_byte(at: u64, kind: libc::c_int) -> io::Result<libc::flock> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    // SAFETY: the struct holds numbers alone, for which zero is a value.
    #[expect(unsafe_code, reason = "its padding differs between machines")]
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::c_short::try_from(kind).map_err(invalid)?;
    lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).map_err(invalid)?;
    lock.l_start = libc::off_t::try_from(at).map_err(invalid)?;
    lock.l_len = 1;
    Ok(lock)
}

fn call(file: &File, command: libc::c_int, lock: &mut libc::flock) -> io::Result<()> {
    // SAFETY: the file keeps the descriptor open for the call, and the struct is what these commands take and fill.
    #[expect(unsafe_code, reason = "std locks whole files alone")]
    let code = unsafe { libc::fcntl(file.as_raw_fd(), command, lock as *mut libc::flock) };
    if code == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes the lock of a byte, without waiting; false when another open file has it.
pub(super) fn try_lock(file: &File, at: u64) -> io::Result<bool> {
    match call(file, libc::F_OFD_SETLK, &mut of_byte(at, libc::F_WRLCK)?) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives it back.
pub(super) fn unlock(file: &File, at: u64) -> io::Result<()> {
    call(file, libc::F_OFD_SETLK, &mut of_byte(at, libc::F_UNLCK)?)
}

/// Whether another open file has it. Takes nothing.
pub(super) fn is_locked(file: &File, at: u64) -> io::Result<bool> {
    let mut lock = of_byte(at, libc::F_WRLCK)?;
    call(file, libc::F_OFD_GETLK, &mut lock)?;
    Ok(libc::c_int::from(lock.l_type) != libc::F_UNLCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "this is the seam behind which std::fs stands")]
    fn a_byte_is_one_open_files_at_a_time_and_no_other_descriptor_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locks");
        let open =
            || File::options().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
        let (one, other) = (open(), open());
        assert!(try_lock(&one, 7).unwrap() && try_lock(&one, 7).unwrap());
        assert!(!try_lock(&other, 7).unwrap() && try_lock(&other, 8).unwrap());
        assert!(is_locked(&other, 7).unwrap() && !is_locked(&one, 7).unwrap());
        drop(open());
        assert!(!try_lock(&other, 7).unwrap(), "a descriptor of the process was closed");
        unlock(&one, 7).unwrap();
        assert!(try_lock(&other, 7).unwrap());
        drop(other);
        assert!(try_lock(&one, 7).unwrap() && try_lock(&one, 8).unwrap());
    }
}
