//! One segment over real files: what is kept of a damaged one, what a scan says, when one is full.

mod files;
mod find;
mod limits;
mod room;
mod salvage;

use std::sync::Arc;

use super::*;
use crate::format::{
    BatchBuilder, BatchHeader, Codec, Compression, Compressor, NewRecord, Seal, SegmentFile, TimestampType,
    segment_file_name,
};
use crate::io::{Directory, OpenMode, OsFileSystem};
use crate::types::Offset;

struct Place {
    directory: Directory,
    _dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { directory: Directory::new(Arc::new(OsFileSystem), dir.path()), _dir: dir }
    }

    /// A `.log` of these bytes.
    fn log(&self, base: Offset, bytes: &[u8]) -> LogFile {
        let name = segment_file_name(base, SegmentFile::Log);
        self.directory.open(&name, OpenMode::CreateNew).unwrap().write_at(bytes, 0).unwrap();
        LogFile::lazy(self.directory.clone(), name, ReadMode::Positional)
    }
}

/// A batch of records with these values, one offset and one millisecond apart.
fn batch(base: Offset, values: &[&[u8]]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(base, 1000);
    for (timestamp, value) in (1000 + base..).zip(values) {
        builder.append(&NewRecord { timestamp, key: None, value: Some(value), headers: &[] });
    }
    let how = Seal {
        compression: Compression::of(Codec::None),
        timestamp_type: TimestampType::CreateTime,
        append_time: 0,
    };
    builder.seal(&how, &mut Compressor::default()).unwrap().bytes.to_vec()
}

/// The batch with another header, whose checksum fits.
fn restamped(batch: &[u8], change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let mut batch = batch.to_vec();
    let mut header = BatchHeader::decode(&batch).unwrap();
    change(&mut header);
    header.stamp(&mut batch).unwrap();
    batch
}
