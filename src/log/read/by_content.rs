//! Reading the records of a key, or those that match a query, and no others: forwards.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::error::Result;
use crate::io::undone_by_panic;
use crate::log::log::Log;
use crate::log::read::record_slice::{Cut, RecordSlice};
use crate::log::read::selection::Selection;
use crate::log::read::sight::{Seen, Sight, Sighted};
use crate::log::read::{AtEnd, BelowStart, FetchLimits, Isolation};
use crate::segment::{Hit, Segment};
use crate::types::Offset;

/// Hits of one segment that were not looked at.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) segment: Arc<Segment>,
    pub(super) hits: VecDeque<Hit>,
    /// Up to here there are no others; from here on, going backwards.
    pub(super) through: Offset,
}

/// Segments that are looked up at once at most,
const MOST_AHEAD: usize = 16;
/// and hits after which no further one is.
const ENOUGH: usize = 32;

/// Reads forwards. Holds the hits of one segment at most, and of those before it that have few.
#[derive(Debug)]
pub(crate) struct ContentReader {
    sight: Sight,
    position: Offset,
    until: Offset,
    /// In their order.
    waiting: VecDeque<Waiting>,
    /// Its last fetch has panicked.
    has_panicked: bool,
}

impl ContentReader {
    /// Hands out committed records of a log from `position` on, before `until`.
    pub(crate) fn new(
        log: &Arc<Log>,
        selection: Arc<Selection>,
        (position, until): (Offset, Offset),
    ) -> Self {
        let mut sight = Sight::new(log, selection, Isolation::ReadCommitted);
        if matches!(*sight.selection, Selection::All) {
            sight.reader.seek(position);
            sight.reader = sight.reader.until(until);
        }
        Self { sight, position, until, waiting: VecDeque::new(), has_panicked: false }
    }

    /// What it does where the records at its position were deleted.
    pub(crate) fn set_below_start(&mut self, below_start: BelowStart) {
        self.sight.reader.set_below_start(below_start);
    }

    /// What it does at the end of what is written.
    pub(crate) fn set_at_end(&mut self, at_end: AtEnd) {
        self.sight.reader.set_at_end(at_end);
    }

    pub(crate) fn log(&self) -> &Arc<Log> {
        self.sight.reader.log()
    }

    /// Everything below was handed out, or is not what is looked for.
    pub(crate) fn position(&self) -> Offset {
        self.position
    }

