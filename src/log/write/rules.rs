//! What a record must be like to be appended.

use crate::error::{Error, Result};
use crate::format::TimestampType;
use crate::log::config::{KeyRule, LogConfig};
use crate::log::retain::retention::millis;
use crate::log::write::size_limit::SizeLimit;
use crate::types::{NO_TIMESTAMP, Record, Timestamp, TopicPartition};

/// The part of a partition's configuration that every append looks at, in the form in which it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) struct AppendRules {
    key_rule: KeyRule,
    pub(in crate::log) timestamp_type: TimestampType,
    /// How far before and after now a timestamp may lie, in milliseconds.
    before_max: Timestamp,
    after_max: Timestamp,
    /// The largest batch in bytes, and the setting that says so.
    pub(in crate::log) max_bytes: usize,
    max_bytes_setting: &'static str,
    pub(in crate::log) size_limit: Option<SizeLimit>,
    pub(in crate::log) key_index: bool,
}

impl AppendRules {
    pub(in crate::log) fn new(config: &LogConfig) -> Self {
        let (max_bytes, max_bytes_setting) = if config.max_message_bytes <= config.segment.max_bytes {
            (config.max_message_bytes, "max.message.bytes")
        } else {
            (config.segment.max_bytes, "segment.bytes")
        };
        Self {
            key_rule: config.key_rule,
            timestamp_type: config.timestamp_type,
            before_max: millis(config.timestamp_before_max),
            after_max: millis(config.timestamp_after_max),
            max_bytes: max_bytes as usize,
            max_bytes_setting,
            size_limit: config.size_limit,
            key_index: config.key_index,
        }
    }

    /// Checks records, their size apart.
    #[inline(always)]
    pub(in crate::log) fn check(
        &self,
        records: &[Record<'_>],
        partition: &TopicPartition,
        now: Timestamp,
    ) -> Result<()> {
        self.check_given(records, partition, now, (now, now))
    }

    /// The same of records that were given while the clock showed a time from one to another: their times are right where they were right then.
    #[inline(always)]
    pub(in crate::log) fn check_given(
        &self,
        records: &[Record<'_>],
        partition: &TopicPartition,
        now: Timestamp,
        given: (Timestamp, Timestamp),
    ) -> Result<()> {
        for record in records {
            if self.key_rule == KeyRule::Required && record.key_bytes().is_none() {
                return Err(Error::KeyRequired { partition: partition.clone() });
            }
            // The time of now is always within bounds, unless the clock stands before 1970.
            let own = record.timestamp_millis().or_else(|| (now < 0).then_some(now));
            if self.timestamp_type == TimestampType::CreateTime
                && let Some(own) = own
            {
                self.check_time(own, given)?;
            }
        }
        Ok(())
    }

    /// Checks the size of a batch: that of records alone in it.
    pub(in crate::log) fn check_size(&self, bytes: usize) -> Result<()> {
        if bytes > self.max_bytes {
            let (size, limit, setting) = (bytes as u64, self.max_bytes as u64, self.max_bytes_setting);
            return Err(Error::RecordTooLarge { size, limit, setting });
        }
        Ok(())
    }

    #[inline]
    fn check_time(&self, timestamp: Timestamp, (from, to): (Timestamp, Timestamp)) -> Result<()> {
        let earliest = from.saturating_sub(self.before_max).max(0);
        let latest = to.saturating_add(self.after_max);
        if timestamp == NO_TIMESTAMP || (earliest..=latest).contains(&timestamp) {
            return Ok(());
        }
        Err(Error::InvalidTimestamp { timestamp, earliest, latest })
    }
}
