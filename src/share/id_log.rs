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
use crate::share::once_later::Taken;
use crate::topic::{Entry, Ledger, MESSAGE_IDS, Partition, Topic, Topics, unless_deleted};
use crate::types::{Offset, Timestamp};
use crate::upkeep::Otherwise;

/// So many ids are written at once, with the marks behind their records: they fit into a batch, which is there as a whole or not at all.
const MOST_AT_ONCE: usize = 4096;

pub(super) type SharedRing = Arc<Mutex<Ring>>;
type Rings = BTreeMap<u128, SharedRing>;
/// What kept ids of a topic from being written, by partition.
type Failed = BTreeMap<u32, Error>;

/// Which records of a topic may go, for their ids are written.
#[derive(Debug)]
pub(crate) struct Kept {
    /// An error where none may.
    all: Result<()>,
    failed: Failed,
    /// What did not work where room comes first.
    given_up: Result<()>,
}

impl Default for Kept {
    /// All of them.
    fn default() -> Self {
        Self { all: Ok(()), failed: Failed::new(), given_up: Ok(()) }
    }
}

impl Kept {
    /// None of them.
    pub(crate) fn failed(error: Error) -> Self {
        Self { all: Err(error), ..Self::default() }
    }

    /// Whether those of a partition may.
    pub(crate) fn of(&self, partition: u32) -> Result<()> {
        self.all.clone().and_then(|()| self.failed.get(&partition).cloned().map_or(Ok(()), Err))
    }

    /// Whether those of every partition may.
    fn of_all(self) -> Result<()> {
        self.all.and_then(|()| self.failed.into_values().next().map_or(Ok(()), Err))
    }

