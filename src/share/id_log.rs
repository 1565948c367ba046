//! The topic `__message_ids`: which ids were sent to a topic, for as long as they are to be known, whatever becomes of their records.
//!
//! A record has its id in a header. So an id is written there only when its record survives a power cut, many at a time: otherwise
//! the id could be there, and its record not. It is written before the record may go. Those that a crash has kept from it are found in the
//! topic, behind the last one that was written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::error::Result;
use crate::format::{IdKey, IdRing, Malformed, SentId};
use crate::locks::Mutex;
use crate::share::ids::{SentRecord, Window, sent_since};
use crate::topic::{Entry, Ledger, MESSAGE_IDS, Partition, Replay, Topic, Topics, unless_deleted};
use crate::types::{Offset, Timestamp};

/// A ring grows to as many slots as it needs, and not beyond its window's number.
const FEWEST_SLOTS: usize = 1024;

/// When an id was sent, and its hash.
type Sent = (Timestamp, u128);
pub(super) type SharedRing = Arc<Mutex<Ring>>;
type Rings = BTreeMap<u128, SharedRing>;

/// Writes and reads the topic, which comes to be with the first window.
#[derive(Debug)]
pub(super) struct IdLog {
    topics: Arc<Topics>,
    ledger: Ledger,
    /// The rings that there are, by topic; found at the first question. Held while one is made.
    rings: Mutex<Option<Rings>>,
}

/// The ids of a topic. Its lock is held while they are written, and their records made durable; it comes after that of senders.
#[derive(Debug, Default)]
pub(super) struct Ring {
    window: Option<Window>,
    size: usize,
    /// The number of the next one that is written.
    next: i64,
    /// Those that are written, the oldest first: `size` at most.
    written: VecDeque<Sent>,
    /// Those that are not, in the order in which they were sent.
    pending: VecDeque<Pending>,
    /// The topic was looked through for those that an earlier life has not written.
    is_whole: bool,
}

#[derive(Debug)]
struct Pending {
    partition: Partition,
    offset: Offset,
    at: Timestamp,
    hash: u128,
}

impl IdLog {
    pub(super) fn new(topics: Arc<Topics>) -> Self {
        let ledger = Ledger::new(Arc::clone(&topics), &MESSAGE_IDS);
        Self { topics, ledger, rings: Mutex::default() }
    }

    /// The ring of a topic, for somebody who sends with that window, and all ids that are known.
    pub(super) fn open(
        &self,
        topic: &Topic,
        (asked, now): (Window, Timestamp),
    ) -> Result<(SharedRing, Vec<Sent>)> {
        let ring = {
            let mut rings = self.rings.lock();
            let rings = self.known(&mut rings)?;
            Arc::clone(rings.entry(topic.id()).or_default())
        };
        let mut held = ring.lock();
        let found = self.look_through(topic, (&mut held, Some(asked)), now)?;
        drop(held);
        Ok((ring, found))
    }

    /// Notes that an id was sent, with a record that is there.
    pub(super) fn note(
        &self,
        ring: &Mutex<Ring>,
        (partition, offset): (&Partition, Offset),
        (at, hash): Sent,
    ) {
        let mut ring = ring.lock();
        ring.pending.push_back(Pending { partition: partition.clone(), offset, at, hash });
        if ring.pending.len() > ring.most() {
            // Nobody is to know it any more.
            ring.pending.pop_front();
        }
        if ring.pending.front().is_some_and(Pending::is_durable) {
            // What fails is tried again with the next one, and before a record goes.
            drop(self.write_durable(&mut ring, (partition.topic_id(), at)));
        }
    }

    /// Returns when no id that is to be known is lost with its record, whatever crashes.
    pub(super) fn keep(&self, topic: &Topic, now: Timestamp) -> Result<()> {
        let ring = {
            let mut rings = self.rings.lock();
            let Some(ring) = self.known(&mut rings)?.get(&topic.id()) else { return Ok(()) };
            Arc::clone(ring)
        };
        let mut ring = ring.lock();
        if !ring.is_whole {
            self.look_through(topic, (&mut ring, None), now)?;
        }
        self.write_pending(&mut ring, (topic.id(), now))?;
        self.ledger.sync()
    }

    /// The same of all topics.
    pub(super) fn keep_all(&self, now: Timestamp) -> Result<()> {
        if self.known(&mut self.rings.lock())?.is_empty() {
            return Ok(());
        }
        let mut first = Ok(());
        for topic in self.topics.all() {
            first = first.and(unless_deleted(self.keep(&topic, now)).unwrap_or(Ok(())));
        }
        first
    }

    /// Writes what is not written, so that the next life knows in which order they were sent. What cannot be written it finds in the topic.
    pub(super) fn keep_at_close(&self, now: Timestamp) -> Result<()> {
        let has_some = self.rings.lock().as_ref().is_some_and(|rings| !rings.is_empty());
        if has_some { self.keep_all(now) } else { Ok(()) }
    }

    /// Forgets those of topics that are gone: what is written of them goes with the next open that asks.
    pub(super) fn forget_deleted(&self) {
        if let Some(rings) = &mut *self.rings.lock() {
            let there: BTreeSet<_> = self.topics.all().iter().map(Topic::id).collect();
            rings.retain(|topic, _| there.contains(topic));
        }
    }

