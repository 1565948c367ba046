//! What an append may depend on: what the log holds.
//!
//! What is asked is looked up without a lock, up to the end as it is then. Under the writer's lock only what came since is looked
//! at, which is next to nothing: so a look at the disk keeps nobody else waiting.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{BatchHeader, Codec, record_at};
use crate::log::log::Log;
use crate::log::patience::Patience;
use crate::log::read::{
    BelowStart, ContentBackwards, FetchLimits, Isolation, OnDamage, Reader, RecordSlice, Selection,
    Undecided, Visibility,
};
use crate::log::signal::Signal;
use crate::segment::{Hit, Segment};
use crate::types::{Condition, Expected, Offset, On};

/// Segments that are likely to be looked at: the last event of a stream is among the last of all.
const MOST_AHEAD: usize = 3;

/// How long an append waits for the end of a transaction on which it depends.
pub(super) const UNDECIDED_WAIT: Duration = Duration::from_secs(1);

/// A condition, and what was found of it up to some offset.
#[derive(Debug)]
pub(crate) struct Guard {
    wanted: Wanted,
    selection: Arc<Selection>,
    /// It is about what lies from here on.
    from: Offset,
    /// Everything below was looked at,
    until: Offset,
    /// when the log had been rewritten so often.
    rewrites: u64,
    found: Found,
}

/// Which records match, as far as a guard needs to know. None of an aborted transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Found {
    /// The last one, whatever becomes of it,
    last: Option<Offset>,
    /// and the last one that belongs to no transaction without an end: the same where none comes after it.
    decided: Option<Offset>,
}

/// What is to be found.
#[derive(Debug, Clone)]
enum Wanted {
    Nothing(Condition),
    Something(Condition),
    /// Of a stream.
    Stream(Expected),
}

/// Whether a condition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Holds,
    /// Something was taken out of the log since: it has to be looked at again.
    Stale,
    /// It depends on the end of a transaction that has none yet.
    Undecided,
    No,
}

impl Guard {
    /// `None` for what always holds.
    pub(crate) fn new(condition: &Condition) -> Option<Self> {
        let (selection, from, wanted) = match &condition.on {
            On::Stream { key, expected } => {
                return Self::on_stream(&Arc::new(Selection::key(key)), *expected);
            }
            On::None { query, since } => {
                (Selection::query(query), *since, Wanted::Nothing(condition.clone()))
            }
            On::Some { query } => (Selection::query(query), 0, Wanted::Something(condition.clone())),
        };
        Some(Self {
            wanted,
            selection: Arc::new(selection),
            from,
            until: 0,
            rewrites: 0,
            found: Found::default(),
        })
    }

    /// The same for a stream, by the selection of its key.
    pub(crate) fn on_stream(selection: &Arc<Selection>, expected: Expected) -> Option<Self> {
        let wanted = Wanted::Stream(expected);
        let (selection, found) = (Arc::clone(selection), Found::default());
        let guard = Self { wanted, selection, from: 0, until: 0, rewrites: 0, found };
        (expected != Expected::Any).then_some(guard)
    }

    /// An error where the index that it needs is not kept.
    pub(crate) fn check_index(&self, log: &Log) -> Result<()> {
        if matches!(*self.selection, Selection::All) { Ok(()) } else { log.check_key_index() }
    }

    /// Looks at everything that is there, but for the caller's `own` records. Takes no lock that an append takes.
    pub(crate) fn prepare(&mut self, log: &Arc<Log>, own: Own<'_>) -> Result<()> {
        self.check_index(log)?;
        // In this order: whatever is taken out after the first is noticed.
        self.rewrites = log.rewrites();
        let end = log.end();
        let found = last(log, &self.selection, (self.from, end), own);
        self.found = found.map_err(|error| log.explain(error))?;
        self.until = end;
        Ok(())
    }

    /// Looks at what came since. The caller keeps everybody from writing, and nothing is in memory.
    pub(crate) fn judge(&mut self, log: &Arc<Log>, own: Own<'_>) -> Result<Verdict> {
        if log.rewrites() != self.rewrites {
            return Ok(Verdict::Stale);
        }
        let end = log.end();
        if end > self.until {
            let newer = last(log, &self.selection, (self.from.max(self.until), end), own)?;
            self.found = self.found.and(newer);
            self.until = end;
        }
        Ok(self.verdict())
    }

    /// The same for whoever cannot let go and look again.
    pub(crate) fn judge_for_good(&mut self, log: &Arc<Log>, own: Own<'_>) -> Result<Verdict> {
        match self.judge(log, own)? {
            Verdict::Stale => {
                self.prepare(log, own)?;
                Ok(self.verdict())
            }
            verdict => Ok(verdict),
        }
    }

