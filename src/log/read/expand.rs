//! A batch on its way to a reader: its CRC checked, its records expanded if they are compressed.

use std::sync::Arc;

use crate::format::{BatchHeader, Codec, Malformed};
use crate::log::read::reader::Reader;
use crate::log::read::record_slice::RecordBytes;
use crate::segment::StoredBatch;

/// A batch that is checked and expanded, or what is left of it.
#[derive(Debug, Clone)]
pub(super) struct OpenedBatch {
    pub(super) header: BatchHeader,
    pub(super) bytes: RecordBytes,
    /// Byte position of the next record among the batch's records.
    pub(super) position: usize,
    /// Records from there on.
    pub(super) remaining: i32,
}

impl Reader {
    pub(super) fn open_batch(
        &mut self,
        batch: StoredBatch,
    ) -> std::result::Result<OpenedBatch, (BatchHeader, Malformed)> {
        if let Err(malformed) = BatchHeader::verify_crc(batch.bytes()) {
            return Err((*batch.header(), malformed));
        }
        let header = *batch.header();
        let bytes = match header.codec() {
            Codec::None => RecordBytes::Stored(batch),
            codec => {
                let expanded = self.expand(codec, batch.body());
                RecordBytes::Expanded(expanded.map_err(|malformed| (header, malformed))?)
            }
        };
        Ok(OpenedBatch { header, bytes, position: 0, remaining: header.record_count })
    }

    fn expand(&mut self, codec: Codec, body: &[u8]) -> std::result::Result<Arc<Vec<u8>>, Malformed> {
        let limit = self.log.options.max_expanded_bytes;
        let mut buffer = self.expanded.take().and_then(Arc::into_inner).unwrap_or_default();
        buffer.clear();
        self.decompressor.decompress(codec, body, limit, &mut buffer)?;
        let buffer = Arc::new(buffer);
        self.expanded = Some(Arc::clone(&buffer));
        Ok(buffer)
    }
}
