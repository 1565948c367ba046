//! The topic `__share_group_state`: what is written of each state, and what its records add up to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{Malformed, ShareKey, ShareKind, ShareSnapshot, ShareUpdate, StateBatch};
use crate::locks::AtomicI64;
use crate::log::{SkippedRecord, TransactionId};
use crate::share::queues::named;
use crate::share::share_partition::SharePartition;
use crate::share::slot::{Slot, SlotInner};
use crate::share::step_files::{StepFiles, file_of};
use crate::share::unsettled::Unsettled;
use crate::topic::{Entry, Ledger, Partition, Replay, SHARE_STATE, Topics};
use crate::types::{Offset, Timestamp, TopicPartition};

/// Whose state: in whose name, the topic's id, the partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SlotName {
    pub(super) topic: u128,
    pub(super) partition: u32,
    pub(super) owner: Arc<str>,
}

/// A snapshot follows when the updates since the last one have so many bytes, or twice as many as it had.
const UPDATES_BEFORE_SNAPSHOT: usize = 64 << 10;
/// With so many times as many it waits no longer for transactions that have changed the state.
const LATE: usize = 4;
/// The epoch of a state of which nothing is written.
const NOT_WRITTEN: i32 = -1;
/// A buffer of so many bytes stays with its state.
const KEPT_BYTES: usize = 4 << 10;

/// Writes and reads the topic, which comes to be with the first state.
#[derive(Debug)]
pub(super) struct StateLog {
    pub(super) topics: Arc<Topics>,
    ledger: Ledger,
    /// Where they are written in a process that does not own the store.
    pub(super) files: Option<Arc<StepFiles>>,
    /// Where it ended when it was last asked whether there is much to delete.
    pub(super) looked_at: AtomicI64,
}

/// A state as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) state: SharePartition,
    pub(super) epoch: i32,
    pub(super) create_time: Timestamp,
    /// Some of what was written of it nobody can decide in this life.
    is_undecided: bool,
    /// Transactions of an earlier life that have changed it.
    pub(super) unsettled: Unsettled,
}

impl Found {
    /// One of which nothing is written there.
    pub(super) fn new(state: SharePartition) -> Self {
        let (is_undecided, unsettled) = (false, Unsettled::default());
        Self { state, epoch: NOT_WRITTEN, create_time: 0, is_undecided, unsettled }
    }
}

/// All states.
#[derive(Debug, Default)]
pub(super) struct AllFound(pub(super) BTreeMap<SlotName, Found>);

impl SlotName {
    fn key(&self, kind: ShareKind) -> Result<Vec<u8>> {
        let partition = i32::try_from(self.partition).unwrap_or(i32::MAX);
        let mut bytes = Vec::new();
        let key = ShareKey { kind, group: &self.owner, topic: self.topic, partition };
        key.encode(&mut bytes).map_err(unencodable)?;
        Ok(bytes)
    }

    /// The file of the queue's steps.
    pub(super) fn steps(&self) -> String {
        file_of(self.topic, &self.owner)
    }

    pub(super) fn keys(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        Ok((self.key(ShareKind::Snapshot)?, self.key(ShareKind::Update)?))
    }
}

fn unencodable(malformed: Malformed) -> Error {
    Error::invalid(format!("the state of a queue cannot be encoded: {malformed}"))
}

impl StateLog {
    pub(super) fn new(topics: Arc<Topics>) -> Self {
        let ledger = Ledger::new(Arc::clone(&topics), &SHARE_STATE);
        Self { topics, ledger, files: None, looked_at: AtomicI64::new(0) }
    }

    /// All states there are, and the records that are not understood.
    pub(super) fn load(&self) -> Result<(AllFound, Vec<SkippedRecord>)> {
        let mut found = AllFound::default();
        let skipped = self.ledger.load(&mut found)?;
        Ok((found, skipped))
    }

    pub(super) fn stored_in(&self) -> TopicPartition {
        self.ledger.stored_in()
    }

    /// The partition that holds all of them.
    pub(super) fn partition(&self) -> Result<Partition> {
        self.ledger.partition()
    }

    /// Returns when everything written so far survives a power cut.
    pub(super) fn sync(&self) -> Result<()> {
        self.ledger.sync()
    }

    /// The same of one state.
    pub(super) fn sync_of(&self, slot: &Slot) -> Result<()> {
        match &self.files {
            Some(files) => files.sync(&slot.steps),
            None => self.sync(),
        }
    }

    /// Writes what is about to become of some records, before it does.
    pub(super) fn write(
        &self,
        slot: &Slot,
        inner: &mut SlotInner,
        (batches, now): (&[StateBatch], Timestamp),
    ) -> Result<()> {
        if batches.is_empty() {
            return Ok(());
        }
        if let Some(files) = &self.files {
            return files.write(slot, inner, batches);
        }
        let mut value = std::mem::take(&mut inner.encoded);
        value.clear();
        let accounts = self.encode(slot, inner, (batches, now), &mut value)?;
        self.ledger.append_one(&slot.update_key, &value)?;
        inner.accounts = accounts;
        if value.capacity() <= KEPT_BYTES {
            inner.encoded = value;
        }
        Ok(())
    }