    /// Whether nothing is left of what it is to read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.position >= self.until
    }

    /// Goes on at an offset.
    pub(crate) fn seek(&mut self, position: Offset) {
        self.position = position;
        self.waiting.clear();
        self.sight.reader.seek(position);
    }

    /// Up to the limits' worth of records, none at the end.
    pub(crate) fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<RecordSlice>> {
        let (from, limits) = (self.position, limits.after(&mut self.has_panicked));
        undone_by_panic(
            self,
            |reader| reader.fetch_some(limits),
            |reader| {
                reader.has_panicked = true;
                reader.go_back(from);
            },
        )
    }

    /// What was looked up from there on is looked up again.
    fn go_back(&mut self, from: Offset) {
        self.position = from;
        self.waiting.clear();
        self.sight.let_go();
    }

    fn fetch_some(&mut self, limits: FetchLimits) -> Result<Vec<RecordSlice>> {
        let log = Arc::clone(self.log());
        log.check_open()?;
        if matches!(*self.sight.selection, Selection::All) {
            let slices = self.sight.reader.fetch(limits).map_err(|error| log.explain(error))?;
            self.position = self.sight.reader.position();
            return Ok(slices);
        }
        log.check_key_index()?;
        log.look()?;
        let from = self.position;
        let was_at_end = from >= self.sight.reader.limit();
        if was_at_end {
            if !self.is_at_end() {
                self.sight.reader.write_queued();
            }
            if !log.is_within_end(self.position) {
                return Err(log.explain(log.out_of_range(self.position)));
            }
        }
        let mut slices = self.fetch_written(limits);
        let is_empty = slices.as_ref().is_ok_and(Vec::is_empty);
        if is_empty && !was_at_end && !self.is_at_end() && self.position >= self.sight.reader.limit() {
            // Nothing but others' records lay before the end, and some may still be in memory.
            self.sight.reader.write_queued();
            slices = self.fetch_written(limits);
        }
        let slices = slices.map_err(|error| log.explain(error));
        self.sight.let_go();
        // Looked at last: files are opened by their names, which belong to another topic as soon as this one was deleted.
        log.check_open().inspect_err(|_| self.go_back(from))?;
        slices
    }

    fn fetch_written(&mut self, limits: FetchLimits) -> Result<Vec<RecordSlice>> {
        let mut gathered = Gathered::default();
        while gathered.records < limits.max_records && gathered.bytes < limits.max_bytes {
            match self.next() {
                Ok(Some(sighted)) => {
                    if gathered.records == 0 {
                        let waiting = self.waiting.front().map_or(0, |waiting| waiting.hits.len());
                        gathered.slices.reserve((1 + waiting).min(ENOUGH));
                    }
                    gathered.add(&self.sight, sighted);
                }
                Ok(None) => break,
                // What was found before it is handed out first; the next fetch meets it at once.
                Err(_) if gathered.records > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(gathered.slices)
    }

    /// The next record; `None` after the last.
    fn next(&mut self) -> Result<Option<Sighted>> {
        loop {
            if self.sight.refresh() {
                self.waiting.clear();
            }
            if let ControlFlow::Break(next) = self.go_on()? {
                return Ok(next);
            }
        }
    }

    /// One step towards it, by the list that was taken last.
    #[inline]
    fn go_on(&mut self) -> Result<ControlFlow<Option<Sighted>>> {
        let start = self.sight.reader.list.start();
        if self.position < start {
            if self.sight.reader.below_start == BelowStart::Fail {
                return Err(self.log().out_of_range(self.position));
            }
            self.position = start;
        }
        if self.waiting.is_empty() && !self.look_up()? {
            return Ok(ControlFlow::Break(None));
        }
        let Some(waiting) = self.waiting.front_mut() else { return Ok(ControlFlow::Continue(())) };
        let (segment, Some(hit)) = (Arc::clone(&waiting.segment), waiting.hits.pop_front()) else {
            self.position = waiting.through;
            self.waiting.pop_front();
            return Ok(ControlFlow::Continue(()));
        };
        match self.sight.look(&segment, hit) {
            // The hit is out of its row: only what is looked up again from the position has it.
            Err(error) => {
                self.waiting.clear();
                return Err(error);
            }
            Ok(Seen::Again) => self.waiting.clear(),
            Ok(Seen::Nothing) => self.position = hit.offset + 1,
            Ok(Seen::Record(sighted)) => {
                self.position = hit.offset + 1;
                return Ok(ControlFlow::Break(Some(sighted)));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Looks up what the segment of the position has, and as many after it as have few: what one look waits for in memory, others
    /// wait for at the same time. False at the end.
    fn look_up(&mut self) -> Result<bool> {
        let until = self.sight.reader.limit().min(self.until);
        if self.position >= until {
            return Ok(false);
        }
        if self.sight.reader.list_changed() {
            // What lies below the limit may stand in a segment that the list lacks.
            return Ok(true);
        }
        let list = Arc::clone(&self.sight.reader.list);
        let is_cold = self.sight.selection.prefetch(list.from(self.position).take(MOST_AHEAD));
        let (mut from, mut found) = (self.position, 0);
        while from < until && found < ENOUGH && self.waiting.len() < MOST_AHEAD {
            let Some(segment) = list.floor(from).map(Arc::clone) else {
                return Err(self.log().out_of_range(from));
            };
            let through = list.after(segment.base()).map_or(until, |next| next.base().min(until));
            match self.sight.hits(&segment, from..through, None) {
                Ok(hits) => {
                    if is_cold {
                        segment.read_batches_ahead(&hits)
                    } else {
                        segment.prefetch_batches(&hits)
                    }
                    found += hits.len();
                    from = through;
                    self.waiting.push_back(Waiting { segment, hits: hits.into(), through });
                }
                // Its turn comes, and then the error.
                Err(_) if !self.waiting.is_empty() => break,
                // Something else may be in its place by now.
                Err(error) => return self.sight.look_again(error).map(|()| true),
            }
        }
        Ok(true)
    }
}

/// Records on their way out, those of one batch together.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) slices: Vec<RecordSlice>,
    records: usize,
    bytes: usize,
}

impl Gathered {
    /// Takes in what was sighted just now.
    pub(super) fn add(&mut self, sight: &Sight, sighted: Sighted) {
        // There is one: the record was found in it.
        let Some(batch) = sight.batch() else { return };
        let Sighted { span, offset, .. } = sighted;
        let (base_offset, next_offset) = (batch.header.base_offset, offset + 1);
        self.records += 1;
        if let Some(open) = self.slices.last_mut().filter(|open| open.is_of(base_offset, &batch.bytes)) {
            return open.push(span, next_offset);
        }
        let stored_bytes = batch.header.total_len();
        self.bytes += stored_bytes;
        let cut = Cut { spans: vec![span], next_offset, stored_bytes };
        self.slices.push(RecordSlice::new(base_offset, batch.bytes.clone(), cut));
    }
}

#[cfg(test)]
impl ContentReader {
    /// Fetches two records, the second one after `meanwhile`.
    pub(in crate::log) fn fetch_two_around(&mut self, meanwhile: impl FnOnce()) -> Result<Vec<RecordSlice>> {
        let mut gathered = Gathered::default();
        if let Some(sighted) = self.next()? {
            gathered.add(&self.sight, sighted);
        }
        meanwhile();
        if let Some(sighted) = self.next()? {
            gathered.add(&self.sight, sighted);
        }
        Ok(gathered.slices)
    }

    /// The offset of the next record, of which a step is taken after `meanwhile` by the list from before that.
    pub(in crate::log) fn next_around(&mut self, meanwhile: impl FnOnce()) -> Result<Option<Offset>> {
        self.sight.refresh();
        meanwhile();
        let next = match self.go_on()? {
            ControlFlow::Break(next) => next,
            ControlFlow::Continue(()) => self.next()?,
        };
        Ok(next.map(|sighted| sighted.offset))
    }
}