    /// The rings that there are. At the first question those of topics that are gone are forgotten: none is ever another's.
    fn known<'a>(&self, rings: &'a mut Option<Rings>) -> Result<&'a mut Rings> {
        if rings.is_none() {
            let there: BTreeSet<_> = self.topics.all().iter().map(Topic::id).collect();
            let mut found = FoundRings { there, ..FoundRings::default() };
            self.ledger.load(&mut found)?;
            let gone: Vec<_> =
                found.gone.iter().map(|key| Entry { key: key.encode(), value: None }).collect();
            self.ledger.append(&gone, |_| {})?;
            *rings = Some(found.rings.into_iter().map(|topic| (topic, Arc::default())).collect());
        }
        Ok(rings.get_or_insert_default())
    }

    /// Reads what is written of a topic's ids and, where that is needed, what its records say of others. Returns all of them, the
    /// first that was sent first.
    fn look_through(
        &self,
        topic: &Topic,
        (ring, asked): (&mut Ring, Option<Window>),
        now: Timestamp,
    ) -> Result<Vec<Sent>> {
        let mut found = FoundIds { topic: topic.id(), ..FoundIds::default() };
        self.ledger.load(&mut found)?;
        let known = found.ring.map(|ring| Window::from_millis(ring.window_ms, ring.most));
        let asked = asked.map(|asked| Window::from_millis(asked.millis(), asked.count()));
        let Some(wanted) = asked.map(|asked| known.map_or(asked, |known| known.or(asked))).or(known) else {
            return Ok(Vec::new());
        };
        let size = found.ring.and_then(|ring| usize::try_from(ring.size).ok()).filter(|size| *size > 0);
        ring.window = Some(wanted);
        ring.size = size.unwrap_or(FEWEST_SLOTS.min(wanted.slots()));
        ring.next = found.sent.last_key_value().map_or(0, |(number, _)| number + 1);
        let mut known_ones = BTreeSet::new();
        // One that was written again counts by its later number.
        let mut sent: Vec<_> =
            found.sent.into_values().rev().filter(|sent| known_ones.insert(*sent)).collect();
        sent.reverse();
        ring.written = sent.iter().copied().skip(sent.len().saturating_sub(ring.size)).collect();
        let begins = match ring.written.back() {
            Some((last, _)) if known == Some(wanted) => *last,
            // More are to be known than before: some may be in the topic alone.
            _ => wanted.begins(now).max(0),
        };
        known_ones.extend(ring.pending.iter().map(|one| (one.at, one.hash)));
        let mut missing = sent_since(&topic.partitions(), begins)?;
        let is_written = |one: &SentRecord| known_ones.contains(&(one.at, one.hash));
        // They are written in the order in which they were sent: what lies before a written one is written, or was one too many.
        let mut written_up_to: BTreeMap<u32, Offset> = BTreeMap::new();
        for one in missing.iter().filter(|one| is_written(one)) {
            written_up_to.insert(one.partition.number(), one.offset);
        }
        let newest = ring.written.back().map(|(at, _)| *at);
        let is_later = |one: &SentRecord| match written_up_to.get(&one.partition.number()) {
            Some(written) => one.offset > *written,
            // Of several partitions nobody knows which was first within a millisecond.
            None => newest.is_none_or(|newest| one.at > newest),
        };
        let is_wider = known != Some(wanted);
        let mut older = Vec::new();
        missing.retain(|one| {
            let is_new = !known_ones.contains(&(one.at, one.hash));
            let is_kept = is_new && (is_wider || is_later(one));
            if is_new && !is_kept {
                older.push(one.clone());
            }
            is_kept
        });
        missing.sort_by_key(|one| one.latest);
        missing.retain(|one| known_ones.insert((one.at, one.hash)));
        older.sort_by_key(|one| one.latest);
        older.retain(|one| known_ones.insert((one.at, one.hash)));
        let missing = missing.into_iter().map(|SentRecord { partition, offset, at, hash, .. }| Pending {
            partition,
            offset,
            at,
            hash,
        });
        ring.pending.extend(missing);
        let stored = ring.stored(wanted);
        if found.ring != Some(stored) {
            let key = IdKey::Ring { topic: topic.id() }.encode();
            self.ledger.append(&[Entry { key, value: Some(stored.encode()) }], |_| {})?;
            self.ledger.sync()?;
        }
        ring.is_whole = true;
        // Whatever they are, they are in nobody's way.
        let mut all: Vec<_> = older.iter().map(|one| (one.at, one.hash)).collect();
        all.append(&mut sent);
        all.extend(ring.pending.iter().map(|one| (one.at, one.hash)));
        Ok(all)
    }

    /// Writes those whose records are durable, up to the first whose record is not.
    fn write_durable(&self, ring: &mut Ring, (topic, now): (u128, Timestamp)) -> Result<()> {
        let count = ring.pending.iter().take_while(|one| one.is_durable()).count();
        let ids: Vec<_> = ring.pending.iter().take(count).map(|one| (one.at, one.hash)).collect();
        self.make_room(ring, (topic, now), ids.len())?;
        self.ledger.append(&ring.entries(topic, &ids), |_| {})?;
        ring.next = ring.next.saturating_add(number_of(count));
        ring.pending.drain(..count);
        ring.written.extend(ids);
        let old = ring.written.len().saturating_sub(ring.size);
        ring.written.drain(..old);
        Ok(())
    }

    /// Has more slots where some would go that are to be known. All get other slots then, none of which is in use: a crash in
    /// between takes none.
    fn make_room(&self, ring: &mut Ring, (topic, now): (u128, Timestamp), ids: usize) -> Result<()> {
        let Some(window) = ring.window else { return Ok(()) };
        let begins = window.begins(now);
        let goes = ring.written.len().saturating_add(ids).saturating_sub(ring.size);
        let is_needed = ids > ring.size || ring.written.iter().take(goes).any(|(at, _)| *at > begins);
        if !is_needed || ring.size >= window.slots() {
            return Ok(());
        }
        let size = ring.size.max(ids).saturating_mul(2);
        let mut grown = Ring { size, window: ring.window, ..Ring::default() };
        let (before, size) = (number_of(ring.size), number_of(size));
        grown.next = ring.next.div_euclid(size).saturating_add(1).saturating_mul(size).saturating_add(before);
        let again: Vec<_> = ring.written.iter().copied().collect();
        let key = IdKey::Ring { topic }.encode();
        let mut entries = vec![Entry { key, value: Some(grown.stored(window).encode()) }];
        entries.extend(grown.entries(topic, &again));
        self.ledger.append(&entries, |_| {})?;
        (ring.size, ring.next) = (grown.size, grown.next.saturating_add(number_of(again.len())));
        Ok(())
    }

    /// Writes all of them, after making their records durable.
    fn write_pending(&self, ring: &mut Ring, of: (u128, Timestamp)) -> Result<()> {
        let mut synced = BTreeSet::new();
        for one in &ring.pending {
            if !one.is_durable() && synced.insert(one.partition.number()) {
                one.partition.log().flush().map_err(|error| one.partition.log().explain(error))?;
            }
        }
        self.write_durable(ring, of)?;
        if ring.pending.is_empty() { Ok(()) } else { self.write_pending(ring, of) }
    }
}