    /// An error where ids are not written, and records may go all the same.
    pub(crate) fn given_up(&self) -> Result<()> {
        self.given_up.clone()
    }
}

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
        ring.push(Pending { partition: partition.clone(), offset, at, hash });
        if ring.is_first_durable() {
            // What fails is tried again with the next one, and before a record goes.
            drop(self.write_durable(&mut ring, (partition.topic_id(), at)));
        }
    }

    /// Has `commit` write an id together with its record, in the order in which ids were sent: those before are written first, where
    /// their records can be made durable.
    pub(super) fn write_with(
        &self,
        ring: &Mutex<Ring>,
        (topic, sent, taken): (u128, Sent, &Taken),
        commit: impl FnOnce(Vec<Entry>) -> Result<()>,
    ) -> Result<()> {
        let mut ring = ring.lock();
        let _unwritten = self.write_pending(&mut ring, (topic, sent.0))?;
        self.make_room(&mut ring, (topic, sent.0), 1)?;
        let entries = ring.entries(topic, &[sent]);
        // Where nobody knows, the slot is not another's: it may be written. So it is where a panic comes by.
        let _slot = Otherwise::new(|| {
            if taken.is_so() {
                ring.take_written(vec![sent]);
            }
        });
        commit(entries)
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

    /// Writes the ids of a topic, so that none that is to be known is lost with its record, whatever crashes. Where the disk is full, or the
    /// topic of the ids cannot be read, room comes first.
    pub(super) fn keep(&self, topic: &Topic, now: Timestamp) -> Kept {
        let ring = match self.ring_of(topic) {
            Ok(Some(ring)) => ring,
            Ok(None) => return Kept::default(),
            Err(error) if self.is_broken(&error) => return Kept { given_up: Err(error), ..Kept::default() },
            Err(error) => return Kept::failed(error),
        };
        let mut ring = ring.lock();
        match self.write_all(&mut ring, topic, now) {
            Ok(mut failed) => {
                let full = failed.iter().find(|(_, error)| error.is_disk_full());
                let given_up = full.map_or(Ok(()), |(_, error)| Err(error.clone()));
                ring.let_go(|number| failed.get(&number).is_some_and(Error::is_disk_full));
                failed.retain(|_, error| !error.is_disk_full());
                Kept { all: Ok(()), failed, given_up }
            }
            Err(error) if error.is_disk_full() || self.is_broken(&error) => {
                ring.let_go(|_| true);
                Kept { given_up: Err(error), ..Kept::default() }
            }
            Err(error) => Kept::failed(error),
        }
    }

    /// Whether an error is that the topic of the ids cannot be read, in this life.
    fn is_broken(&self, error: &Error) -> bool {
        match self.topics.get(MESSAGE_IDS.name) {
            Ok(_) => {
                matches!(error, Error::Corrupt { partition: Some(at), .. } if at.topic() == MESSAGE_IDS.name)
            }
            // There is none yet.
            Err(Error::UnknownTopic { .. }) => false,
            Err(_) => true,
        }
    }

    fn ring_of(&self, topic: &Topic) -> Result<Option<SharedRing>> {
        let mut rings = self.rings.lock();
        Ok(self.known(&mut rings)?.get(&topic.id()).cloned())
    }

    fn write_all(&self, ring: &mut Ring, topic: &Topic, now: Timestamp) -> Result<Failed> {
        if !ring.is_whole {
            self.look_through(topic, (ring, None), now)?;
        }
        let failed = self.write_pending(ring, (topic.id(), now))?;
        self.ledger.sync().map(|()| failed)
    }

    /// Writes what is not written, so that the next life knows in which order they were sent. What cannot be written it finds in the topic.
    pub(super) fn keep_at_close(&self, now: Timestamp) -> Result<()> {
        if self.rings.lock().as_ref().is_none_or(BTreeMap::is_empty) {
            return Ok(());
        }
        let mut first = Ok(());
        for topic in self.topics.all() {
            let kept = self.keep(&topic, now);
            first = first.and(kept.given_up()).and(unless_deleted(kept.of_all()).unwrap_or(Ok(())));
        }
        first
    }

    /// How many topics have ids.
    #[cfg(test)]
    pub(super) fn rings(&self) -> usize {
        self.rings.lock().as_ref().map_or(0, BTreeMap::len)
    }

    /// Forgets those of topics that are gone: what is written of them goes with the next open that asks.
    pub(super) fn forget_deleted(&self) {
        if let Some(rings) = &mut *self.rings.lock()
            && let Ok(there) = self.topics.ids()
        {
            rings.retain(|topic, _| there.contains(topic));
        }
    }

    /// The rings that there are. At the first question those of topics that are gone are forgotten: none is ever another's.
    fn known<'a>(&self, rings: &'a mut Option<Rings>) -> Result<&'a mut Rings> {
        if rings.is_none() {
            let opened: BTreeSet<_> = self.topics.all().iter().map(Topic::id).collect();
            let mut found = FoundRings::beside(opened);
            self.ledger.load(&mut found)?;
            // One that could not be opened is there, and the next life may open it.
            let gone = found.gone(&self.topics.ids()?);
            let gone: Vec<_> = gone.iter().map(|key| Entry { key: key.encode(), value: None }).collect();
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
        ring.window = Some(wanted);
        if is_wider {
            ring.forget_passed();
        }
        // What an earlier life has left, and what a narrower window had no room or no time for.
        ring.push_first(missing.into_iter().map(Pending::of));
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
        let marks = ring.marks_after(ids.len());
        let mut entries = ring.entries(topic, &ids);
        entries.extend(mark_entries(topic, &marks));
        self.append(&entries)?;
        ring.written_with(marks, ids);
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

    /// Writes all of them, after making their records durable. Those of a partition where that fails are not written, and hold up no others:
    /// says which these are, and why.
    fn write_pending(&self, ring: &mut Ring, of: (u128, Timestamp)) -> Result<Failed> {
        let mut failed = Failed::new();
        ring.take_up_again();
        while !ring.pending.is_empty() {
            let mut has_failed = false;
            for (number, partition) in ring.not_durable(MOST_AT_ONCE) {
                let log = partition.log();
                if let Err(error) = log.flush_for_others() {
                    failed.insert(number, log.explain(error));
                    has_failed = true;
                }
            }
            if has_failed {
                ring.set_aside(|number| failed.contains_key(&number));
            }
            self.write_durable(ring, of)?;
        }
        Ok(failed)
    }
}
