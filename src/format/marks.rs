//! What a file says of its own durability, in its head: how far it was synced, and whether a sync was begun of which nothing says that it
//! succeeded.
//!
//! ```text
//! 2 marks: u64 position, u32 CRC-32 of it | u8 doubt | 3 zeros
//! ```
//!
//! What lies below the mark was synced: a frame that is broken there is damage. At the mark or above it was perhaps never on the disk: the
//! first frame that is broken there ends the file, whatever follows.

use super::Malformed;
use super::bytes::{self, Reader};

const MARK_LEN: usize = 12;

/// The marks of a file, as they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyncMarks {
    /// Where in the file they stand: in front of the frames.
    at: usize,
    /// Where each of the two stands; a torn one is none.
    marks: [Option<usize>; 2],
    /// Bytes of the file, or its name, may read well and not be on the disk: a sync was begun, and nobody has written that it succeeded.
    pub(crate) is_doubtful: bool,
}

/// Bytes to be written into a head, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HeadChange {
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
}

impl SyncMarks {
    pub(crate) const LEN: usize = 2 * MARK_LEN + 4;

    /// Of a file that is synced up to a position before it gets its name, which is in doubt until the names are synced.
    pub(super) fn new(at: usize, durable: usize) -> Self {
        Self { at, marks: [Some(durable), None], is_doubtful: true }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for mark in self.marks {
            // No position has zeros for its checksum.
            out.extend(mark.map_or_else(|| vec![0; MARK_LEN], encode_mark));
        }
        out.extend([u8::from(self.is_doubtful), 0, 0, 0]);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let at = reader.position();
        let marks = [decode_mark(reader)?, decode_mark(reader)?];
        let is_doubtful = reader.take_array::<4>()? != [0; 4];
        Ok(Self { at, marks, is_doubtful })
    }

    /// What lies below was synced.
    pub(crate) fn durable(&self) -> usize {
        self.marks.into_iter().flatten().max().unwrap_or(self.at + Self::LEN)
    }

    /// Says that what lies below a position was synced. It leaves the mark that counts: a sync lies between any two of these, so
    /// one at most is torn.
    pub(crate) fn mark(&self, durable: usize) -> HeadChange {
        let [first, second] = self.marks;
        let at = if first < second { self.at } else { self.at + MARK_LEN };
        HeadChange { at: at as u64, bytes: encode_mark(durable) }
    }

    /// Says whether there is a doubt.
    pub(crate) fn doubt(&self, is_doubtful: bool) -> HeadChange {
        HeadChange { at: (self.at + 2 * MARK_LEN) as u64, bytes: vec![u8::from(is_doubtful)] }
    }
}

fn encode_mark(position: usize) -> Vec<u8> {
    let mut mark = Vec::with_capacity(MARK_LEN);
    bytes::put_u64(&mut mark, position as u64);
    let crc = crc32fast::hash(&mark);
    bytes::put_u32(&mut mark, crc);
    mark
}

/// `None` where it was torn, or never written.
fn decode_mark(reader: &mut Reader<'_>) -> Result<Option<usize>, Malformed> {
    let position = reader.take_array::<8>()?;
    let is_whole = reader.take_u32()? == crc32fast::hash(&position);
    Ok(usize::try_from(u64::from_be_bytes(position)).ok().filter(|_| is_whole))
}