impl Pending {
    fn is_durable(&self) -> bool {
        self.partition.durable() > self.offset
    }
}

impl Ring {
    fn most(&self) -> usize {
        self.window.map_or(0, Window::slots)
    }

    /// What is written of the ring itself.
    fn stored(&self, window: Window) -> IdRing {
        let size = i32::try_from(self.size).unwrap_or(i32::MAX);
        IdRing { window_ms: window.millis(), most: window.count(), size }
    }

    /// What is written of ids that get the next numbers.
    fn entries(&self, topic: u128, ids: &[Sent]) -> Vec<Entry> {
        let size = number_of(self.size.max(1));
        let entry = |(number, (at, hash)): (i64, &Sent)| {
            let slot = i32::try_from(number.rem_euclid(size)).unwrap_or(0);
            let value = SentId { number, at: *at, hash: *hash }.encode();
            Entry { key: IdKey::Slot { topic, slot }.encode(), value: Some(value) }
        };
        (self.next..).zip(ids).map(entry).collect()
    }
}

fn number_of(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Which rings there are.
#[derive(Debug, Default)]
struct FoundRings {
    there: BTreeSet<u128>,
    rings: BTreeSet<u128>,
    /// What is written of topics that are gone.
    gone: BTreeSet<IdKey>,
}

impl Replay for FoundRings {
    fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> std::result::Result<(), Malformed> {
        let Some(key) = IdKey::decode(key)? else { return Ok(()) };
        if !self.there.contains(&key.topic()) {
            if value.is_some() {
                self.gone.insert(key)
            } else {
                self.gone.remove(&key)
            };
        } else if matches!(key, IdKey::Ring { .. }) {
            self.rings.insert(key.topic());
        }
        Ok(())
    }
}

/// What is written of one topic's ids.
#[derive(Debug, Default)]
struct FoundIds {
    topic: u128,
    ring: Option<IdRing>,
    /// Which number stands in a slot.
    slots: BTreeMap<i32, i64>,
    /// By their numbers.
    sent: BTreeMap<i64, Sent>,
}

impl Replay for FoundIds {
    fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> std::result::Result<(), Malformed> {
        let Some(key) = IdKey::decode(key)?.filter(|key| key.topic() == self.topic) else { return Ok(()) };
        match (key, value) {
            (IdKey::Ring { .. }, value) => self.ring = value.map(IdRing::decode).transpose()?,
            (IdKey::Slot { slot, .. }, value) => {
                if let Some(before) = self.slots.remove(&slot) {
                    self.sent.remove(&before);
                }
                let Some(sent) = value.map(SentId::decode).transpose()? else { return Ok(()) };
                self.slots.insert(slot, sent.number);
                self.sent.insert(sent.number, (sent.at, sent.hash));
            }
        }
        Ok(())
    }
}
