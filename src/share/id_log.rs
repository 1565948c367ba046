//! The topic `__message_ids`: which ids were sent to a topic, for as long as they are to be known, whatever becomes of their records.
//!
//! A record has its id in a header. So an id is written there only when its record survives a power cut, many at a time: otherwise
//! the id could be there, and its record not. It is written before the record may go. Those that a crash has kept from it are found in the
//! topic: in each partition behind the mark that was written with the last one there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{IdKey, IdRing};
use crate::locks::{Mutex, MutexGuard};
use crate::share::id_found::{FoundIds, FoundRings, Reach, Unknown};
use crate::share::id_ring::{Pending, Ring, Sent, mark_entries};
use crate::share::ids::Window;
use crate::topic::{Entry, Ledger, MESSAGE_IDS, Partition, Topic, Topics, unless_deleted};
use crate::types::{Offset, Timestamp};

/// So many ids are written at once, with the marks behind their records: they fit into a batch, which is there as a whole or not at all.
const MOST_AT_ONCE: usize = 4096;

pub(super) type SharedRing = Arc<Mutex<Ring>>;
type Rings = BTreeMap<u128, SharedRing>;

/// Writes and reads the topic, which comes to be with the first window.
#[derive(Debug)]
pub(super) struct IdLog {
    topics: Arc<Topics>,
    ledger: Ledger,
    /// The rings that there are, by topic; found at the first question. Held while one is made.
    rings: Mutex<Option<Rings>>,
    /// Held while the topic is written: no record stands between those of a transaction and its decision. The last lock that is taken.
    writing: Mutex<()>,
}

impl IdLog {
    pub(super) fn new(topics: Arc<Topics>) -> Self {
        let ledger = Ledger::new(Arc::clone(&topics), &MESSAGE_IDS);
        Self { topics, ledger, rings: Mutex::default(), writing: Mutex::default() }
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

    /// Has `commit` write an id together with its record, in the order in which ids were sent: those before are written first.
    pub(super) fn write_with(
        &self,
        ring: &Mutex<Ring>,
        (topic, sent): (u128, Sent),
        commit: impl FnOnce(Vec<Entry>) -> Result<()>,
    ) -> Result<()> {
        let mut ring = ring.lock();
        self.write_pending(&mut ring, (topic, sent.0))?;
        self.make_room(&mut ring, (topic, sent.0), 1)?;
        let written = commit(ring.entries(topic, &[sent]));
        if matches!(written, Ok(()) | Err(Error::Undecided { .. })) {
            // Where nobody knows, the slot is not another's: it may be written.
            ring.take_written(vec![sent]);
        }
        written
    }

    /// Nobody writes the topic as long as this is held.
    pub(super) fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock()
    }

    /// The partition that holds all of them.
    pub(super) fn partition(&self) -> Result<Partition> {
        self.ledger.partition()
    }

    fn append(&self, entries: &[Entry]) -> Result<()> {
        let _writing = self.writing();
        self.ledger.append(entries, |_| {})
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

    /// The same for a call that takes records out: where the disk is full, or the topic of the ids cannot be read, room comes first.
    pub(super) fn keep_or_give_up(&self, topic: &Topic, now: Timestamp) -> Result<()> {
        let is_broken = match self.topics.get(MESSAGE_IDS.name) {
            // There is none yet.
            Ok(_) | Err(Error::UnknownTopic { .. }) => false,
            Err(_) => true,
        };
        match self.keep(topic, now) {
            Err(error) if is_broken || error.is_disk_full() => Ok(()),
            kept => kept,
        }
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
            self.append(&gone)?;
            *rings = Some(found.rings.into_iter().map(|topic| (topic, Arc::default())).collect());
        }
        Ok(rings.get_or_insert_default())
    }

    /// Knows what is written of a topic's ids and, where that is needed, what its records say of others. Returns all of them, the
    /// first that was sent first.
    fn look_through(
        &self,
        topic: &Topic,
        (ring, asked): (&mut Ring, Option<Window>),
        now: Timestamp,
    ) -> Result<Vec<Sent>> {
        let found = self.found(topic.id())?;
        let Some(wanted) = found.window_with(asked) else { return Ok(Vec::new()) };
        let (stored, known) = (found.ring, found.window());
        found.put_into(ring, wanted);
        let is_wider = known.is_some_and(|known| known != wanted);
        let reach = if is_wider { Reach::WholeWindow } else { Reach::FromMarks };
        let begins = wanted.begins(now).max(0);
        let Unknown { before, missing } = Unknown::find(&topic.partitions(), ring, (begins, reach))?;
        if !before.is_empty() {
            self.put_before(ring, (topic.id(), wanted), before)?;
        }
        ring.pending.extend(missing.into_iter().map(Pending::of));
        ring.window = Some(wanted);
        // After all that the window is to hold: as long as it is not written, the next life looks for that again.
        self.write_window(ring, topic.id(), stored)?;
        ring.is_whole = true;
        Ok(ring.all())
    }

