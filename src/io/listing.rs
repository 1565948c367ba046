//! The names in an open directory.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use super::seam::{Entry, EntryKind};

/// Lists an open directory, which is read from its beginning.
pub(super) fn list(directory: File) -> io::Result<Vec<Entry>> {
    let stream = Stream::open(directory)?;
    let mut entries = Vec::new();
    while let Some(entry) = stream.next()? {
        if let Some(entry) = entry {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// What the C library reads a directory with.
struct Stream {
    stream: NonNull<libc::DIR>,
}

impl Stream {
    fn open(directory: File) -> io::Result<Self> {
        // SAFETY: the descriptor is open; it is the stream's own once fdopendir has succeeded, and given up only then.
        #[expect(unsafe_code, reason = "std lists by paths alone")]
        let stream = unsafe { libc::fdopendir(directory.as_raw_fd()) };
        let stream = NonNull::new(stream).ok_or_else(io::Error::last_os_error)?;
        std::mem::forget(directory);
        Ok(Self { stream })
    }

    /// The next entry, `Some(None)` for a name that is left out, `None` at the end.
    fn next(&self) -> io::Result<Option<Option<Entry>>> {
        // SAFETY: errno is this thread's own. It is the only thing that tells the end from a failure.
        #[expect(unsafe_code, reason = "std lists by paths alone")]
        unsafe {
            *libc::__errno_location() = 0;
        }
        // SAFETY: the stream is open and used by this thread alone.
        #[expect(unsafe_code, reason = "std lists by paths alone")]
        let entry = unsafe { libc::readdir64(self.stream.as_ptr()) };
        if entry.is_null() {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(0) { Ok(None) } else { Err(error) };
        }
        // SAFETY: what readdir returns is valid until the next call on the stream, and its name ends with a zero byte. The
        // entry may be shorter than its type, so no reference to the whole of it is made.
        #[expect(unsafe_code, reason = "std lists by paths alone")]
        let (name, kind) = unsafe { (CStr::from_ptr((&raw const (*entry).d_name).cast()), (*entry).d_type) };
        if name == c"." || name == c".." {
            return Ok(Some(None));
        }
        let kind = match kind {
            libc::DT_REG => EntryKind::File,
            libc::DT_DIR => EntryKind::Directory,
            libc::DT_UNKNOWN => self.look_at(name)?,
            _ => EntryKind::Other,
        };
        Ok(Some(name.to_str().ok().map(|name| Entry { name: name.to_owned(), kind })))
    }

    /// What stands under a name, where the list does not tell.
    fn look_at(&self, name: &CStr) -> io::Result<EntryKind> {
        let mut found = std::mem::MaybeUninit::<libc::stat64>::uninit();
        // SAFETY: the stream is open, so its descriptor is; the name ends with a zero byte; `found` is room for exactly what
        // is written into it.
        #[expect(unsafe_code, reason = "std lists by paths alone")]
        let code = unsafe {
            let directory = libc::dirfd(self.stream.as_ptr());
            libc::fstatat64(directory, name.as_ptr(), found.as_mut_ptr(), libc::AT_SYMLINK_NOFOLLOW)
        };
        if code != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call returned 0, so it has filled all of `found`.
        #[expect(unsafe_code, reason = "std lists by paths alone")]
        let found = unsafe { found.assume_init() };
        Ok(match found.st_mode & libc::S_IFMT {
            libc::S_IFREG => EntryKind::File,
            libc::S_IFDIR => EntryKind::Directory,
            _ => EntryKind::Other,
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the stream is open and nobody uses it afterwards. A failed close of a directory that was read says nothing.
        #[expect(unsafe_code, reason = "std lists by paths alone")]
        let _: i32 = unsafe { libc::closedir(self.stream.as_ptr()) };
    }
}
