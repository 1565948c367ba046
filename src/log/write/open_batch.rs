//! A batch in memory, and those who wait for its write.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{
    BatchBuilder, BatchHeader, BatchTerms, Compressor, EndMarker, Malformed, ProducerStamp, Seal,
    SealedBatch, TermHash, sequence_after,
};
use crate::io::Deadline;
use crate::locks::OnceLock;
use crate::log::write::placement::{NoteTerms, Placed, Placement, Waiting, new_record};
use crate::types::{Offset, Timestamp};

/// How the write of a batch ended, for those who wait for it.
#[derive(Debug, Default)]
pub(in crate::log) struct Outcome(OnceLock<Result<()>>);

impl Outcome {
    /// `None` while the batch is not written.
    pub(in crate::log) fn get(&self) -> Option<Result<()>> {
        self.0.get().cloned()
    }

    /// The first outcome stands.
    pub(in crate::log) fn set(&self, outcome: Result<()>) {
        // An outcome that is there already is the one its waiters have seen.
        drop(self.0.set(outcome));
    }
}

/// Where a batch may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) enum Position {
    /// In whatever segment has room.
    Free,
    /// Where there is room for all that follows it too, so many bytes together with its own.
    Opens { bytes: usize },
    /// Right after the one before it.
    Follows,
}

/// A marker and its bytes.
#[derive(Debug)]
struct Marker {
    marker: EndMarker,
    bytes: Vec<u8>,
    header: BatchHeader,
}

/// A batch that takes records, or waits to be written.
#[derive(Debug)]
pub(in crate::log) struct OpenBatch {
    pub(in crate::log) builder: BatchBuilder,
    terms: BatchTerms,
    /// The time of all its records when the log stamps them itself.
    pub(in crate::log) opened_at: Timestamp,
    /// There once somebody waits for the batch.
    outcome: Option<Arc<Outcome>>,
    /// First and last offset whose sender did not wait.
    in_memory: Option<(Offset, Offset)>,
    /// The least linger of these, and when it is over.
    linger: Option<(Duration, Deadline)>,
    /// It has reached its size.
    full: bool,
    /// The end of a transaction, in the place of records.
    marker: Option<Box<Marker>>,
    pub(in crate::log) position: Position,
}

impl OpenBatch {
    /// A batch whose first records will be those of `placement`.
    pub(in crate::log) fn new(placement: &Placement<'_>, first_offset: Offset) -> Self {
        Self {
            builder: BatchBuilder::new(first_offset, placement.expected_bytes()),
            terms: BatchTerms::default(),
            opened_at: placement.now,
            outcome: None,
            in_memory: None,
            linger: None,
            full: false,
            marker: None,
            position: Position::Free,
        }
    }

    /// A marker, in the place of records.
    pub(in crate::log) fn marker(marker: EndMarker, offset: Offset, now: Timestamp) -> Result<Self> {
        let encoded = marker.encode(offset, now);
        let decoded = encoded.and_then(|bytes| Ok((BatchHeader::decode(&bytes)?, bytes)));
        let (header, bytes) = decoded
            .map_err(|malformed| Error::invalid(format!("a marker cannot be encoded: {malformed}")))?;
        Ok(Self {
            builder: BatchBuilder::new(offset, 0),
            terms: BatchTerms::default(),
            opened_at: now,
            outcome: None,
            in_memory: None,
            linger: None,
            full: true,
            marker: Some(Box::new(Marker { marker, bytes, header })),
            position: Position::Free,
        })
    }

    /// The end of a transaction, if it is one.
    pub(in crate::log) fn ends(&self) -> Option<&EndMarker> {
        self.marker.as_ref().map(|marker| &marker.marker)
    }

    /// What its records are found by, where that was put down for each of them.
    pub(in crate::log) fn terms(&self) -> Option<&BatchTerms> {
        self.terms.of_all(self.builder.count())
    }

    /// The offset of its first record.
    pub(in crate::log) fn base_offset(&self) -> Offset {
        self.builder.base_offset()
    }

    /// The offset after it.
    pub(in crate::log) fn next_offset(&self) -> Offset {
        self.marker.as_ref().map_or_else(|| self.builder.next_offset(), |marker| marker.header.next_offset())
    }

    /// Its bytes, before compression.
    pub(in crate::log) fn len(&self) -> usize {
        self.marker.as_ref().map_or_else(|| self.builder.len(), |marker| marker.bytes.len())
    }

    /// The sequence of the record after it.
    pub(in crate::log) fn next_sequence(&self, stamp: &ProducerStamp) -> i32 {
        sequence_after(stamp.base_sequence, self.builder.count())
    }

