//! What a reader of committed records passes over.

use std::sync::Arc;

use crate::error::Result;
use crate::format::BatchHeader;
use crate::log::log::Log;
use crate::log::producers::aborted::AbortedRange;
use crate::log::producers::table::Fate;
use crate::log::read::reader::{Isolation, Reader, Undecided};
use crate::log::segment_list::SegmentList;
use crate::segment::Segment;
use crate::types::Offset;

/// The aborted transactions with records in a part of one segment, as a list of segments tells.
#[derive(Debug)]
pub(in crate::log) struct Nearby {
    list: Arc<SegmentList>,
    from: Offset,
    /// Behind it there may be more by now.
    until: Offset,
    range: AbortedRange,
}

impl Reader {
    /// Whether the batch, which lies below the limit, is part of a transaction that was aborted.
    pub(super) fn is_aborted(&mut self, header: &BatchHeader) -> Result<bool> {
        let (producer, offset) = (header.producer_id, header.base_offset);
        // Before the indexes: the end of a transaction is noted there first, then it is open no more.
        if let Some(fate) = self.log.fate(producer, offset) {
            let is_read =
                fate == Fate::Committed || (fate == Fate::Open && self.undecided == Undecided::IsRead);
            return Ok(!is_read);
        }
        let nearby = self.aborted.take().filter(|nearby| {
            Arc::ptr_eq(&nearby.list, &self.list) && (nearby.from..nearby.until).contains(&offset)
        });
        let nearby = match nearby {
            Some(nearby) => nearby,
            None => self.log.nearby(&self.list, offset)?,
        };
        Ok(self.aborted.insert(nearby).range.holds(producer, offset))
    }
}

impl Log {
    /// Where the first record stands that may be read.
    ///
    /// # Errors
    /// As [`readable_end`](Self::readable_end).
    pub(crate) fn readable_start(&self) -> Result<Offset> {
        self.look().map_err(|error| self.explain(error))?;
        Ok(self.start())
    }

    /// Where whoever reads like that has nothing more to read.
    ///
    /// # Errors
    /// Where another process writes the log, and what it shows cannot be seen: what was seen last may be nothing.
    pub(crate) fn readable_end(&self, isolation: Isolation) -> Result<Offset> {
        self.look().map_err(|error| self.explain(error))?;
        Ok(match isolation {
            Isolation::ReadCommitted => self.stable(),
            Isolation::ReadUncommitted => self.end(),
        })
    }

    /// The same, with what is still in memory.
    ///
    /// # Errors
    /// As [`readable_end`](Self::readable_end).
    pub(crate) fn next_readable(&self, isolation: Isolation) -> Result<Offset> {
        let readable = self.readable_end(isolation)?;
        Ok(if readable < self.end() { readable } else { self.next_offset() })
    }

    /// What is known of the transaction of a record, if it has no end in the log.
    pub(in crate::log) fn fate(&self, producer_id: i64, offset: Offset) -> Option<Fate> {
        match &self.follow {
            None => self.producers.lock().fate(producer_id, offset),
            Some(follow) => follow.fate(producer_id, offset),
        }
    }

    /// The aborted transactions with records in the segment that holds `offset`, as far as all is decided.
    pub(in crate::log) fn nearby(&self, list: &Arc<SegmentList>, offset: Offset) -> Result<Nearby> {
        // Before the indexes are looked at: whatever ends later begins behind it, or was open a moment ago.
        let decided = self.finished();
        let segment = list.floor(offset).ok_or_else(|| self.out_of_range(offset))?;
        let next = list.after(segment.base()).map_or(Offset::MAX, |next| next.base());
        let (from, known) = (segment.base(), next.min(decided));
        let until = known.max(offset.saturating_add(1));
        let rest = list.iter().filter(|one| one.base() >= from);
        let indexes = rest.map(|one: &Arc<Segment>| self.aborted_in(list, one));
        let range = AbortedRange::gather(from, until, indexes)?;
        Ok(Nearby { list: Arc::clone(list), from, until: known, range })
    }
}
