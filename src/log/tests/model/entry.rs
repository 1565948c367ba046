//! A record of the model, and what the log makes of it.

use crate::format::RawRecord;
use crate::types::{Offset, Record};

/// A record at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) offset: Offset,
    pub(super) timestamp: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
}

impl Entry {
    pub(super) fn of(record: RawRecord<'_>) -> Self {
        Self {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
        }
    }

    pub(super) fn record(&self) -> Record<'_> {
        let mut record = Record::new().timestamp(self.timestamp);
        if let Some(key) = &self.key {
            record = record.key(key);
        }
        if let Some(value) = &self.value {
            record = record.value(value);
        }
        record
    }
}