    /// The whole batch, ready for the file.
    #[inline]
    pub(in crate::log) fn seal(
        &mut self,
        how: &Seal,
        compressor: &mut Compressor,
    ) -> Result<SealedBatch<'_>, Malformed> {
        match &self.marker {
            None => self.builder.seal(how, compressor),
            Some(marker) => Ok(SealedBatch { bytes: &marker.bytes, header: marker.header }),
        }
    }

    /// The same, with the buffers of a batch that was written.
    pub(in crate::log) fn reuse(&mut self, placement: &Placement<'_>, first_offset: Offset) {
        self.builder.reset(first_offset);
        self.terms.clear();
        let Self { builder: _, terms: _, opened_at, outcome, in_memory, linger, full, marker, position } =
            self;
        (*opened_at, *outcome, *in_memory, *linger, *full) = (placement.now, None, None, None, false);
        (*marker, *position) = (None, Position::Free);
    }

    /// Bytes of its buffers.
    #[inline]
    pub(in crate::log) fn capacity(&self) -> usize {
        self.builder.capacity()
    }

    /// It takes no more records, whatever room it has.
    pub(in crate::log) fn take_no_more(&mut self) {
        self.full = true;
    }

    /// Whether it takes no more records.
    pub(in crate::log) fn is_full(&self) -> bool {
        self.full
    }

    /// First and last offset whose sender did not wait.
    pub(in crate::log) fn in_memory(&self) -> Option<(Offset, Offset)> {
        self.in_memory
    }

    /// When it is to be written although nobody waits for it.
    pub(in crate::log) fn linger_ends(&self) -> Option<Deadline> {
        self.linger.map(|(_, deadline)| deadline)
    }

    /// Tells those who wait for the batch.
    pub(in crate::log) fn tell(&self, outcome: impl FnOnce() -> Result<()>) {
        if let Some(waiting) = &self.outcome {
            waiting.set(outcome());
        }
    }

    /// Takes the records in, the first one at `first_offset`; returns the offset of the last.
    #[inline]
    fn take(&mut self, placement: &Placement<'_>, first_offset: Offset) -> Offset {
        match placement.terms {
            NoteTerms::No => {
                for record in placement.records {
                    self.builder.append(&new_record(record, placement.now));
                }
            }
            NoteTerms::Yes => self.take_noted(placement, None),
            NoteTerms::OfOneKey(term) => self.take_noted(placement, Some(term)),
        }
        let last_offset = self.builder.next_offset() - 1;
        if placement.waiting == Waiting::No {
            let first = self.in_memory.map_or(first_offset, |(first, _)| first);
            self.in_memory = Some((first, last_offset));
        }
        // It stays so: whoever filled it is on the way to write it, and nobody else is.
        self.full |= self.builder.len() >= placement.batch_bytes;
        last_offset
    }

    /// The same records, and what they are found by: the key's term, where all have that one.
    #[inline(never)]
    fn take_noted(&mut self, placement: &Placement<'_>, key: Option<TermHash>) {
        for record in placement.records {
            let record = new_record(record, placement.now);
            self.terms.add(&record, key, self.builder.count());
            self.builder.append(&record);
        }
    }

    /// Whether the batch is to be written earlier for this placement. What was placed before had as long a linger or a
    /// longer one, so only a shorter one can end earlier.
    #[inline]
    fn is_linger_shorter(&self, placement: &Placement<'_>) -> bool {
        placement.waiting == Waiting::No
            && !self.full
            && self.linger.is_none_or(|(least, _)| placement.linger < least)
    }

    /// Records were placed that may wait so long, less than those before them. Says when the batch is to be written.
    #[cold]
    pub(in crate::log) fn shorten_linger(&mut self, linger: Duration) -> Deadline {
        let deadline = Deadline::after(linger);
        let earliest = self.linger_ends().map_or(deadline, |known| known.min(deadline));
        self.linger = Some((linger, earliest));
        earliest
    }

    /// Where the end of its write will be told.
    pub(in crate::log) fn outcome(&mut self) -> Arc<Outcome> {
        Arc::clone(self.outcome.get_or_insert_default())
    }

    /// Takes the records in, and tells where they are.
    #[inline]
    pub(in crate::log) fn put(&mut self, placement: &Placement<'_>, first_offset: Offset) -> Placed {
        let last_offset = self.take(placement, first_offset);
        let shortens_linger = self.is_linger_shorter(placement);
        let (opened_at, ready) = (self.opened_at, self.full);
        Placed { first_offset, last_offset, opened_at, shortens_linger, opened: false, ready }
    }
}

/// Batches, oldest first.
pub(in crate::log) type Batches = VecDeque<Box<OpenBatch>>;

/// What batches that were written leave for later ones of their partition: their buffers.
#[derive(Debug, Default)]
pub(in crate::log) struct Recycled {
    /// A small one.
    pub(in crate::log) batch: Option<Box<OpenBatch>>,
    pub(in crate::log) queue: Batches,
}
