//! Compares what a store holds after a crash with what it held before and what its process had been told.

use std::collections::{BTreeMap, BTreeSet};

use annals::Durability;

use crate::Outcome;
use crate::content::{KEPT, Seen, TABLE, TRIMMED};
use crate::report::{Part, Place, State, Told};

/// The size to which retention brings the topic `KEPT`.
pub(crate) const KEPT_BYTES: u64 = 48 << 10;

/// What is known of a store.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// What it held when it was last looked at. All of that was on the disk, for the look came after a remount.
    before: State,
    /// Topics that were deleted. Names are used once.
    dead: BTreeSet<String>,
    pub(crate) acknowledged: usize,
}

impl Ledger {
    /// Of a store that holds this, all of it on the disk.
    pub(crate) fn of(before: State) -> Self {
        Self { before, ..Self::default() }
    }

    /// `Err` says what was promised and is not so. `told` is what the process of `life` was told since the last look, and
    /// `survives` the level from which on a record survives what happened to it.
    pub(crate) fn judge(&mut self, now: State, told: &Told, life: u64, survives: Durability) -> Outcome {
        let look = Look { before: &self.before, now: &now, told, life, survives };
        look.wrong()?;
        look.topics(&self.dead)?;
        for (place, part) in &now.partitions {
            look.partition(place, part).map_err(|wrong| format!("{}-{}: {wrong}", place.0, place.1))?;
        }
        look.commits()?;
        self.acknowledged += told.durable.len();
        let gone = |topic: &&String| !now.partitions.keys().any(|place| place.0 == **topic);
        self.dead.extend(told.deleting.iter().filter(gone).cloned());
        self.before = now;
        Ok(())
    }
}

struct Look<'a> {
    before: &'a State,
    now: &'a State,
    told: &'a Told,
    life: u64,
    survives: Durability,
}

