//! The transactions that were aborted in a segment, as its readers look them up.

use std::sync::Arc;

use crate::error::Result;
use crate::format::{
    AbortedTransaction, SegmentFile, SegmentSummary, decode_aborted, encode_aborted, segment_file_name,
};
use crate::io::{Directory, OpenMode};
use crate::locks::RwLock;
use crate::types::Offset;

/// What is known of them. Most segments have none.
#[derive(Debug)]
pub(super) struct Aborted(RwLock<Known>);

#[derive(Debug, Clone)]
enum Known {
    InMemory(Arc<Vec<AbortedTransaction>>),
    /// In the `.txnindex` of the segment, of so many entries with this CRC-32.
    OnDisk {
        entries: u32,
        crc: u32,
    },
}

impl Aborted {
    /// These, and those that are noted later.
    pub(super) fn of(entries: Vec<AbortedTransaction>) -> Self {
        Self(RwLock::new(Known::InMemory(Arc::new(entries))))
    }

    /// Those of a segment that was sealed.
    pub(super) fn sealed(summary: &SegmentSummary) -> Self {
        match summary.aborted_entries {
            0 => Self::of(Vec::new()),
            entries => Self(RwLock::new(Known::OnDisk { entries, crc: summary.aborted_crc })),
        }
    }

    /// Notes the one whose marker was written last.
    pub(super) fn note(&self, entry: AbortedTransaction) {
        if let Known::InMemory(entries) = &mut *self.0.write() {
            Arc::make_mut(entries).push(entry);
        }
    }

    /// In the order of their markers. `None` when they stand in a file that is missing, or not the one that was written.
    pub(super) fn get(
        &self,
        directory: &Directory,
        base: Offset,
    ) -> Result<Option<Arc<Vec<AbortedTransaction>>>> {
        let known = self.0.read().clone();
        match known {
            Known::InMemory(entries) => Ok(Some(entries)),
            Known::OnDisk { entries, crc } => {
                let read = read(directory, base, entries, crc)?;
                Ok(read.map(|entries| self.set(entries)))
            }
        }
    }

    /// What was found out from the log itself.
    pub(super) fn set(&self, entries: Vec<AbortedTransaction>) -> Arc<Vec<AbortedTransaction>> {
        let entries = Arc::new(entries);
        *self.0.write() = Known::InMemory(Arc::clone(&entries));
        entries
    }
}

/// Those of a sealed segment that nobody has open; `None` as for [`get`](Aborted::get).
pub(crate) fn aborted_of(
    directory: &Directory,
    summary: &SegmentSummary,
) -> Result<Option<Arc<Vec<AbortedTransaction>>>> {
    Aborted::sealed(summary).get(directory, summary.base)
}

/// Writes the file of a segment that needs one, and puts its length and checksum into the summary. Nothing is synced, and
/// nobody waits for it: a file that is torn or missing fails its checksum, and the log tells the same.
pub(crate) fn with_aborted(
    directory: &Directory,
    summary: SegmentSummary,
    entries: &[AbortedTransaction],
) -> SegmentSummary {
    if entries.is_empty() {
        return aborted_summary(summary, entries);
    }
    let bytes = encode_aborted(entries);
    let name = segment_file_name(summary.base, SegmentFile::TransactionIndex);
    let written = directory
        .remove_if_there(&name)
        .and_then(|()| directory.open(&name, OpenMode::CreateNew)?.write_at(&bytes, 0));
    drop(written);
    aborted_summary(summary, entries)
}

/// The summary of a segment with these.
pub(crate) fn aborted_summary(summary: SegmentSummary, entries: &[AbortedTransaction]) -> SegmentSummary {
    let aborted_entries = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let aborted_crc = if entries.is_empty() { 0 } else { crc32fast::hash(&encode_aborted(entries)) };
    SegmentSummary { aborted_entries, aborted_crc, ..summary }
}

fn read(
    directory: &Directory,
    base: Offset,
    entries: u32,
    crc: u32,
) -> Result<Option<Vec<AbortedTransaction>>> {
    let name = segment_file_name(base, SegmentFile::TransactionIndex);
    let Ok(file) = directory.open(&name, OpenMode::Read) else { return Ok(None) };
    let len = usize::try_from(entries).unwrap_or(usize::MAX).saturating_mul(AbortedTransaction::LEN);
    if file.len()? != len as u64 {
        return Ok(None);
    }
    let bytes = file.read(0, len)?;
    if bytes.len() != len || crc32fast::hash(&bytes) != crc {
        return Ok(None);
    }
    Ok(decode_aborted(&bytes).ok())
}