    /// By what was found so far.
    fn verdict(&self) -> Verdict {
        let Found { last, decided } = self.found;
        let depends = match &self.wanted {
            // Whatever comes to be, the version is neither lower than that of what is decided nor higher than that of the last.
            Wanted::Stream(Expected::Version(version)) => {
                decided.is_none_or(|decided| decided <= *version) && last.is_some_and(|last| *version <= last)
            }
            Wanted::Stream(_) | Wanted::Nothing(_) | Wanted::Something(_) => decided.is_none(),
        };
        if depends && last != decided {
            return Verdict::Undecided;
        }
        let holds = match &self.wanted {
            Wanted::Stream(expected) => expected.allows(decided),
            Wanted::Nothing(_) => decided.is_none(),
            Wanted::Something(_) => decided.is_some(),
        };
        if holds { Verdict::Holds } else { Verdict::No }
    }

    /// What to tell the caller.
    pub(crate) fn conflict(&self, log: &Log) -> Error {
        let is_undecided = self.verdict() == Verdict::Undecided;
        Error::Conflict {
            partition: log.topic_partition.clone(),
            condition: Arc::new(self.condition()),
            found: if is_undecided { self.found.last } else { self.found.decided },
            is_undecided,
        }
    }

    fn condition(&self) -> Condition {
        match (&self.wanted, &*self.selection) {
            (Wanted::Nothing(condition) | Wanted::Something(condition), _) => condition.clone(),
            (Wanted::Stream(expected), Selection::Key(key, _)) => Condition::stream(key, *expected),
            (Wanted::Stream(expected), _) => Condition::stream("", *expected),
        }
    }

    /// Sees to it that a look finds no transaction without an end, and waits for that, but not for long.
    pub(crate) fn prepare_decided(&mut self, log: &Arc<Log>, own: Own<'_>) -> Result<()> {
        self.prepare_within(&mut Patience::new(UNDECIDED_WAIT), log, own)
    }

    /// The same for one of several looks, which have their patience together.
    pub(super) fn prepare_within(
        &mut self,
        patience: &mut Patience,
        log: &Arc<Log>,
        own: Own<'_>,
    ) -> Result<()> {
        self.prepare(log, own)?;
        if self.verdict() != Verdict::Undecided {
            return Ok(());
        }
        let signal = Arc::new(Signal::default());
        log.watch(&signal);
        let outcome = loop {
            let raised = signal.raised();
            if let Err(error) = self.prepare(log, own) {
                break Err(error);
            }
            if self.verdict() != Verdict::Undecided {
                break Ok(());
            }
            if !patience.waits(&signal, raised) {
                break Err(self.conflict(log));
            }
        };
        log.unwatch(&signal);
        outcome
    }
}

impl Found {
    /// One that belongs to no transaction without an end, and nothing behind it that matters.
    fn decided(offset: Offset) -> Self {
        Self { last: Some(offset), decided: Some(offset) }
    }

    /// With what was found behind it.
    fn and(self, newer: Self) -> Self {
        Self { last: newer.last.or(self.last), decided: newer.decided.or(self.decided) }
    }
}

/// Whether the record of an offset is the caller's own.
pub(crate) type Own<'a> = &'a dyn Fn(Offset) -> bool;

/// Nothing is.
pub(crate) const NOTHING: Own<'static> = &|_| false;

/// The last records in a range that somebody may come to read, and that are not the caller's own.
fn last(
    log: &Arc<Log>,
    selection: &Arc<Selection>,
    (from, until): (Offset, Offset),
    own: Own<'_>,
) -> Result<Found> {
    if matches!(**selection, Selection::All) {
        return any(log, (from, until), own);
    }
    let list = log.segment_list();
    let from = from.max(list.start());
    selection.prefetch(list.iter().rev().take(MOST_AHEAD));
    let mut high = until;
    while high > from {
        // Compaction may have left nothing of the first ones.
        let Some(segment) = list.floor(high - 1).filter(|segment| segment.base() < high) else { break };
        let low = segment.base().max(from);
        let hits = selection.hits(segment, low..high, (Some(1), log.options.max_expanded_bytes));
        log.bound_keys(segment, list.after(segment.base()).is_some());
        match hits {
            Ok(hits) if hits.is_empty() => high = low,
            // Looked at, or, where the list is another one by now, looked up again.
            hits => {
                let found = hits.ok().and_then(|hits| plain(segment, &hits, selection));
                if let Some(offset) = found.filter(|offset| !own(*offset)) {
                    return Ok(Found::decided(offset));
                }
                return looked_at(log, selection, (from, high), own);
            }
        }
    }
    Ok(Found::default())
}