    /// The record that says so, and how the books stand when it is written. A snapshot that is due is written before: it is part
    /// of no transaction.
    pub(super) fn entry(
        &self,
        slot: &Slot,
        inner: &mut SlotInner,
        (batches, now): (&[StateBatch], Timestamp),
    ) -> Result<(Entry, Accounts)> {
        let mut value = Vec::new();
        let accounts = self.encode(slot, inner, (batches, now), &mut value)?;
        Ok((Entry { key: slot.update_key.clone(), value: Some(value) }, accounts))
    }

    fn encode(
        &self,
        slot: &Slot,
        inner: &mut SlotInner,
        (batches, now): (&[StateBatch], Timestamp),
        value: &mut Vec<u8>,
    ) -> Result<Accounts> {
        if self.is_snapshot_due(inner) {
            self.write_snapshot(slot, inner, now)?;
        }
        let mut accounts = inner.accounts;
        ShareUpdate::encode_batches(accounts.epoch, batches, value).map_err(unencodable)?;
        accounts.update_bytes += value.len() + slot.update_key.len();
        Ok(accounts)
    }

    /// Writes what steps of another process have made of some records.
    pub(super) fn write_folded(
        &self,
        slot: &Slot,
        inner: &mut SlotInner,
        (update, now): (ShareUpdate, Timestamp),
    ) -> Result<()> {
        if self.is_snapshot_due(inner) {
            self.write_snapshot(slot, inner, now)?;
        }
        let mut value = Vec::new();
        let update = ShareUpdate { epoch: inner.accounts.epoch, ..update };
        update.encode(&mut value).map_err(unencodable)?;
        self.ledger.append_one(&slot.update_key, &value)?;
        inner.accounts.update_bytes += value.len() + slot.update_key.len();
        Ok(())
    }

    fn is_snapshot_due(&self, inner: &mut SlotInner) -> bool {
        let accounts = &inner.accounts;
        let most = UPDATES_BEFORE_SNAPSHOT.max(accounts.snapshot_bytes.saturating_mul(2));
        if !accounts.is_written {
            return true;
        }
        match accounts.update_bytes {
            bytes if bytes <= most => false,
            // Before long the transactions are settled without anybody waiting.
            bytes if bytes <= most.saturating_mul(LATE) => self.is_settled(inner),
            _ => self.settle(inner),
        }
    }

    /// Writes all of a state.
    pub(super) fn write_snapshot(&self, slot: &Slot, inner: &mut SlotInner, now: Timestamp) -> Result<()> {
        if let Some(files) = &self.files {
            return files.write_beginning(slot, inner);
        }
        let mut accounts = inner.accounts;
        let entry = self.snapshot_entry(slot, inner, (&mut accounts, now))?;
        self.ledger.append(&[entry], |_| {})?;
        (inner.accounts, inner.is_cut) = (accounts, false);
        Ok(())
    }

    fn snapshot_entry(
        &self,
        slot: &Slot,
        inner: &SlotInner,
        (accounts, now): (&mut Accounts, Timestamp),
    ) -> Result<Entry> {
        // It will stand there or behind it.
        let at = self.ledger.partition()?.end();
        let snapshot = ShareSnapshot {
            epoch: accounts.epoch.wrapping_add(1).max(1),
            state_epoch: 0,
            leader_epoch: 0,
            start: inner.state.start(),
            create_time: accounts.create_time,
            write_time: now,
            batches: inner.state.batches(),
            complete_count: i32::try_from(inner.state.figures().done).unwrap_or(i32::MAX),
        };
        let mut value = Vec::new();
        snapshot.encode(&mut value).map_err(unencodable)?;
        *accounts = Accounts {
            epoch: snapshot.epoch,
            snapshot_at: at,
            snapshot_bytes: value.len(),
            update_bytes: 0,
            is_written: true,
            ..*accounts
        };
        Ok(Entry { key: slot.snapshot_key.clone(), value: Some(value) })
    }

    /// Where the partition ends that holds all of them.
    pub(super) fn end(&self) -> Offset {
        self.topics.get(SHARE_STATE.name).and_then(|topic| topic.partition(0)).map_or(0, |one| one.end())
    }

    /// Forgets states: calls `forgotten` with those of which it is written.
    pub(super) fn delete(&self, names: &[SlotName], forgotten: impl FnMut(Range<usize>)) -> Result<()> {
        let tombstone = |name: &SlotName| Ok(Entry { key: name.key(ShareKind::Snapshot)?, value: None });
        let entries = names.iter().map(tombstone).collect::<Result<Vec<_>>>()?;
        self.ledger.append(&entries, forgotten)
    }
}

