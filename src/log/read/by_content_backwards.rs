//! Reading the records of a key, or those that match a query, from the last one on.

use std::sync::Arc;

use crate::error::Result;
use crate::io::undone_by_panic;
use crate::log::log::Log;
use crate::log::read::Isolation;
use crate::log::read::by_content::{Gathered, Waiting};
use crate::log::read::record_slice::RecordSlice;
use crate::log::read::selection::Selection;
use crate::log::read::sight::{Seen, Sight, Sighted};
use crate::types::Offset;

/// Records of one batch that are handed out together: a batch is opened once for so many.
const MOST_OF_A_BATCH: usize = 64;

/// Reads backwards.
#[derive(Debug)]
pub(crate) struct ContentBackwards {
    sight: Sight,
    from: Offset,
    /// What is handed out next lies below.
    until: Offset,
    waiting: Option<Waiting>,
    /// Hits to look up at a time: most want the last one alone.
    at_a_time: usize,
}

/// The last record, as far as who guards it needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastFound {
    pub(crate) offset: Offset,
    pub(crate) is_undecided: bool,
}

impl ContentBackwards {
    /// Hands out records of a log below `until`, down to `from`.
    pub(crate) fn new(
        log: &Arc<Log>,
        selection: Arc<Selection>,
        (from, until): (Offset, Offset),
        isolation: Isolation,
    ) -> Self {
        let sight = Sight::new(log, selection, isolation);
        let until = until.min(sight.reader.limit());
        Self { sight, from, until, waiting: None, at_a_time: 1 }
    }

    pub(crate) fn log(&self) -> &Arc<Log> {
        self.sight.reader.log()
    }

    /// What is handed out next lies below.
    pub(crate) fn until(&self) -> Offset {
        self.until
    }

    /// The next records towards the beginning, the last one first: one alone, or some of one batch. None at the beginning.
    pub(crate) fn fetch(&mut self) -> Result<Vec<RecordSlice>> {
        let until = self.until;
        undone_by_panic(self, |reader| reader.fetch_some(), |reader| reader.go_back(until))
    }

    /// Whether the records that were fetched are still what would be fetched.
    pub(crate) fn is_as_fetched(&self) -> Result<bool> {
        self.log().check_open()?;
        self.log().look()?;
        Ok(!self.sight.reader.list_changed())
    }

    /// Goes on below an offset.
    pub(crate) fn seek_below(&mut self, until: Offset) {
        self.go_back(until);
    }

    fn go_back(&mut self, until: Offset) {
        self.until = until;
        self.waiting = None;
        self.sight.let_go();
    }

    fn fetch_some(&mut self) -> Result<Vec<RecordSlice>> {
        let log = Arc::clone(self.log());
        log.check_open()?;
        log.check_key_index()?;
        log.look()?;
        let slices = self.fetch_of_one_batch();
        self.sight.let_go();
        log.check_open()?;
        slices.map_err(|error| log.explain(error))
    }

    fn fetch_of_one_batch(&mut self) -> Result<Vec<RecordSlice>> {
        let mut slices = Vec::new();
        loop {
            match self.next() {
                Ok(Some(sighted)) => {
                    let mut gathered = Gathered::default();
                    gathered.add(&self.sight, sighted);
                    slices.append(&mut gathered.slices);
                }
                Ok(None) => break,
                // What was found behind it is handed out first; the next fetch meets it at once.
                Err(_) if !slices.is_empty() => break,
                Err(error) => return Err(error),
            }
            let next =
                self.waiting.as_ref().and_then(|waiting| Some((&waiting.segment, *waiting.hits.back()?)));
            if slices.len() == MOST_OF_A_BATCH
                || !next.is_some_and(|(segment, hit)| self.sight.is_in_batch(segment, hit))
            {
                break;
            }
        }
        Ok(slices)
    }

    /// The same, where the record itself is of no interest.
    pub(crate) fn find(&mut self) -> Result<Option<LastFound>> {
        let sighted = self.next()?;
        Ok(sighted.map(|sighted| LastFound { offset: sighted.offset, is_undecided: sighted.is_undecided }))
    }

    fn next(&mut self) -> Result<Option<Sighted>> {
        loop {
            if self.sight.refresh() {
                self.waiting = None;
            }
            if self.waiting.is_none() && !self.look_up()? {
                return Ok(None);
            }
            let Some(waiting) = &mut self.waiting else { continue };
            let (segment, Some(hit)) = (Arc::clone(&waiting.segment), waiting.hits.pop_back()) else {
                self.until = waiting.through;
                self.waiting = None;
                continue;
            };
            match self.sight.look(&segment, hit) {
                Err(error) => {
                    self.waiting = None;
                    return Err(error);
                }
                Ok(Seen::Again) => self.waiting = None,
                Ok(Seen::Nothing) => self.until = hit.offset,
                Ok(Seen::Record(sighted)) => {
                    self.until = hit.offset;
                    return Ok(Some(sighted));
                }
            }
        }
    }

    fn look_up(&mut self) -> Result<bool> {
        let from = self.from.max(self.sight.reader.list.start());
        if self.until <= from {
            return Ok(false);
        }
        let floor = self.sight.reader.list.floor(self.until - 1);
        // Compaction may have left nothing of the first ones.
        let Some(segment) = floor.filter(|segment| segment.base() < self.until).map(Arc::clone) else {
            return Ok(false);
        };
        let low = segment.base().max(from);
        match self.sight.hits(&segment, low..self.until, Some(self.at_a_time)) {
            Ok(hits) => {
                // Where all that were asked for are there, there may be more before them.
                let is_all = hits.len() < self.at_a_time;
                let through = if is_all { low } else { hits.first().map_or(low, |hit| hit.offset) };
                segment.prefetch_batches(hits.iter().rev());
                self.at_a_time = (self.at_a_time * 4).min(1 << 20);
                self.waiting = Some(Waiting { segment, hits: hits.into(), through });
            }
            Err(error) => self.sight.look_again(error)?,
        }
        Ok(true)
    }
}
