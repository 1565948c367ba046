//! One record by its offset, without a reader.

use std::sync::Arc;

use crate::error::Result;
use crate::format::{BatchHeader, Codec, RawRecord, record_at};
use crate::log::log::Log;
use crate::log::read::record_slice::RecordSlice;
use crate::log::read::{FetchLimits, OnDamage, Reader, Visibility};
use crate::segment::StoredBatch;
use crate::types::Offset;

impl Log {
    /// What `copy` makes of the record of `offset`; `None` where no record has it any more. The checksum of its batch is
    /// checked each time.
    #[inline]
    pub(crate) fn get<T>(
        self: &Arc<Self>,
        offset: Offset,
        copy: impl FnOnce(RawRecord<'_>) -> T,
    ) -> Result<Option<T>> {
        self.check_open()?;
        self.look()?;
        if offset >= self.end() && self.is_within_end(offset) {
            self.write_accepted()?;
        }
        if offset < self.start() || offset >= self.end() {
            return Err(self.explain(self.out_of_range(offset)));
        }
        // Looked at where it is: a batch is large to move.
        let plain = self.uncompressed_batch(offset);
        if let Some(batch) = &plain
            && let Ok(Some(record)) = record_at(batch.header(), batch.body(), offset)
        {
            // Again: the file may have been opened by its name after the topic was deleted and created anew.
            self.check_open()?;
            return Ok(Some(copy(record)));
        }
        drop(plain);
        let slices = self.read_one(offset).map_err(|error| self.explain(error))?;
        Ok(slices.iter().flat_map(RecordSlice::iter).next().map(copy))
    }

    /// The record of `offset` by the long way.
    #[cold]
    fn read_one(self: &Arc<Self>, offset: Offset) -> Result<Vec<RecordSlice>> {
        let reader = Reader::new(Arc::clone(self), offset, Visibility::Written, OnDamage::Fail);
        reader.until(offset.saturating_add(1)).fetch(FetchLimits { max_records: 1, max_bytes: 1 })
    }

    /// The batch that holds `offset`, checked, where nothing is in the way. What may be in the way, from segments that were
    /// replaced meanwhile to damage, is the reader's to deal with.
    pub(in crate::log) fn uncompressed_batch(&self, offset: Offset) -> Option<StoredBatch> {
        let segment = Arc::clone(self.segments.read().floor(offset)?);
        self.catch_up(&segment);
        let found = segment.find(offset);
        let batch = found.as_ref()?;
        let header = batch.header();
        let attributes = header.attributes;
        let is_plain =
            header.codec() == Codec::None && !attributes.is_control() && !attributes.is_transactional();
        if !is_plain || header.next_offset() > self.stable() {
            return None;
        }
        BatchHeader::verify_crc(batch.bytes()).ok()?;
        // Looked at behind the list, as the start is moved before the list is: what was deleted is not handed out.
        if offset >= self.start() { found } else { None }
    }
}