    fn found(&self, topic: u128) -> Result<FoundIds> {
        let mut found = FoundIds::of(topic);
        self.ledger.load(&mut found)?;
        Ok(found)
    }

    /// Writes ids that were sent before all that are written, and those again: as many as the window holds.
    fn put_before(
        &self,
        ring: &mut Ring,
        (topic, wanted): (u128, Window),
        mut before: Vec<Sent>,
    ) -> Result<()> {
        before.extend(ring.written.iter().copied());
        let too_many = before.len().saturating_sub(wanted.slots());
        before.drain(..too_many);
        let size = ring.size.saturating_add(before.len());
        self.renew(ring, (topic, size), before)
    }

    /// Writes which window the ring is for, durably, where that is not written.
    fn write_window(&self, ring: &Ring, topic: u128, stored: Option<IdRing>) -> Result<()> {
        let Some(window) = ring.window else { return Ok(()) };
        let entry = ring.stored(window);
        if stored == Some(entry) {
            return Ok(());
        }
        let key = IdKey::Ring { topic }.encode();
        self.append(&[Entry { key, value: Some(entry.encode()) }])?;
        self.ledger.sync()
    }

    /// Writes those whose records are durable, up to the first whose record is not, and so many at once.
    fn write_durable(&self, ring: &mut Ring, (topic, now): (u128, Timestamp)) -> Result<()> {
        let is_durable = |one: &&Pending| one.is_durable();
        let ids: Vec<_> = ring
            .pending
            .iter()
            .take(MOST_AT_ONCE)
            .take_while(is_durable)
            .map(|one| (one.at, one.hash))
            .collect();
        self.make_room(ring, (topic, now), ids.len())?;
        let (count, marks) = (ids.len(), ring.marks_after(ids.len()));
        let mut entries = ring.entries(topic, &ids);
        entries.extend(mark_entries(topic, &marks));
        self.append(&entries)?;
        ring.pending.drain(..count);
        ring.marks.extend(marks);
        ring.take_written(ids);
        Ok(())
    }

    /// Has more slots where some would go that are to be known.
    fn make_room(&self, ring: &mut Ring, (topic, now): (u128, Timestamp), ids: usize) -> Result<()> {
        let Some(window) = ring.window else { return Ok(()) };
        if !ring.is_too_small_for(ids, window.begins(now)) {
            return Ok(());
        }
        let size = ring.size.max(ids).saturating_mul(2);
        let again = ring.written.iter().copied().collect();
        self.renew(ring, (topic, size), again)
    }

    /// Gives a ring so many slots, and writes its ids again, all in slots that are not in use: a crash in between takes none. The ring has
    /// room for them behind the slots it had.
    fn renew(&self, ring: &mut Ring, (topic, size): (u128, usize), ids: Vec<Sent>) -> Result<()> {
        let Some(window) = ring.window else { return Ok(()) };
        let mut grown = ring.grown(size);
        let key = IdKey::Ring { topic }.encode();
        // First: who finds some of them takes the next numbers for others.
        let mut entries = vec![Entry { key, value: Some(grown.stored(window).encode()) }];
        entries.extend(grown.entries(topic, &ids));
        self.append(&entries)?;
        grown.take_written(ids);
        (ring.size, ring.next, ring.written) = (grown.size, grown.next, grown.written);
        Ok(())
    }

    /// Writes all of them, after making their records durable.
    fn write_pending(&self, ring: &mut Ring, of: (u128, Timestamp)) -> Result<()> {
        while !ring.pending.is_empty() {
            let mut synced = BTreeSet::new();
            for one in ring.pending.iter().take(MOST_AT_ONCE) {
                if !one.is_durable() && synced.insert(one.partition.number()) {
                    one.partition.log().flush().map_err(|error| one.partition.log().explain(error))?;
                }
            }
            self.write_durable(ring, of)?;
        }
        Ok(())
    }
}
