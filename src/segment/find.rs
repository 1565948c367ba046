//! The straight way to the batch of one offset: from the index to the batch, without a cursor.

use crate::format::{BatchHeader, OffsetIndexEntry};
use crate::io::prefetch;
use crate::segment::{Segment, StoredBatch};
use crate::types::Offset;

/// So many bytes from an index entry on are asked for at once: most often they hold the batch.
const NEAR: usize = 4 << 10;

impl Segment {
    /// The batch that holds `offset`, its CRC not yet checked. `None` does not mean that there is none: the index may not be in
    /// memory, the batch far behind its entry, its header not what must stand there. A cursor finds out, and names what
    /// is wrong.
    pub(crate) fn find(&self, offset: Offset) -> Option<StoredBatch> {
        let around = self.around(offset)?;
        if let Some(entry) = around.likely {
            let found = self.find_from(Some(entry), offset);
            if found.is_some() {
                return found;
            }
        }
        self.find_from(around.floor, offset)
    }

    /// The same, going from the batch of `entry`, or from the first, towards `offset`.
    fn find_from(&self, entry: Option<OffsetIndexEntry>, offset: Offset) -> Option<StoredBatch> {
        let written = self.bytes();
        let mut position = entry.map_or(0, |entry| u64::from(entry.position));
        let Ok(mut window) = self.log().near(position, NEAR, written) else { return None };
        prefetch(window.first(position, NEAR));
        let mut header = BatchHeader::decode(window.from(position)).ok()?;
        let is_first = match entry {
            Some(entry) => header.last_offset() == self.base() + i64::from(entry.relative_offset),
            None => self.follows(&header, self.base()),
        };
        if !is_first {
            return None;
        }
        while header.next_offset() <= offset {
            position += header.total_len() as u64;
            let next = BatchHeader::decode(window.from(position)).ok()?;
            if !self.follows(&next, header.next_offset()) {
                return None;
            }
            header = next;
        }
        let is_whole = position + header.total_len() as u64 <= written;
        if !is_whole || header.base_offset > offset {
            return None;
        }
        if !window.has(position, header.total_len()) {
            window = self.log().near(position, header.total_len(), written).ok()?;
        }
        window.batch(header, position)
    }

    fn follows(&self, header: &BatchHeader, expected: Offset) -> bool {
        header.base_offset == expected || header.base_offset > expected && !self.is_gapless()
    }
}