/// The same, record by record.
#[cold]
fn looked_at(
    log: &Arc<Log>,
    selection: &Arc<Selection>,
    range: (Offset, Offset),
    own: Own<'_>,
) -> Result<Found> {
    let mut backwards = ContentBackwards::new(log, Arc::clone(selection), range, Isolation::ReadUncommitted);
    let mut last = None;
    while let Some(found) = backwards.find()? {
        if own(found.offset) {
            continue;
        }
        last = last.or(Some(found.offset));
        if !found.is_undecided {
            return Ok(Found { last, decided: Some(found.offset) });
        }
    }
    Ok(Found { last, decided: None })
}

/// The last of some hits, if it is what nearly all are: a record of no transaction, uncompressed, of the key that was asked for.
fn plain(segment: &Segment, hits: &[Hit], selection: &Selection) -> Option<Offset> {
    let hit = hits.last()?;
    let batch = segment.batch_of(*hit).ok()??;
    let header = batch.header();
    let attributes = header.attributes;
    if header.codec() != Codec::None || attributes.is_control() || attributes.is_transactional() {
        return None;
    }
    BatchHeader::verify_crc(batch.bytes()).ok()?;
    let record = record_at(header, batch.body(), hit.offset).ok()??;
    selection.matches(&record).then_some(hit.offset)
}

/// A record in a range, whatever it is: the first one that is decided, or else the first one.
fn any(log: &Arc<Log>, (from, until): (Offset, Offset), own: Own<'_>) -> Result<Found> {
    // Before the look: what is read below it was decided by then.
    let stable = log.stable();
    let Some(first) = first_of(log, (from, until), Undecided::IsRead, own)? else {
        return Ok(Found::default());
    };
    if first < stable {
        return Ok(Found::decided(first));
    }
    let decided = first_of(log, (first, until), Undecided::IsPassedOver, own)?;
    Ok(decided.map_or(Found { last: Some(first), decided: None }, Found::decided))
}

/// The first record in a range that is not the caller's own.
fn first_of(
    log: &Arc<Log>,
    (from, until): (Offset, Offset),
    undecided: Undecided,
    own: Own<'_>,
) -> Result<Option<Offset>> {
    let from = from.max(log.start());
    if from >= until {
        return Ok(None);
    }
    let reader = Reader::new(Arc::clone(log), from, Visibility::Written, OnDamage::Fail);
    // What is deleted meanwhile is not there.
    let mut reader = reader.undecided(undecided).below_start(BelowStart::GoOn).until(until);
    loop {
        let slices = reader.fetch_held(FetchLimits { max_records: 500, max_bytes: 64 << 10 })?;
        if slices.is_empty() {
            return Ok(None);
        }
        let mut records = slices.iter().flat_map(RecordSlice::iter);
        if let Some(record) = records.find(|record| !own(record.offset)) {
            return Ok(Some(record.offset));
        }
    }
}

#[cfg(all(test, not(annals_shuttle)))]
mod tests {
    use super::*;
    use crate::log::RetentionPolicy;
    use crate::log::tests::append;
    use crate::log::tests::place::Place;
    use crate::segment::ReadMode;
    use crate::types::Durability;

    /// The list that a look takes before records are deleted is not taken for one from after that.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "one thread looks while another deletes")]
    fn a_look_beside_a_deletion_is_stale_after_it() {
        let place = Place::new(ReadMode::Mapped);
        let log = place.open();
        append(&log, 0..20, Durability::Os);
        let before = log.rewrites();
        let policy = RetentionPolicy { keep_from: Some(log.segment_bases()[1]), ..Default::default() };
        let held = log.segments.read();
        let deleted = Arc::clone(&log);
        let deletion = std::thread::spawn(move || deleted.apply_retention(|| policy));
        // It waits for this list to be let go of.
        while log.rewrites() == before {
            std::thread::yield_now();
        }
        let looked = (log.rewrites(), held.start());
        drop(held);
        deletion.join().unwrap().unwrap();
        assert_eq!(looked.1, 0);
        assert_ne!(looked.0, log.rewrites(), "what was seen of the old list would count as looked at");
    }

    #[test]
    fn a_look_at_all_events_beside_a_deletion_was_out_of_range() {
        let place = Place::new(ReadMode::Mapped);
        let log = place.open();
        // More than are fetched at once.
        append(&log, 0..600, Durability::Os);
        let last = log.segment_bases().last().copied().unwrap();
        assert!(last > 500);
        let is_own = |offset| {
            let policy = RetentionPolicy { keep_from: Some(last), ..Default::default() };
            if offset == 0 {
                log.apply_retention(|| policy).unwrap();
            }
            offset < last
        };
        assert_eq!(any(&log, (0, log.end()), &is_own).unwrap(), Found::decided(last));
        assert_eq!(log.start(), last);
    }
}
