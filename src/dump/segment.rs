//! The files of one segment.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dump::index::{self, IndexDump, OffsetEntry, TimeEntry};
use crate::dump::producers::{self, AbortedDump};
use crate::dump::stretch::{Stretches, landmarks};
use crate::error::{Error, Result};
use crate::format::{BatchHeader, Malformed, SegmentFile, parse_segment_file_name, segment_file_name};
use crate::io::{Directory, Entry, File, OpenMode, OsFileSystem};
use crate::types::Offset;

/// Bytes read at a time when looking for one that is not zero.
const CHUNK: usize = 1 << 20;
/// Far more than an index has.
const MOST_INDEX_BYTES: usize = 256 << 20;

/// A segment's `.log` and the indexes beside it.
#[derive(Debug)]
pub struct SegmentDump {
    directory: Directory,
    file: File,
    base_offset: Offset,
    bytes: u64,
}

impl SegmentDump {
    /// Opens a `.log` for reading. Its name must be a segment's: its base offset in 20 digits.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) for another name, [`Io`](Error::Io).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(parse_segment_file_name);
        let Some(name) = name.filter(|name| name.file == SegmentFile::Log) else {
            return Err(Error::invalid(format!("{} is not the name of a segment's .log", path.display())));
        };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Self::of(&directory(parent.unwrap_or(Path::new("."))), name.base)
    }

    /// Returns all segments of a partition's directory, in the order of their offsets, except those that are removed meanwhile.
    ///
    /// # Errors
    /// [`Io`](Error::Io), which says what to give where there is no such directory.
    pub fn in_directory(path: impl AsRef<Path>) -> Result<Vec<Self>> {
        let directory = directory(path.as_ref());
        let entries = entries(&directory)?;
        let names = entries.iter().filter_map(|entry| parse_segment_file_name(&entry.name));
        let mut bases: Vec<_> =
            names.filter(|name| name.file == SegmentFile::Log).map(|name| name.base).collect();
        bases.sort_unstable();
        let opened = bases.into_iter().filter_map(|base| match Self::of(&directory, base) {
            // A store that is open has removed it since.
            Err(error) if kind_of(&error) == Some(ErrorKind::NotFound) => None,
            opened => Some(opened),
        });
        opened.collect()
    }

    fn of(directory: &Directory, base_offset: Offset) -> Result<Self> {
        let name = segment_file_name(base_offset, SegmentFile::Log);
        let why = "there is no such file: give a .log that is in the directory of a partition";
        let file = saying(directory.open(&name, OpenMode::Read), &[(ErrorKind::NotFound, why)])?;
        let bytes = file.len()?;
        Ok(Self { directory: directory.clone(), file, base_offset, bytes })
    }

    /// Returns the path of the `.log`.
    pub fn path(&self) -> PathBuf {
        self.file.path().to_path_buf()
    }

    /// Returns the first offset that it may hold, which is also its name.
    pub fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// Returns the length of the `.log` when it was opened, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Iterates over what the `.log` holds, from its first byte to its last.
    pub fn stretches(&self) -> Stretches<'_> {
        self.stretches_from(0)
    }

    /// Iterates from a byte position on, at which a batch must begin: where an earlier iteration ended, or where an entry of the
    /// offset index points. So a tool that follows a growing segment need not read it from the start each time.
    ///
    /// ```
    /// # use annals::dump::{SegmentDump, Stretch};
    /// # use annals::{Record, Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # store.create_topic("orders", TopicConfig::new())?;
    /// # for value in ["2 apples", "3 pears"] {
    /// #     store.producer().send(Record::to("orders").value(value))?;
    /// # }
    /// # store.close()?;
    /// let segment = SegmentDump::open(dir.path().join("orders-0/00000000000000000000.log"))?;
    /// let Some(Stretch::Batch(first)) = segment.stretches().next().transpose()? else { panic!("no batch") };
    /// let rest = segment.stretches_from(first.position + first.bytes);
    /// assert_eq!(rest.count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stretches_from(&self, position: u64) -> Stretches<'_> {
        Stretches::new(self, position)
    }

    /// Returns the entries of the `.index`, each compared with the `.log`; `None` when there is no such file.
    ///
    /// # Errors
    /// [`Io`](Error::Io).
    pub fn offset_index(&self) -> Result<Option<IndexDump<OffsetEntry>>> {
        let Some(bytes) = self.index_file(SegmentFile::Index)? else { return Ok(None) };
        Ok(Some(index::offsets(self.base_offset, &bytes, &landmarks(self)?)))
    }

    /// Returns the entries of the `.timeindex`, each compared with the `.log`; `None` when there is no such file.
    ///
    /// # Errors
    /// [`Io`](Error::Io).
    pub fn time_index(&self) -> Result<Option<IndexDump<TimeEntry>>> {
        let Some(bytes) = self.index_file(SegmentFile::TimeIndex)? else { return Ok(None) };
        Ok(Some(index::times(self.base_offset, &bytes, &landmarks(self)?)))
    }

    /// Returns the entries of the `.txnindex`; `None` when there is no such file: no transaction has its ABORT marker in the segment.
    ///
    /// # Errors
    /// [`Io`](Error::Io).
    pub fn transaction_index(&self) -> Result<Option<AbortedDump>> {
        Ok(self.index_file(SegmentFile::TransactionIndex)?.map(|bytes| producers::aborted(&bytes)))
    }

    fn index_file(&self, kind: SegmentFile) -> Result<Option<Vec<u8>>> {
        self.directory.read_file(&segment_file_name(self.base_offset, kind), MOST_INDEX_BYTES)
    }

    /// Up to `len` bytes, fewer when the file ends before. What a header claims is not allocated beyond that.
    pub(super) fn read(&self, position: u64, len: usize) -> Result<Vec<u8>> {
        let there = usize::try_from(self.bytes.saturating_sub(position)).unwrap_or(usize::MAX);
        self.file.read(position, len.min(there))
    }

    /// The header at `position`; the inner error says why there is none.
    pub(super) fn header_at(&self, position: u64) -> Result<std::result::Result<BatchHeader, Malformed>> {
        Ok(BatchHeader::decode(&self.read(position, BatchHeader::LEN)?))
    }

    /// The length of the `.log` by now.
    pub(super) fn end_by_now(&self) -> Result<u64> {
        self.file.len()
    }

    /// As [`header_at`](Self::header_at), also of what was written since the file was opened.
    pub(super) fn header_by_now(&self, position: u64) -> Result<std::result::Result<BatchHeader, Malformed>> {
        Ok(BatchHeader::decode(&self.file.read(position, BatchHeader::LEN)?))
    }

    pub(super) fn is_zero_from(&self, mut position: u64) -> Result<bool> {
        while position < self.bytes {
            let chunk = self.read(position, CHUNK)?;
            if chunk.is_empty() || chunk.iter().any(|byte| *byte != 0) {
                return Ok(chunk.is_empty());
            }
            position += chunk.len() as u64;
        }
        Ok(true)
    }
}

pub(super) fn directory(path: &Path) -> Directory {
    Directory::new(Arc::new(OsFileSystem), path)
}

/// What is in the directory of a partition.
pub(super) fn entries(directory: &Directory) -> Result<Vec<Entry>> {
    let missing = "there is no such directory: give that of a partition, as shop-log/orders-0";
    let file = "it is no directory: give that of a partition, as shop-log/orders-0";
    saying(directory.list(), &[(ErrorKind::NotFound, missing), (ErrorKind::NotADirectory, file)])
}

/// With what to do, where the system's answer is one of these.
fn saying<T>(outcome: Result<T>, whys: &[(ErrorKind, &str)]) -> Result<T> {
    outcome.map_err(|error| match &error {
        Error::Io { path, operation, source } => {
            let why = whys.iter().find(|(kind, _)| *kind == source.kind());
            why.map(|(kind, why)| Error::io(path, operation, io::Error::new(*kind, *why))).unwrap_or(error)
        }
        _ => error,
    })
}

fn kind_of(error: &Error) -> Option<ErrorKind> {
    if let Error::Io { source, .. } = error { Some(source.kind()) } else { None }
}