impl Look<'_> {
    fn wrong(&self) -> Outcome {
        self.now.wrong.first().map_or(Ok(()), |wrong| Err(wrong.clone()))
    }

    /// What must be there: what was synced, and what was written if only the process died.
    fn required(&self) -> impl Iterator<Item = &Seen> {
        let written = self.told.written.iter().filter(|_| self.survives <= Durability::Os);
        self.told.durable.iter().chain(written)
    }

    /// Promise P3: a topic is there or not, with all its partitions.
    fn topics(&self, dead: &BTreeSet<String>) -> Outcome {
        let names = |state: &State| -> BTreeSet<String> {
            state.partitions.keys().map(|place| place.0.clone()).collect()
        };
        let (before, now) = (names(self.before), names(self.now));
        for name in before.union(&self.told.created) {
            if !now.contains(name) && !self.told.deleting.contains(name) {
                return Err(format!("topic {name} is gone"));
            }
        }
        for name in &now {
            if dead.contains(name) || self.told.deleted.contains(name) {
                return Err(format!("topic {name} was deleted and is there"));
            }
            if !before.contains(name)
                && !self.told.creating.contains(name)
                && !self.told.created.contains(name)
            {
                return Err(format!("topic {name} is there and nobody made it"));
            }
        }
        let missing = |place: &&Place| now.contains(&place.0) && !self.now.partitions.contains_key(*place);
        match self.before.partitions.keys().find(missing) {
            Some(place) => Err(format!("partition {place:?} is gone")),
            None => Ok(()),
        }
    }

    fn partition(&self, place: &Place, part: &Part) -> Outcome {
        let nothing = Part::default();
        let before = self.before.partitions.get(place).unwrap_or(&nothing);
        self.bounds(place, before, part)?;
        self.told_records(place, part)?;
        if part.end < before.end {
            return Err(format!("it ends at {}, and ended at {}", part.end, before.end));
        }
        for (offset, seen) in &part.records {
            let was = before.records.get(offset);
            if *offset < before.end && was != Some(seen) {
                return Err(format!("{seen:?} stands where {was:?} was"));
            }
            if *offset >= before.end && seen.id.life != self.life {
                return Err(format!("{seen:?} came back in life {}", self.life));
            }
        }
        if place.0 == TABLE { self.rows(place, before, part) } else { self.sequence(place, part) }
    }

    /// Where the partition begins.
    fn bounds(&self, place: &Place, before: &Part, part: &Part) -> Outcome {
        let (start, was) = (part.start, before.start);
        let begun = self.told.trimming.get(place).copied().unwrap_or_default().max(was);
        let done = self.told.trimmed.get(place).copied().unwrap_or_default().max(was);
        let is_right = match place.0.as_str() {
            KEPT => start >= was && self.has_enough(place, before, part),
            TRIMMED => (done..=begun).contains(&start),
            _ => start == 0,
        };
        let is_inside = part.records.keys().all(|offset| (start..part.end).contains(offset));
        if is_right && is_inside && start <= part.end {
            return Ok(());
        }
        Err(format!("it begins at {start}, ends at {}; began at {was}, deleted {done} to {begun}", part.end))
    }

    /// Retention leaves no less than its limit. What it left may have been lost since, so what was told counts too, however
    /// late; half of the limit, for the values are not all of a segment.
    fn has_enough(&self, place: &Place, before: &Part, part: &Part) -> bool {
        let told = &self.told;
        let told = told.durable.iter().chain(&told.written).chain(&told.in_memory).chain(&told.late);
        let mut all: BTreeMap<i64, &Seen> =
            told.filter(|seen| is_at(seen, place)).map(|seen| (seen.offset, seen)).collect();
        all.extend(before.records.iter().chain(&part.records).map(|(offset, seen)| (*offset, seen)));
        let left: usize = all.range(part.start..).map(|(_, seen)| seen.id.value().len()).sum();
        part.start == 0 || left as u64 >= KEPT_BYTES / 2
    }

    /// Promise P1, and that an offset that was told is that record's and no other's.
    fn told_records(&self, place: &Place, part: &Part) -> Outcome {
        for seen in self.required().filter(|seen| is_at(seen, place) && seen.offset >= part.start) {
            let found = part.records.get(&seen.offset);
            let is_replaced = place.0 == TABLE && found.is_none() && has_later(part, seen);
            if found != Some(seen) && !is_replaced {
                return Err(format!("LOST: {seen:?} was acknowledged, found {found:?}, end {}", part.end));
            }
        }
        let mut maybe: Vec<&Seen> = self.told.written.iter().collect();
        if self.told.refused.is_empty() {
            // What was in memory when a write failed gave its offset back.
            maybe.extend(&self.told.in_memory);
        }
        for seen in maybe.into_iter().filter(|seen| is_at(seen, place)) {
            match part.records.get(&seen.offset) {
                Some(found) if found != seen => return Err(format!("{found:?} has the offset of {seen:?}")),
                _ => {}
            }
        }
        Ok(())
    }

    /// Promises P2 and P3: no hole, each thread's records in their order, batches whole.
    fn sequence(&self, place: &Place, part: &Part) -> Outcome {
        if part.records.len() as i64 != part.end - part.start {
            return Err(format!("{} records from {} to {}", part.records.len(), part.start, part.end));
        }
        let mut next: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let mut batches: BTreeMap<(u64, u64, u64), u64> = BTreeMap::new();
        for seen in part.records.values() {
            let id = seen.id;
            let least = if part.start > 0 { id.number } else { 0 };
            let expected = next.insert((id.life, id.thread), id.number + 1).unwrap_or(least);
            if (expected..id.number).any(|number| !self.told.may_be_missing(place, &id, number))
                || expected > id.number
            {
                return Err(format!("{seen:?} follows number {expected} of its thread"));
            }
            // The first batch may begin below the start.
            if seen.offset - (id.number - id.first) as i64 >= part.start {
                *batches.entry((id.life, id.thread, id.first)).or_insert(id.count) -= 1;
            }
        }
        match batches.iter().find(|(_, missing)| **missing > 0) {
            Some(batch) => Err(format!("{batch:?}: that many records are missing in a batch")),
            None => Ok(()),
        }
    }

    /// A compacted topic has the last record of each key, of what it held and of what must be there.
    fn rows(&self, place: &Place, before: &Part, part: &Part) -> Outcome {
        let required = self.required().filter(|seen| is_at(seen, place));
        for seen in before.records.values().chain(required) {
            if part.records.get(&seen.offset) != Some(seen) && !has_later(part, seen) {
                return Err(format!("LOST: {seen:?} has no later record of its key"));
            }
        }
        Ok(())
    }

    fn commits(&self) -> Outcome {
        for (whom, offset) in self.before.committed.iter().chain(&self.told.committed) {
            let place = (whom.1.clone(), whom.2);
            let found = self.now.committed.get(whom);
            if self.now.partitions.contains_key(&place) && found.is_none_or(|found| found < offset) {
                return Err(format!("LOST: {whom:?} committed {offset}, found {found:?}"));
            }
        }
        for (whom, offset) in &self.now.committed {
            let end = self.now.partitions.get(&(whom.1.clone(), whom.2)).map_or(0, |part| part.end);
            if *offset > end {
                return Err(format!("{whom:?} committed {offset}, above the end {end}"));
            }
        }
        match self.now.set_back.first() {
            Some(whom) => Err(format!("{whom:?} committed what it read as durable, and was set back")),
            None => Ok(()),
        }
    }
}

fn is_at(seen: &Seen, place: &Place) -> bool {
    seen.topic == place.0 && seen.partition == place.1
}

/// Whether a later record of its key is there.
fn has_later(part: &Part, seen: &Seen) -> bool {
    let key = seen.id.key(&seen.topic);
    let mut later = part.records.range(seen.offset + 1..);
    later.any(|(_, other)| other.id.key(&other.topic) == key)
}
