//! The durable mark and the slots it is kept in.

use super::block::{BLOCK, is_whole, seal_block};
use crate::format::bytes::{Reader, put_i64, put_u32, put_u64};
use crate::types::Offset;

const MARK_MAGIC: u32 = 0x616e_6d6b;

/// How far a sync is known to have succeeded. A lower bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Base of the segment that was active.
    pub(crate) segment: Offset,
    /// Everything below survives a power cut.
    pub(crate) offset: Offset,
    /// Where the batch of that offset begins, or will begin, in the active segment.
    pub(crate) position: u64,
}

/// The bytes of a mark and where in the file they go.
#[derive(Debug)]
pub(crate) struct MarkSlot {
    pub(crate) position: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Mark {
    /// The slot for the mark of that number; the one before it stands in the other slot.
    pub(crate) fn encode(&self, sequence: u64) -> MarkSlot {
        let mut bytes = Vec::with_capacity(BLOCK);
        put_u32(&mut bytes, MARK_MAGIC);
        put_u64(&mut bytes, sequence);
        put_i64(&mut bytes, self.segment);
        put_i64(&mut bytes, self.offset);
        put_u64(&mut bytes, self.position);
        seal_block(&mut bytes);
        MarkSlot { position: BLOCK as u64 * (1 + sequence % 2), bytes }
    }
}

pub(super) fn decode_mark(slot: &[u8]) -> Option<(u64, Mark)> {
    let mut reader = Reader::new(slot);
    if !is_whole(slot) || reader.take_u32().ok()? != MARK_MAGIC {
        return None;
    }
    let sequence = reader.take_u64().ok()?;
    let mark = Mark {
        segment: reader.take_i64().ok()?,
        offset: reader.take_i64().ok()?,
        position: reader.take_u64().ok()?,
    };
    Some((sequence, mark))
}
