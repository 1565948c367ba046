//! The ids of a topic, as they are in memory beside what is written of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::format::{IdKey, IdMark, IdRing, SentId};
use crate::share::ids::{SentRecord, Window};
use crate::topic::{Entry, Partition};
use crate::types::{Offset, Timestamp};

/// A ring grows to as many slots as it needs, and not beyond its window's number.
const FEWEST_SLOTS: usize = 1024;

/// When an id was sent, and its hash.
pub(super) type Sent = (Timestamp, u128);

/// The ids of a topic. Its lock is held while they are written, and their records made durable; it comes after that of senders.
#[derive(Debug, Default)]
pub(super) struct Ring {
    pub(super) window: Option<Window>,
    pub(super) size: usize,
    /// The number of the next one that is written.
    pub(super) next: i64,
    /// Those that are written, the oldest first: `size` at most.
    pub(super) written: VecDeque<Sent>,
    /// Of each partition the offset behind the last record whose id is written. Ids of records from there on are not.
    pub(super) marks: BTreeMap<u32, Offset>,
    /// Those that are not written, in the order in which they were sent.
    pub(super) pending: VecDeque<Pending>,
    /// Those that were sent before and whose records cannot be made durable now: they hold up no others.
    aside: VecDeque<Pending>,
    /// Of each partition the last one that was forgotten, for there were too many, and behind which the mark does not stand yet.
    passed: BTreeMap<u32, Pending>,
    /// Partitions that keep the records of ids until these are written, durably.
    keeping: BTreeMap<u32, Partition>,
    /// The topic was looked through for those that an earlier life has not written.
    pub(super) is_whole: bool,
}

/// An id that is not written, and where its record is.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    pub(super) at: Timestamp,
    pub(super) hash: u128,
}

impl Pending {
    pub(super) fn of(record: SentRecord) -> Self {
        let SentRecord { partition, offset, at, hash, .. } = record;
        Self { partition, offset, at, hash }
    }

    pub(super) fn is_durable(&self) -> bool {
        self.partition.durable() > self.offset
    }

    /// Nobody knows in this life whether its record is on the disk.
    fn is_lost(&self) -> bool {
        self.partition.log().poisoned_by().is_some()
    }
}

impl Ring {
    /// How many ids anybody is to know.
    pub(super) fn most(&self) -> usize {
        self.window.map_or(0, Window::slots)
    }

    /// How many slots one has that is new.
    pub(super) fn size_of_new(window: Window) -> usize {
        FEWEST_SLOTS.min(window.slots())
    }

    /// All that are known, the first that was sent first.
    pub(super) fn all(&self) -> Vec<Sent> {
        let unwritten = self.aside.iter().chain(&self.pending).map(|one| (one.at, one.hash));
        self.written.iter().copied().chain(unwritten).collect()
    }

    /// The same, to be asked for.
    pub(super) fn known(&self) -> BTreeSet<Sent> {
        self.all().into_iter().collect()
    }

    /// One more that is not written: its record stays. Where there are more than anybody is to know, the oldest is forgotten.
    pub(super) fn push(&mut self, one: Pending) {
        one.partition.log().need_from(one.offset);
        self.keeping.entry(one.partition.number()).or_insert_with(|| one.partition.clone());
        self.pending.push_back(one);
        if self.aside.len().saturating_add(self.pending.len()) > self.most()
            && let Some(oldest) = self.aside.pop_front().or_else(|| self.pending.pop_front())
        {
            self.passed.insert(oldest.partition.number(), oldest);
        }
    }

    /// The same of those that were sent before all that are not written, the first that was sent first.
    pub(super) fn push_first(&mut self, before: impl Iterator<Item = Pending>) {
        self.take_up_again();
        let after = std::mem::take(&mut self.pending);
        before.chain(after).for_each(|one| self.push(one));
    }

    /// Those that were forgotten are looked for again.
    pub(super) fn forget_passed(&mut self) {
        self.passed.clear();
    }

    /// From which record of a partition on there may be ids that this does not know, for a window that is no wider.
    pub(super) fn unknown_from(&self, partition: u32) -> Offset {
        let passed = self.passed.get(&partition).map_or(0, |one| one.offset.saturating_add(1));
        self.marks.get(&partition).map_or(passed, |mark| passed.max(*mark))
    }

    /// Whether the first of those that are not written can be. Of a partition that is poisoned none can, before the store is opened again.
    pub(super) fn is_first_durable(&mut self) -> bool {
        while self.pending.front().is_some_and(Pending::is_lost) {
            self.aside.extend(self.pending.pop_front());
        }
        // Behind those that were forgotten stand the marks that are written with it.
        let are_passed = self.passed.values().all(|one| one.is_durable() || one.is_lost());
        are_passed && self.pending.front().is_some_and(Pending::is_durable)
    }

    /// The partitions whose records have to be durable before so many are written, each once.
    pub(super) fn not_durable(&self, count: usize) -> BTreeMap<u32, Partition> {
        let all = self.passed.values().chain(self.pending.iter().take(count));
        let waiting = all.filter(|one| !one.is_durable());
        waiting.map(|one| (one.partition.number(), one.partition.clone())).collect()
    }

