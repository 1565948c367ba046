//! A hit is looked at before it is believed: in the batch to which it points there must be the record, and the record must be
//! one that was asked for.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{BatchHeader, Malformed, RecordSpan};
use crate::log::log::Log;
use crate::log::producers::table::Fate;
use crate::log::read::expand::OpenedBatch;
use crate::log::read::looked::Looked;
use crate::log::read::reader::{Isolation, Reader};
use crate::log::read::selection::Selection;
use crate::log::read::{OnDamage, Visibility};
use crate::segment::{Hit, Segment};
use crate::types::Offset;

/// So often an index may be contradicted by what it points to, before it is the log that is at fault.
const MOST_DOUBTS: u32 = 2;

/// What a hit comes to.
pub(super) enum Seen {
    Record(Sighted),
    /// Another key has the hash, or nobody is to read the record.
    Nothing,
    /// The index was wrong, or something else is in the segment's place: to be looked up again.
    Again,
}

/// A record that was asked for, of the batch that was looked at last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighted {
    pub(super) offset: Offset,
    pub(super) span: RecordSpan,
    /// It belongs to a transaction without a decision.
    pub(super) is_undecided: bool,
}

/// Looks at hits. Holds the batch that was looked at last.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) reader: Reader,
    pub(super) selection: Arc<Selection>,
    batch: Option<Looked>,
    doubts: u32,
}

impl Sight {
    pub(super) fn new(log: &Arc<Log>, selection: Arc<Selection>, isolation: Isolation) -> Self {
        let reader = Reader::new(Arc::clone(log), 0, Visibility::Written, OnDamage::Fail);
        Self { reader: reader.isolation(isolation), selection, batch: None, doubts: 0 }
    }

    /// Takes the list of segments as it is now. True where it is another than before: what was looked up says nothing any more.
    #[inline(always)]
    pub(super) fn refresh(&mut self) -> bool {
        let is_another = self.reader.list_changed();
        if is_another {
            self.take_list();
        }
        is_another
    }

    #[cold]
    fn take_list(&mut self) {
        self.reader.list = self.reader.log.segment_list();
        self.batch = None;
    }

    /// Holds no map from here on.
    pub(super) fn let_go(&mut self) {
        self.batch = None;
        self.doubts = 0;
        self.reader.lost = 0;
    }

    /// What `error` was met by is looked for again, where that may help. Ok where it is to be looked up again.
    pub(super) fn look_again(&mut self, error: Error) -> Result<()> {
        self.reader.look_again(error)
    }

    /// Where a segment may hold what is looked for.
    pub(super) fn hits(
        &self,
        segment: &Arc<Segment>,
        range: std::ops::Range<Offset>,
        most: Option<usize>,
    ) -> Result<Vec<Hit>> {
        let log = &self.reader.log;
        log.catch_up_keys(segment)?;
        let hits = self.selection.hits(segment, range, (most, log.options.max_expanded_bytes));
        log.bound_keys(segment, self.reader.list.after(segment.base()).is_some());
        hits
    }

    /// The batch that was looked at last.
    pub(super) fn batch(&self) -> Option<&OpenedBatch> {
        self.batch.as_ref().map(|looked| &looked.opened)
    }

    /// Whether a hit is in the batch that was looked at last.
    pub(super) fn is_in_batch(&self, segment: &Arc<Segment>, hit: Hit) -> bool {
        self.batch.as_ref().is_some_and(|looked| looked.is_of(segment.base(), hit))
    }

    /// Looks at one.
    pub(super) fn look(&mut self, segment: &Arc<Segment>, hit: Hit) -> Result<Seen> {
        if !self.is_in_batch(segment, hit) {
            self.batch = None;
            let stored = match segment.batch_of(hit) {
                Err(error) => return self.look_again(error).map(|()| Seen::Again),
                Ok(None) => return self.doubt(segment, hit),
                Ok(Some(stored)) => stored,
            };
            match self.reader.open_batch(stored) {
                Ok(opened) => self.batch = Some(Looked::new(segment.base(), hit, opened)),
                Err((header, malformed)) => return self.damaged(segment, hit, (&header, malformed)),
            }
        }
        let Some(looked) = &mut self.batch else { return Ok(Seen::Again) };
        if looked.opened.header.attributes.is_control() {
            return self.doubt(segment, hit);
        }
        let span = match looked.find(hit.offset) {
            Ok(Some(span)) => span,
            Ok(None) => return self.doubt(segment, hit),
            Err(malformed) => {
                let header = looked.opened.header;
                return self.damaged(segment, hit, (&header, malformed));
            }
        };
        let (header, records) = (&looked.opened.header, looked.opened.bytes.get());
        if !self.selection.matches(&span.of(records, header.base_offset)) {
            return Ok(Seen::Nothing);
        }
        let mut is_undecided = false;
        if header.attributes.is_transactional() {
            let header = *header;
            match self.reader.log.fate(header.producer_id, header.base_offset) {
                Some(Fate::Open) => is_undecided = true,
                _ if self.is_aborted(&header)? => return Ok(Seen::Nothing),
                _ => {}
            }
        }
        if self.reader.list_changed() {
            return Ok(Seen::Again);
        }
        self.doubts = 0;
        Ok(Seen::Record(Sighted { offset: hit.offset, span, is_undecided }))
    }

    fn is_aborted(&mut self, header: &BatchHeader) -> Result<bool> {
        match self.reader.is_aborted(header) {
            // The list is another one by then, which is found out before the record is handed out.
            Err(error) => self.look_again(error).map(|()| false),
            outcome => outcome,
        }
    }

    /// The batch is there that the index names, and cannot be read: the log is at fault, and the index tells of all other batches.
    #[cold]
    fn damaged(
        &mut self,
        segment: &Arc<Segment>,
        hit: Hit,
        (header, malformed): (&BatchHeader, Malformed),
    ) -> Result<Seen> {
        self.batch = None;
        if self.reader.is_outdated() {
            return Ok(Seen::Again);
        }
        let error = segment.log().damaged(hit.position, header.base_offset, malformed);
        Err(error.resuming_at(self.behind(segment, hit, header)))
    }

    /// Where the batch ends of a hit that cannot be read: as its header says, if what follows agrees.
    fn behind(&self, segment: &Arc<Segment>, hit: Hit, header: &BatchHeader) -> Offset {
        let next = Hit { offset: header.next_offset(), position: hit.position + header.total_len() as u64 };
        let begins_there = matches!(segment.batch_of(next), Ok(Some(_)));
        let after =
            self.reader.list.after(segment.base()).map_or_else(|| self.reader.log.end(), |next| next.base());
        if begins_there || after == next.offset { next.offset } else { hit.offset + 1 }
    }

    /// What is there is not what the index has said.
    #[cold]
    fn doubt(&mut self, segment: &Arc<Segment>, hit: Hit) -> Result<Seen> {
        self.batch = None;
        if self.reader.is_outdated() {
            return Ok(Seen::Again);
        }
        self.doubts += 1;
        let limit = self.reader.log.options.max_expanded_bytes;
        let is_made_again = self.doubts <= MOST_DOUBTS
            && match segment.contradict_keys(limit) {
                Ok(()) => true,
                Err(error @ Error::Io { .. }) => return self.look_again(error).map(|()| Seen::Again),
                Err(_) => false,
            };
        if is_made_again {
            return Ok(Seen::Again);
        }
        let why = "the batch of a record that was found there cannot be read";
        Err(segment.log().broken(hit.position, hit.offset, why).resuming_at(hit.offset + 1))
    }
}
