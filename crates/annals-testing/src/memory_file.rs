//! The files of a file system in memory.

#![expect(
    clippy::unwrap_used,
    reason = "a lock is poisoned after a test has failed; files in memory are short"
)]

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
    /// No space is reserved ahead of the writes.
    pub(super) refuses_space_ahead: AtomicBool,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            made: AtomicU64::new(0),
            most: AtomicU64::new(u64::MAX),
            longest: AtomicU64::new(u64::MAX),
            refuses_space_ahead: AtomicBool::new(false),
        }
    }
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
        Err(ErrorKind::PermissionDenied.into())
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

    fn allocate(&self, len: u64) -> io::Result<()> {
        if self.calls.refuses_space_ahead.load(Ordering::Relaxed) {
            return Err(ErrorKind::Unsupported.into());
        }
        self.calls.take()?;
        self.calls.grow(len)?;
        let len = usize::try_from(len).unwrap();
        let mut content = self.content.lock().unwrap();
        let len = content.bytes.len().max(len);
        content.bytes.resize(len, 0);
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::super::{FaultyFileSystem, Image, MemoryFileSystem, PowerCutFileSystem};
    use annals::io::{FileHandle, FileSystem, OpenMode};
    use std::io::ErrorKind;
    use std::path::Path;
    use std::sync::Arc;

    const PATH: &str = "/file";

    fn created(disk: &dyn FileSystem) -> Arc<dyn FileHandle> {
        let file = disk.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        file
    }

    fn read(file: &dyn FileHandle) -> Vec<u8> {
        let mut bytes = vec![7; 100];
        let len = file.read_at(&mut bytes, 0).unwrap();
        bytes.truncate(len);
        bytes
    }

    #[test]
    fn space_ahead_is_zeros_until_it_is_written_or_cut() {
        let (memory, machine) = (MemoryFileSystem::new(), PowerCutFileSystem::new());
        let faulty = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
        for disk in [&memory as &dyn FileSystem, &machine, &*faulty] {
            let file = created(disk);
            file.write_at(b"ab", 0).unwrap();
            file.allocate(6).unwrap();
            assert_eq!(read(&*file), b"ab\0\0\0\0");
            file.write_at(b"c", 2).unwrap();
            file.allocate(4).unwrap();
            assert_eq!(read(&*file), b"abc\0\0\0");
            file.set_len(3).unwrap();
            file.allocate(5).unwrap();
            assert_eq!(read(&*file), b"abc\0\0");
        }
    }

    #[test]
    fn space_ahead_that_was_not_synced_may_be_gone_after_a_power_cut() {
        let (memory, machine) = (MemoryFileSystem::new(), PowerCutFileSystem::new());
        for (disk, is_memory) in [(&memory as &dyn FileSystem, true), (&machine, false)] {
            let file = created(disk);
            file.allocate(3).unwrap();
            let after = |seed: u64| {
                if is_memory {
                    return memory.durable_files()[PATH].to_vec();
                }
                let machine = machine.cut_power(seed);
                read(&*machine.open(Path::new(PATH), OpenMode::Read).unwrap())
            };
            assert_eq!(after(0), b"");
            assert!(is_memory || after(1) == [0; 3]);
            file.sync_data().unwrap();
            assert_eq!(after(0), [0; 3]);
        }
        assert_eq!(*memory.files()[PATH], [0; 3]);
    }

    #[test]
    fn space_ahead_counts_where_files_are_limited_and_as_a_call() {
        let disk = MemoryFileSystem::new();
        let file = created(&disk);
        disk.limit_files(4);
        assert_eq!(file.allocate(5).unwrap_err().kind(), ErrorKind::StorageFull);
        file.allocate(4).unwrap();
        let calls = disk.calls();
        file.allocate(4).unwrap();
        assert_eq!(disk.calls(), calls + 1);
        disk.freeze();
        file.allocate(4).unwrap_err();
        let read_only = MemoryFileSystem::over(&Image::new(disk.files()));
        let file = read_only.open(Path::new(PATH), OpenMode::Read).unwrap();
        assert_eq!(file.allocate(9).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_disk_that_refuses_space_ahead_makes_no_file_longer() {
        let disk = MemoryFileSystem::new();
        let file = created(&disk);
        disk.refuse_space_ahead();
        let calls = disk.calls();
        assert_eq!(file.allocate(5).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!((disk.calls(), file.len().unwrap()), (calls, 0));
        file.write_at(b"a", 0).unwrap();
        assert_eq!(*disk.files()[PATH], *b"a");
    }
}
