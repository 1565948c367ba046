//! What is found of ids: in the topic `__message_ids`, and in the records that have them.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::format::{IdKey, IdMark, IdRing, Malformed, SentId};
use crate::share::id_ring::{Ring, Sent};
use crate::share::ids::{SentRecord, Window, sent_from};
use crate::topic::{Partition, Replay};
use crate::types::{Offset, Timestamp};

/// Which rings there are.
#[derive(Debug, Default)]
pub(super) struct FoundRings {
    /// The topics that were opened.
    opened: BTreeSet<u128>,
    pub(super) rings: BTreeSet<u128>,
    /// What is written of others: they are gone, or could not be opened.
    others: BTreeSet<IdKey>,
}

impl FoundRings {
    pub(super) fn beside(opened: BTreeSet<u128>) -> Self {
        Self { opened, ..Self::default() }
    }

    /// What is written of topics that are gone.
    pub(super) fn gone(&self, there: &BTreeSet<u128>) -> Vec<IdKey> {
        self.others.iter().filter(|key| !there.contains(&key.topic())).copied().collect()
    }
}

impl Replay for FoundRings {
    fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> std::result::Result<(), Malformed> {
        let Some(key) = IdKey::decode(key)? else { return Ok(()) };
        if !self.opened.contains(&key.topic()) {
            if value.is_some() {
                self.others.insert(key)
            } else {
                self.others.remove(&key)
            };
        } else if matches!(key, IdKey::Ring { .. }) {
            self.rings.insert(key.topic());
        }
        Ok(())
    }
}

/// What is written of one topic's ids.
#[derive(Debug, Default)]
pub(super) struct FoundIds {
    topic: u128,
    pub(super) ring: Option<IdRing>,
    marks: BTreeMap<u32, Offset>,
    /// Which number stands in a slot.
    slots: BTreeMap<i32, i64>,
    /// By their numbers.
    sent: BTreeMap<i64, Sent>,
}

impl FoundIds {
    /// Nothing yet, of that topic.
    pub(super) fn of(topic: u128) -> Self {
        Self { topic, ..Self::default() }
    }

    /// The window that is written.
    pub(super) fn window(&self) -> Option<Window> {
        self.ring.map(|ring| Window::from_millis(ring.window_ms, ring.most))
    }

    /// The window that holds what is written and what is asked for; `None` where neither is.
    pub(super) fn window_with(&self, asked: Option<Window>) -> Option<Window> {
        // As it is written.
        let asked = asked.map(|asked| Window::from_millis(asked.millis(), asked.count()));
        match (self.window(), asked) {
            (Some(known), Some(asked)) => Some(known.or(asked)),
            (known, asked) => known.or(asked),
        }
    }

    /// Puts into a ring what is written, for a window that is none of less. What the ring has beside it stays.
    pub(super) fn put_into(self, ring: &mut Ring, window: Window) {
        let size = self.ring.and_then(|ring| usize::try_from(ring.size).ok()).filter(|size| *size > 0);
        ring.size = size.unwrap_or_else(|| Ring::size_of_new(window));
        ring.next = self.sent.last_key_value().map_or(0, |(number, _)| number.saturating_add(1));
        ring.window = self.window();
        let mut known = BTreeSet::new();
        // One that was written again counts by its later number.
        let latest = self.sent.into_values().rev().filter(|sent| known.insert(*sent)).take(ring.size);
        ring.written = latest.collect();
        ring.written.make_contiguous().reverse();
        ring.marks = self.marks;
    }

    fn put(&mut self, slot: i32, sent: SentId) {
        match self.slots.get(&slot).copied() {
            Some(before) if before > sent.number => return,
            Some(before) => _ = self.sent.remove(&before),
            None => {}
        }
        self.slots.insert(slot, sent.number);
        self.sent.insert(sent.number, (sent.at, sent.hash));
    }
}

impl Replay for FoundIds {
    fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> std::result::Result<(), Malformed> {
        let Some(key) = IdKey::decode(key)?.filter(|key| key.topic() == self.topic) else { return Ok(()) };
        match (key, value) {
            (IdKey::Ring { .. }, value) => self.ring = value.map(IdRing::decode).transpose()?,
            (IdKey::Mark { partition, .. }, Some(value)) => {
                self.marks.insert(partition, IdMark::decode(value)?.offset);
            }
            (IdKey::Mark { partition, .. }, None) => _ = self.marks.remove(&partition),
            (IdKey::Slot { slot, .. }, Some(value)) => self.put(slot, SentId::decode(value)?),
            (IdKey::Slot { slot, .. }, None) => {
                if let Some(before) = self.slots.remove(&slot) {
                    self.sent.remove(&before);
                }
            }
        }
        Ok(())
    }

    /// It may come to be, and its record with it.
    fn replay_undecided(&mut self, key: &[u8], value: Option<&[u8]>) {
        // What is not understood is no id.
        drop(self.replay(key, value));
    }
}

/// Which records may have ids that a ring does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those from the marks on.
    FromMarks,
    /// Those before them too: the ring had no room for some that are to be known now.
    WholeWindow,
}

/// Ids that a ring does not know.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    /// Of records before the marks, or older than what is written: they were sent before all that the ring knows. The first that was sent first; all of them are durable.
    pub(super) before: Vec<Sent>,
    /// Of records from the marks on, none of which is written; the first that was sent first.
    pub(super) missing: Vec<SentRecord>,
}

impl Unknown {
    /// Looks through the records of a topic that were sent after `begins`. What lies before a mark is written, or was one too many: it is
    /// not read but for a wider window. No other time is asked for: a clock may go back.
    pub(super) fn find(
        partitions: &[Partition],
        ring: &Ring,
        (begins, reach): (Timestamp, Reach),
    ) -> Result<Self> {
        let mut records = Vec::new();
        for partition in partitions {
            let Some(at) = partition.offset_for_time(begins)? else { continue };
            let from = match reach {
                Reach::WholeWindow => at.offset,
                Reach::FromMarks => at.offset.max(ring.unknown_from(partition.number())),
            };
            records.extend(sent_from(partition, from)?);
        }
        Ok(Self::of(records, (ring, reach)))
    }

    fn of(mut records: Vec<SentRecord>, (ring, reach): (&Ring, Reach)) -> Self {
        // Of several partitions nobody knows which was first within a millisecond.
        records.sort_by_key(|one| one.latest);
        let mut known = ring.known();
        records.retain(|one| known.insert((one.at, one.hash)));
        // A narrower window has passed over what was too old for it, and no mark says so.
        let written = ring.written.back().filter(|_| reach == Reach::WholeWindow);
        let is_before = |one: &SentRecord| {
            let is_durable = one.partition.durable() > one.offset;
            ring.marks.get(&one.partition.number()).is_some_and(|mark| one.offset < *mark)
                || is_durable && written.is_some_and(|(at, _)| one.latest < *at)
        };
        let (before, missing): (Vec<_>, _) = records.into_iter().partition(is_before);
        Self { before: before.iter().map(|one| (one.at, one.hash)).collect(), missing }
    }
}