/// What is stored of one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Accounts {
    /// Of its last snapshot.
    epoch: i32,
    create_time: Timestamp,
    /// Its last snapshot does not stand before that.
    pub(super) snapshot_at: Offset,
    snapshot_bytes: usize,
    update_bytes: usize,
    /// Whether there is one.
    pub(super) is_written: bool,
    /// Of a transaction that has changed it nobody knows how it ends. An update is right in both cases, a snapshot in one: there is
    /// none before the store is opened again.
    pub(super) is_frozen: bool,
}

impl Accounts {
    pub(super) fn new(create_time: Timestamp) -> Self {
        Self { create_time, ..Self::default() }
    }

    pub(super) fn found(found: &Found) -> Self {
        let is_frozen = found.is_undecided;
        Self { epoch: found.epoch, is_written: true, is_frozen, ..Self::new(found.create_time) }
    }
}

impl AllFound {
    /// The states of all queues in one partition.
    pub(super) fn of_partition(
        &mut self,
        topic: u128,
        partition: u32,
    ) -> impl Iterator<Item = (&SlotName, &mut SharePartition)> {
        let first = SlotName { topic, partition, owner: "".into() };
        let all = self.0.range_mut(first..);
        let of = all.take_while(move |(name, _)| (name.topic, name.partition) == (topic, partition));
        of.map(|(name, found)| (name, &mut found.state))
    }

    /// Adds the states of queues of which no worker has come to a partition that was added: all of it is to be done.
    pub(super) fn add_new(&mut self, topic: u128, (partition, start): (u32, Offset)) {
        let first = SlotName { topic, partition: 0, owner: "".into() };
        let all = self.0.range(first..).map(|(name, _)| name).take_while(|name| name.topic == topic);
        // Letters have one where they are.
        let owners: BTreeSet<_> =
            all.filter(|name| named(&name.owner).1.is_none()).map(|name| Arc::clone(&name.owner)).collect();
        for owner in owners {
            let new = || Found::new(SharePartition::new(start));
            self.0.entry(SlotName { topic, partition, owner }).or_insert_with(new);
        }
    }

    /// Forgets these again: a group may be deleted, and a worker may come.
    pub(super) fn drop_new(&mut self) {
        self.0.retain(|_, found| found.epoch != NOT_WRITTEN);
    }

    /// The state to whose last snapshot an update of that epoch belongs.
    fn found(&mut self, name: &SlotName, epoch: i32) -> Option<&mut Found> {
        self.0.get_mut(name).filter(|found| found.epoch == epoch)
    }
}

impl Replay for AllFound {
    fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Malformed> {
        let Some(key) = ShareKey::decode(key)? else { return Ok(()) };
        let Ok(partition) = u32::try_from(key.partition) else { return Ok(()) };
        let name = SlotName { topic: key.topic, partition, owner: key.group.into() };
        match (key.kind, value) {
            (ShareKind::Snapshot, value) => {
                // Whatever it says, it has taken the place of the one before it.
                self.0.remove(&name);
                let Some(value) = value else { return Ok(()) };
                let snapshot = ShareSnapshot::decode(value)?;
                let mut state = SharePartition::new(snapshot.start);
                state.restore(None, &snapshot.batches);
                let (epoch, create_time) = (snapshot.epoch, snapshot.create_time);
                let found = Found { epoch, create_time, ..Found::new(state) };
                self.0.insert(name, found);
            }
            (ShareKind::Update, Some(value)) => {
                let update = ShareUpdate::decode(value)?;
                if let Some(found) = self.found(&name, update.epoch) {
                    found.state.restore(update.start, &update.batches);
                }
            }
            (ShareKind::Update, None) => {}
        }
        Ok(())
    }

    fn note_written_in(&mut self, key: &[u8], transaction: TransactionId) {
        if let Some(found) = name_of(key).and_then(|(_, name)| self.0.get_mut(&name)) {
            found.unsettled.add(transaction);
        }
    }

    /// What may have been done of them goes to nobody.
    fn replay_undecided(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Some((name, value)) = update(key, value) else { return };
        let Ok(update) = ShareUpdate::decode(value) else { return };
        if let Some(found) = self.found(&name, update.epoch) {
            found.is_undecided = true;
            update.batches.iter().for_each(|batch| found.state.set_aside_open(batch));
        }
    }
}

/// Whose update a record is, and its value.
fn update<'a>(key: &[u8], value: Option<&'a [u8]>) -> Option<(SlotName, &'a [u8])> {
    let (kind, name) = name_of(key)?;
    (kind == ShareKind::Update).then_some(name).zip(value)
}

fn name_of(key: &[u8]) -> Option<(ShareKind, SlotName)> {
    let key = ShareKey::decode(key).ok()??;
    let partition = u32::try_from(key.partition).ok()?;
    Some((key.kind, SlotName { topic: key.topic, partition, owner: key.group.into() }))
}
