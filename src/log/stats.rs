//! Figures of a partition.

use crate::error::{Error, Result};
use crate::format::TimestampType;
use crate::locks::Ordering;
use crate::log::compaction::CompactionConfig;
use crate::log::config::KeyRule;
use crate::log::log::Log;
use crate::types::{NO_TIMESTAMP, Timestamp};

/// What a log holds, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogStats {
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) segments: usize,
    /// Of the first record, or near it; -1 without.
    pub(crate) oldest_timestamp: Timestamp,
    /// -1 when no record has a timestamp.
    pub(crate) newest_timestamp: Timestamp,
    /// Offsets that readers passed over because of damage since the log was opened.
    pub(crate) skipped_offsets: u64,
}

impl Log {
    /// Sums up what is known of the segments. Reads no record, and one header.
    pub(crate) fn stats(&self) -> Result<LogStats> {
        let writer = self.writer.lock();
        let facts = self.facts(&writer)?;
        drop(writer);
        let with_time = facts.iter().map(|segment| segment.first_timestamp).find(|timestamp| *timestamp >= 0);
        Ok(LogStats {
            skipped_offsets: self.skipped_offsets.load(Ordering::Relaxed),
            bytes: facts.iter().map(|segment| segment.bytes).sum(),
            records: facts.iter().map(|segment| segment.records).sum(),
            segments: facts.len(),
            oldest_timestamp: self.first_time().or(with_time).unwrap_or(NO_TIMESTAMP),
            newest_timestamp: facts.iter().map(|segment| segment.max_timestamp).max().unwrap_or(NO_TIMESTAMP),
        })
    }

    /// The time of the first record that is there, as the header of its batch has it.
    fn first_time(&self) -> Option<Timestamp> {
        let list = self.segment_list();
        let start = list.start();
        let mut cursor = list.floor(start)?.seek(start).ok()?;
        let mut header = cursor.peek().ok()??;
        while header.next_offset() <= start {
            cursor.step_over(&header);
            header = cursor.peek().ok()??;
        }
        let time = match header.attributes.timestamp_type() {
            TimestampType::CreateTime => header.base_timestamp,
            TimestampType::LogAppendTime => header.max_timestamp,
        };
        let is_known = time >= 0 && header.record_count > 0 && !header.attributes.has_delete_horizon();
        is_known.then_some(time)
    }

    /// The part of the sealed bytes that compaction has not compared yet; `None` for a log that is not compacted.
    pub(crate) fn dirty_ratio(&self) -> Result<Option<f64>> {
        match self.config().key_rule {
            KeyRule::Optional => Ok(None),
            KeyRule::Required => {
                self.dirt(&CompactionConfig::measuring(self.now())).map(|dirt| Some(dirt.ratio()))
            }
        }
    }

    /// Bytes that retention, deletion, compaction and erasure have taken out of the log since it was opened.
    pub(crate) fn reclaimed(&self) -> u64 {
        self.reclaimed_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn note_reclaimed(&self, bytes: u64) {
        self.reclaimed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The failure after which the log takes nothing more.
    pub(crate) fn poisoned_by(&self) -> Option<&Error> {
        self.poison.get().map(|cause| &**cause)
    }
}
