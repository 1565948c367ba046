//! A walk over a `.log` that passes no byte in silence.

use crate::dump::batch::BatchDump;
use crate::dump::segment::SegmentDump;
use crate::error::Result;
use crate::format::{BatchHeader, Malformed};

/// Consecutive bytes of a `.log` that are of one kind.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Stretch {
    /// A batch, complete as far as its header says.
    Batch(Box<BatchDump>),
    /// Zeros up to the end of the file: space that its writer has allocated in advance.
    Zeros {
        /// Where they begin.
        position: u64,
        /// How many.
        bytes: u64,
    },
    /// Bytes up to the end of the file that do not begin with a batch: a torn write, or damage.
    Unreadable {
        /// Where they begin.
        position: u64,
        /// How many.
        bytes: u64,
        /// Why they are no batch.
        reason: String,
    },
}

/// Iterates over a [`SegmentDump`] from its first byte to its last. An error is one of reading the file, and ends the iteration.
#[derive(Debug)]
pub struct Stretches<'a> {
    segment: &'a SegmentDump,
    /// `None` after the end.
    position: Option<u64>,
}

impl<'a> Stretches<'a> {
    pub(super) fn new(segment: &'a SegmentDump, position: u64) -> Self {
        Self { segment, position: Some(position) }
    }

    fn advance(&mut self, position: u64) -> Result<Stretch> {
        let header = match self.segment.header_at(position)? {
            Ok(header) => header,
            Err(malformed) => return self.rest(position, &malformed),
        };
        let stored = self.segment.read(position, header.total_len())?;
        if stored.len() < header.total_len() {
            let malformed = Malformed::truncated(header.total_len(), stored.len());
            return self.rest(position, &malformed);
        }
        self.position = Some(position + stored.len() as u64);
        Ok(Stretch::Batch(Box::new(BatchDump::new(self.segment.path(), position, header, stored))))
    }

    /// Everything from `position` on.
    fn rest(&self, position: u64, malformed: &Malformed) -> Result<Stretch> {
        let bytes = self.segment.bytes().saturating_sub(position);
        if self.segment.is_zero_from(position)? {
            return Ok(Stretch::Zeros { position, bytes });
        }
        Ok(Stretch::Unreadable { position, bytes, reason: malformed.to_string() })
    }
}

impl Iterator for Stretches<'_> {
    type Item = Result<Stretch>;

    fn next(&mut self) -> Option<Result<Stretch>> {
        let position = self.position.take().filter(|position| *position < self.segment.bytes())?;
        Some(self.advance(position))
    }
}

/// What a header tells of a batch's place and time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Landmark {
    pub(super) position: u64,
    pub(super) header: BatchHeader,
}

/// The headers of all batches, up to the first that cannot be believed. Those among them that have come since the file was opened: an index that
/// was written meanwhile has entries of them.
pub(super) fn landmarks(segment: &SegmentDump) -> Result<Vec<Landmark>> {
    let mut found = Vec::new();
    let (mut position, end) = (0, segment.end_by_now()?);
    while position < end {
        let Ok(header) = segment.header_by_now(position)? else { break };
        found.push(Landmark { position, header });
        position += header.total_len() as u64;
    }
    Ok(found)
}