    /// Sets aside those of some partitions.
    pub(super) fn set_aside(&mut self, is_of: impl Fn(u32) -> bool) {
        let (aside, pending) =
            std::mem::take(&mut self.pending).into_iter().partition(|one| is_of(one.partition.number()));
        self.pending = pending;
        let aside: VecDeque<Pending> = aside;
        self.aside.extend(aside);
    }

    /// Has those that were set aside tried again, in their order.
    pub(super) fn take_up_again(&mut self) {
        let mut all = std::mem::take(&mut self.aside);
        all.append(&mut self.pending);
        self.pending = all;
    }

    /// All that is written is durable: records go as far as their ids are, and further in partitions where room comes first.
    pub(super) fn let_go(&mut self, room_comes_first: impl Fn(u32) -> bool) {
        let mut least: BTreeMap<u32, Offset> = BTreeMap::new();
        for one in self.aside.iter().chain(&self.pending) {
            let first = least.entry(one.partition.number()).or_insert(one.offset);
            *first = one.offset.min(*first);
        }
        self.keeping.retain(|number, partition| {
            let first = least.get(number).copied().filter(|_| !room_comes_first(*number));
            partition.log().need_only_from(first.unwrap_or(Offset::MAX));
            first.is_some()
        });
    }

    /// What is written of the ring itself.
    pub(super) fn stored(&self, window: Window) -> IdRing {
        let size = i32::try_from(self.size).unwrap_or(i32::MAX);
        IdRing { window_ms: window.millis(), most: window.count(), size }
    }

    /// What is written of ids that get the next numbers.
    pub(super) fn entries(&self, topic: u128, ids: &[Sent]) -> Vec<Entry> {
        let size = number_of(self.size.max(1));
        let entry = |(number, (at, hash)): (i64, &Sent)| {
            let slot = i32::try_from(number.rem_euclid(size)).unwrap_or(0);
            let value = SentId { number, at: *at, hash: *hash }.encode();
            Entry { key: IdKey::Slot { topic, slot }.encode(), value: Some(value) }
        };
        (self.next..).zip(ids).map(entry).collect()
    }

    /// Where the marks are when the first of what is not written is. What was forgotten before is behind them, too: the next life would take it
    /// for newer than that.
    pub(super) fn marks_after(&self, count: usize) -> BTreeMap<u32, Offset> {
        let passed = self.passed.values().filter(|one| one.is_durable());
        let written = passed.chain(self.pending.iter().take(count));
        let after = |one: &Pending| {
            let number = one.partition.number();
            // The next life finds those that were set aside behind the mark, or never.
            let aside = self.aside.iter().filter(|other| other.partition.number() == number);
            let first_aside = aside.map(|other| other.offset).min().unwrap_or(Offset::MAX);
            (number, one.offset.saturating_add(1).min(first_aside))
        };
        written.map(after).collect()
    }

    /// The first of what is not written is, and so are the marks.
    pub(super) fn written_with(&mut self, marks: BTreeMap<u32, Offset>, ids: Vec<Sent>) {
        self.pending.drain(..ids.len().min(self.pending.len()));
        self.marks.extend(marks);
        let marks = &self.marks;
        self.passed.retain(|number, one| marks.get(number).is_none_or(|mark| *mark <= one.offset));
        self.take_written(ids);
    }

    /// They are written.
    pub(super) fn take_written(&mut self, ids: Vec<Sent>) {
        self.next = self.next.saturating_add(number_of(ids.len()));
        self.written.extend(ids);
        let old = self.written.len().saturating_sub(self.size);
        self.written.drain(..old);
    }

    /// Whether so many more would go into slots of others that are to be known.
    pub(super) fn is_too_small_for(&self, ids: usize, begins: Timestamp) -> bool {
        let goes = self.written.len().saturating_add(ids).saturating_sub(self.size);
        let takes_one = ids > self.size || self.written.iter().take(goes).any(|(at, _)| *at > begins);
        takes_one && self.size < self.most()
    }

    /// One with so many slots that takes the place of this one, and whose first ids stand in no slot that this one has.
    pub(super) fn grown(&self, size: usize) -> Self {
        let (before, slots) = (number_of(self.size), number_of(size.max(1)));
        let round = self.next.div_euclid(slots).saturating_add(1);
        let next = round.saturating_mul(slots).saturating_add(before);
        Self { size, next, window: self.window, marks: self.marks.clone(), ..Self::default() }
    }
}

/// What is written of marks.
pub(super) fn mark_entries(topic: u128, marks: &BTreeMap<u32, Offset>) -> impl Iterator<Item = Entry> {
    marks.iter().map(move |(partition, offset)| {
        let key = IdKey::Mark { topic, partition: *partition }.encode();
        Entry { key, value: Some(IdMark { offset: *offset }.encode()) }
    })
}

fn number_of(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
