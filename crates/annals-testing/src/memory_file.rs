//! The files of a file system in memory.

#![expect(
    clippy::unwrap_used,
    reason = "a lock is poisoned after a test has failed; files in memory are short"
)]

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use annals::io::{FileHandle, View};

/// A file that can be written.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) content: Mutex<Content>,
    pub(super) calls: Arc<Calls>,
}

#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// As of the last sync.
    pub(super) durable: Vec<u8>,
}

/// How many calls changed something, and how many may.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) made: AtomicU64,
    pub(super) most: AtomicU64,
    /// No file grows beyond it.
    pub(super) longest: AtomicU64,
}

impl Calls {
    fn grow(&self, len: u64) -> io::Result<()> {
        if len > self.longest.load(Ordering::Relaxed) { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub(super) fn take(&self) -> io::Result<()> {
        if self.made.fetch_add(1, Ordering::Relaxed) >= self.most.load(Ordering::Relaxed) {
            return Err(io::Error::other("the process is dead"));
        }
        Ok(())
    }
}

/// A file as it is in the image.
#[derive(Debug)]
pub(super) struct Fixed(pub(super) Arc<[u8]>);

fn read_at(bytes: &[u8], buf: &mut [u8], position: u64) -> usize {
    let there = bytes.get(usize::try_from(position).unwrap()..).unwrap_or_default();
    let pairs = buf.iter_mut().zip(there);
    let len = pairs.len();
    pairs.for_each(|(to, from)| *to = *from);
    len
}

impl FileHandle for Fixed {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        Ok(read_at(&self.0, buf, position))
    }

    fn write_at(&self, _bytes: &[u8], _position: u64) -> io::Result<usize> {
        Err(ErrorKind::PermissionDenied.into())
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }

    fn allocate(&self, _len: u64) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, len: u64) -> io::Result<Option<View>> {
        // Beyond the end of a file there is nothing to map.
        Ok((len <= self.0.len() as u64).then(|| View::new(Arc::clone(&self.0))))
    }
}

impl FileHandle for Node {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().bytes.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        Ok(read_at(&self.content.lock().unwrap().bytes, buf, position))
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.calls.take()?;
        self.calls.grow(position.saturating_add(bytes.len() as u64))?;
        let at = usize::try_from(position).unwrap();
        let mut content = self.content.lock().unwrap();
        let len = content.bytes.len().max(at + bytes.len());
        content.bytes.resize(len, 0);
        content.bytes.get_mut(at..at + bytes.len()).unwrap_or_default().copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.calls.take()?;
        self.calls.grow(len)?;
        self.content.lock().unwrap().bytes.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    /// Nothing is allocated ahead: 64 KiB of zeros for every file would be most of what a run looks at.
    fn allocate(&self, _len: u64) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.calls.take()?;
        let mut content = self.content.lock().unwrap();
        content.durable = content.bytes.clone();
        Ok(())
    }

    fn map(&self, _len: u64) -> io::Result<Option<View>> {
        Ok(None)
    }
}
