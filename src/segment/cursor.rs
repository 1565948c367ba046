//! A walk over the batches of one segment.

use std::sync::Arc;

use crate::error::Result;
use crate::format::{BatchHeader, Malformed};
use crate::segment::log_file::Window;
use crate::segment::{Segment, StoredBatch};
use crate::types::Offset;

/// Stands between two batches of a segment. Each batch it hands out is whole and follows the one before it; its CRC is
/// not yet checked.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    segment: Arc<Segment>,
    /// Byte position of the next batch.
    position: u64,
    /// The least base offset that the next batch may have.
    expected: Offset,
    /// What was mapped or read last.
    window: Option<Window>,
}

/// Stands for an offset that is not known yet.
const ANY: Offset = -1;

impl Cursor {
    pub(super) fn new(segment: Arc<Segment>, position: u64, expected: Offset) -> Self {
        Self { segment, position, expected, window: None }
    }

    /// A cursor at the batch an index entry points to, if it is the batch the entry tells of.
    pub(super) fn at_index_entry(segment: Arc<Segment>, position: u64, last_offset: Offset) -> Option<Self> {
        let mut cursor = Self::new(segment, position, ANY);
        let header = cursor.peek().ok()??;
        (header.last_offset() == last_offset).then(|| {
            cursor.expected = header.base_offset;
            cursor
        })
    }

    /// Lets go of the map: one that is not used for a while must not keep a file that was removed.
    pub(crate) fn let_go(&mut self) {
        if self.window.as_ref().is_some_and(Window::is_map) {
            self.window = None;
        }
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Byte position of the next batch.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The least base offset that the next batch may have.
    pub(crate) fn expected(&self) -> Offset {
        self.expected
    }

    /// The header of the next batch, `None` at the end of what is written.
    pub(crate) fn peek(&mut self) -> Result<Option<BatchHeader>> {
        let written = self.segment.bytes();
        if self.position >= written {
            return Ok(None);
        }
        let header = BatchHeader::decode(self.load(BatchHeader::LEN, written)?);
        let header = header.map_err(|malformed| self.damaged(malformed))?;
        self.check(&header, written)?;
        Ok(Some(header))
    }

    /// The next batch, `None` at the end of what is written.
    pub(crate) fn next_batch(&mut self) -> Result<Option<StoredBatch>> {
        match self.peek()? {
            Some(header) => self.take_batch(header).map(Some),
            None => Ok(None),
        }
    }

    /// The batch whose header `peek` returned.
    pub(crate) fn take_batch(&mut self, header: BatchHeader) -> Result<StoredBatch> {
        let len = header.total_len();
        let available = self.load(len, self.segment.bytes())?.len();
        let batch = self.window.as_ref().and_then(|window| window.batch(header, self.position));
        let Some(batch) = batch else {
            return Err(self.damaged(Malformed::Truncated { needed: len, available }));
        };
        self.step_over(&header);
        Ok(batch)
    }

    /// Checks the batch whose header `peek` returned before something is concluded from that header.
    pub(crate) fn check_next(&mut self, header: &BatchHeader) -> Result<()> {
        let (position, len) = (self.position, header.total_len());
        let batch = self.load(len, self.segment.bytes())?;
        let sound = BatchHeader::verify_crc(batch.get(..len).unwrap_or_default());
        sound.map_err(|malformed| self.segment.log().damaged(position, header.base_offset, malformed))
    }

    /// Moves after the batch whose header `peek` returned.
    pub(crate) fn step_over(&mut self, header: &BatchHeader) {
        debug_assert!(self.expected <= header.base_offset, "{} before {}", header.base_offset, self.expected);
        debug_assert!(header.base_offset < header.next_offset(), "a batch takes an offset at least");
        self.position += header.total_len() as u64;
        self.expected = header.next_offset();
    }

    /// At least `want` bytes from the position on, or as many as there are below `written`.
    fn load(&mut self, want: usize, written: u64) -> Result<&[u8]> {
        let has_all = |window: &Window| window.from(self.position).len() >= want;
        if !self.window.as_ref().is_some_and(has_all) {
            // Not two of them at a time.
            self.window = None;
            self.window = Some(self.segment.log().window(self.position, want, written)?);
        }
        Ok(self.window.as_ref().map(|window| window.from(self.position)).unwrap_or_default())
    }

    /// What the CRC of a batch does not cover: its place in the log.
    fn check(&self, header: &BatchHeader, written: u64) -> Result<()> {
        let invalid = |why: String| self.segment.log().broken(self.position, self.expected, why);
        if header.base_offset < self.expected {
            return Err(invalid(format!("base offset {} is below {}", header.base_offset, self.expected)));
        }
        // No checksum covers it, and a reader that took it for a gap would lose what lies before.
        if header.base_offset > self.expected && self.expected != ANY && self.segment.is_gapless() {
            return Err(invalid(format!("base offset {} instead of {}", header.base_offset, self.expected)));
        }
        let end = self.position + header.total_len() as u64;
        if end > written {
            return Err(invalid(format!("batch ends at byte {end}, the segment at {written}")));
        }
        Ok(())
    }

    fn damaged(&self, malformed: Malformed) -> crate::error::Error {
        self.segment.log().damaged(self.position, self.expected, malformed)
    }
}
