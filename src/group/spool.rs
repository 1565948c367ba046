//! Commits of groups in other processes. They append them to the spool, one process after the other; the owner folds them into
//! the topic of commits and takes them out.
//!
//! A group is one process's at a time, by a lock. Whoever takes a group over sees what was committed before: the owner folds first, another
//! process reads the spool over what was folded. So commits of one group are in the spool in their order, and the owner commits
//! for a group only when none of it is in the spool. Folding twice, after a crash between its steps, changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::SpooledRecord;
use crate::group::commits::Change;
use crate::group::committed::Committed;
use crate::group::group::{Group, KnownCommit};
use crate::group::groups::Groups;
use crate::group::spool_file::{Found, SpoolFile, TakenOut};
use crate::group::spool_read::{Seen, SpoolRead};
use crate::group::unreadable::unclean;
use crate::io::{Directory, PublishFailure};
use crate::live::{Guest, Locks};
use crate::locks::{Mutex, MutexGuard};
use crate::topic::{Partition, Replay};
use crate::types::{Durability, Offset};
use crate::upkeep::Otherwise;

/// From so many bytes on whoever commits asks the owner to fold: some 2,500 commits.
const FOLD_FROM_BYTES: usize = 256 << 10;

/// The spool, as one process has it.
#[derive(Debug)]
pub(crate) struct Spool {
    root: Directory,
    file: SpoolFile,
    /// None where no process can attach: then nobody else has a group.
    locks: Option<Locks>,
    role: SpoolRole,
    /// Held over a fold. Why the last one is not done: nobody knows whether a power cut brings back what was taken out, and nothing may
    /// be committed that would give way to it.
    folding: Mutex<Option<Error>>,
    ends: Mutex<Ends>,
    /// What looks have read of it. A lock that is held after all others of groups.
    read: Mutex<SpoolRead>,
    /// Through which the owner is asked to fold.
    guest: Option<Arc<Guest>>,
}

/// The spool as a look has found it.
pub(super) struct Spooled<'a> {
    pub(super) read: MutexGuard<'a, SpoolRead>,
    pub(super) seen: Seen,
}

/// The ends of partitions, by topic and number, as the open has found them: what was committed above is set back to them before anything is
/// appended there, and until then folded as that end.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Ends(HashMap<(u128, u32), Offset>);

/// Why commits are in the spool still.
enum Unfolded {
    Refused(Error),
    /// They are taken over.
    Left(Box<Left>),
    /// They are taken over, and a power cut may bring them back.
    Unknown(Error),
}

/// Commits that were taken over and could not be taken out of the spool.
#[derive(Debug)]
pub(crate) struct Left {
    why: Error,
    /// Whose they are. If these committed here, the next fold would take that back.
    groups: BTreeSet<Arc<str>>,
}

/// What a process does with the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpoolRole {
    /// Folds it.
    Owner,
    /// Appends to it.
    Guest,
}

impl Spool {
    pub(crate) fn new(root: Directory, locks: Option<Locks>, role: SpoolRole) -> Self {
        Self {
            file: SpoolFile::new(root.clone(), locks.clone()),
            root,
            locks,
            role,
            folding: Mutex::default(),
            ends: Mutex::default(),
            read: Mutex::default(),
            guest: None,
        }
    }

    /// The same for a process that asks the owner to fold once much waits.
    pub(crate) fn of_guest(root: Directory, locks: Locks, guest: &Arc<Guest>) -> Self {
        Self { guest: Some(Arc::clone(guest)), ..Self::new(root, Some(locks), SpoolRole::Guest) }
    }

    /// What is in it, and the ends above which that is to be set back yet. It is read anew where that was done meanwhile: then nobody knows which of the
    /// commits above were lost with their records, and which were made since.
    fn read_with_ends(&self) -> Result<(Found, Ends)> {
        let mut ends = self.ends.lock().clone();
        loop {
            let found = self.file.read()?;
            let now = self.ends.lock().clone();
            if now == ends {
                return Ok((found, ends));
            }
            ends = now;
        }
    }

    /// False when another process has the group.
    fn try_lock_group(&self, group: &str) -> Result<bool> {
        self.locks.as_ref().map_or(Ok(true), |locks| locks.try_lock_group(group))
    }

    fn unlock_group(&self, group: &str) {
        self.locks.iter().for_each(|locks| locks.unlock_group(group));
    }
}

impl Groups {
    /// Makes a group this process's, for its first consumer here, and sees what was committed for it elsewhere.
    pub(super) fn lock_group(&self, group: &str) -> Result<()> {
        let Some(spool) = self.spool.get() else { return Ok(()) };
        if !spool.try_lock_group(group)? {
            return Err(Error::GroupInUse { group: group.to_owned() });
        }
        let unlock = Otherwise::new(|| spool.unlock_group(group));
        match spool.role {
            SpoolRole::Owner => self.fold_for(group)?,
            SpoolRole::Guest => self.look()?,
        }
        unlock.went_well();
        Ok(())
    }

    /// The last consumer of the group here is gone.
    pub(super) fn unlock_group(&self, group: &str) {
        if let Some(spool) = self.spool.get() {
            spool.unlock_group(group);
        }
    }

    /// Says where commits of other processes are.
    pub(crate) fn spool_in(&self, spool: Spool) {
        drop(self.spool.set(spool));
    }

    /// Sees what is in the spool of a store that nobody writes.
    pub(crate) fn see_spool(&self, root: &Directory) -> Result<()> {
        let found = SpoolFile::new(root.clone(), None).read()?;
        let mut committed = self.committed.lock();
        changes_of(&found.commits).into_iter().for_each(|change| committed.cover(self.within_end(change)));
        Ok(())
    }

    /// The store is closed: a fold or a commit that has begun is done, and none begins.
    pub(crate) fn leave_spool(&self) {
        let Some(spool) = self.spool.get() else { return };
        let closed = || Error::StoreClosed { path: self.topics.path().to_path_buf() };
        spool.folding.lock().get_or_insert_with(closed);
        spool.file.leave();
    }

    /// Takes what other processes have committed into the topic of commits, durably, and out of the spool. A commit that lies above the
    /// end of its partition, after a power cut that took records, is one of that end.
    pub(crate) fn fold(&self) -> Result<()> {
        match self.take_over()? {
            None => Ok(()),
            Some(Left { why, .. }) => Err(why),
        }
    }

    /// The same, for one group: those whose commits stay in the spool are the others' to wait for.
    fn fold_for(&self, group: &str) -> Result<()> {
        match self.take_over()? {
            Some(Left { why, groups }) if groups.contains(group) => Err(why),
            _ => Ok(()),
        }
    }

    /// The same, whether they can be taken out of the spool now or not.
    pub(crate) fn take_over(&self) -> Result<Option<Left>> {
        let Some(spool) = self.spool.get().filter(|spool| spool.role == SpoolRole::Owner) else {
            return Ok(None);
        };
        let mut folding = spool.folding.lock();
        folding.clone().map_or(Ok(()), Err)?;
        let mut partitions = Vec::new();
        let folded = loop {
            match self.fold_once(spool, &mut partitions) {
                Ok(TakenOut::NotYet) => {}
                Ok(TakenOut::Wholly) => break Ok(None),
                Err(Unfolded::Refused(error)) => break Err(error),
                Err(Unfolded::Left(left)) => break Ok(Some(*left)),
                Err(Unfolded::Unknown(error)) => break Err(folding.insert(error).clone()),
            }
        };
        drop(folding);
        partitions.iter().for_each(|partition| drop(self.drop_consumed(partition)));
        folded
    }

    fn fold_once(&self, spool: &Spool, partitions: &mut Vec<Partition>) -> Result<TakenOut, Unfolded> {
        let (found, ends) = spool.read_with_ends().map_err(Unfolded::Refused)?;
        if found.commits.is_empty() {
            return Ok(TakenOut::Wholly);
        }
        let changes = changes_of(&found.commits);
        let groups: BTreeSet<_> = changes.iter().map(|change| Arc::clone(&change.group)).collect();
        partitions.extend(changes.iter().filter_map(|change| self.partition_of(change)));
        let last: BTreeMap<_, _> = changes
            .into_iter()
            .map(|change| ((Arc::clone(&change.group), change.place.clone()), change))
            .collect();
        let changes = last.into_values().map(|change| self.within_end(ends.within(change)));
        let mut committed = self.committed.lock();
        // What could not be taken out the last time is known.
        let is_new = |change: &Change| committed.of(&change.group, &change.place) != change.commit.as_ref();
        let changes = changes.filter(is_new).collect();
        self.write(&mut committed, changes).map_err(Unfolded::Refused)?;
        drop(committed);
        // The spool is the only other place that has them.
        self.ledger.sync().map_err(Unfolded::Refused)?;
        spool.file.take_out(&found).map_err(|failure| match failure {
            PublishFailure::Unknown(error) => Unfolded::Unknown(error),
            PublishFailure::Refused(why) => Unfolded::Left(Box::new(Left { why, groups })),
        })
    }

    /// What other processes have committed, where it cannot be folded now: it is so all the same. In its order.
    pub(super) fn not_folded(&self) -> Vec<Change> {
        if self.fold().is_ok() {
            return Vec::new();
        }
        let Some(spool) = self.spool.get() else { return Vec::new() };
        let Ok((found, ends)) = spool.read_with_ends() else { return Vec::new() };
        changes_of(&found.commits).into_iter().map(|change| self.within_end(ends.within(change))).collect()
    }

    /// Nothing is appended to a partition above whose end another process has committed, as a power cut leaves it, before that commit is set
    /// back, durably: records sent there would be taken for read. To be called before anything is appended.
    pub(crate) fn hold_back_spooled(self: &Arc<Self>) {
        let Some(spool) = self.spool.get() else { return };
        let above: Vec<_> = match spool.file.read() {
            Ok(found) => {
                let above = |change: Change| {
                    let partition = self.partition_of(&change)?;
                    change.commit.filter(|commit| commit.at.offset > partition.end()).map(|_| partition)
                };
                changes_of(&found.commits).into_iter().filter_map(above).collect()
            }
            // Nobody knows which they are.
            Err(_) => unclean(&self.topics),
        };
        for partition in &above {
            spool.ends.lock().put(partition);
            let holding = Arc::downgrade(self);
            let set_back = move |_| holding.upgrade().map_or(Ok(()), |groups| groups.set_spooled_back());
            partition.log().require(set_back);
        }
    }

    /// Sets commits in the spool back to the ends of their partitions as the open has found them. It runs under the lock of a partition's
    /// writer: no lock of groups is taken.
    fn set_spooled_back(&self) -> Result<()> {
        let Some(spool) = self.spool.get() else { return Ok(()) };
        let mut ends = spool.ends.lock();
        if !ends.0.is_empty() {
            spool.file.replace(|commits| ends.set_back(commits))?;
            ends.0.clear();
        }
        Ok(())
    }

    fn partition_of(&self, change: &Change) -> Option<Partition> {
        let partition =
            self.topics.get(change.place.topic()).ok()?.partition(change.place.partition()).ok()?;
        change.commit.as_ref().is_some_and(|commit| commit.is_for(&partition)).then_some(partition)
    }

    fn within_end(&self, change: Change) -> Change {
        match self.partition_of(&change) {
            Some(partition) => at_most(change, partition.end()),
            None => change,
        }
    }

    /// What is in the spool by now, for a process that reads: it holds over what was folded before.
    pub(super) fn spooled(&self) -> Result<Option<Spooled<'_>>> {
        let Some(spool) = self.spool.get() else { return Ok(None) };
        let mut read = spool.read.lock();
        let seen = spool.file.read_on(&mut read)?;
        Ok(Some(Spooled { read, seen }))
    }

    /// Whether it is to be folded before the next round of maintenance.
    pub(crate) fn has_many_spooled(&self) -> bool {
        self.spool.get().is_some_and(|spool| spool.file.len().is_ok_and(|len| len >= FOLD_FROM_BYTES))
    }

    /// Commits in a process that does not own the store, whose owner was in that life before the ends of partitions were looked at. False in
    /// the one that does.
    pub(super) fn spool(
        &self,
        committed: &mut Committed,
        (group, changes): (&Group, &[Change]),
        (durability, life): (Durability, u64),
    ) -> Result<bool> {
        let Some(spool) = self.spool.get().filter(|spool| spool.role == SpoolRole::Guest) else {
            return Ok(false);
        };
        if changes.is_empty() {
            return Ok(true);
        }
        spool.root.check_in_place()?;
        let records = changes.iter().map(spooled).collect::<Result<Vec<_>>>()?;
        // Nobody knows what of them a sync that fails has covered.
        changes.iter().for_each(|change| group.note_committed(&change.place, None));
        if spool.file.append(&records, durability)? >= FOLD_FROM_BYTES {
            spool.guest.iter().for_each(|guest| guest.wish());
        }
        for change in changes {
            let known = change.commit.as_ref().map(|commit| KnownCommit {
                topic_id: commit.topic_id,
                offset: commit.at.offset,
                is_synced: durability == Durability::Disk,
                life,
            });
            group.note_committed(&change.place, known);
            committed.cover(change.clone());
        }
        Ok(true)
    }
}

/// What commits in the spool change, in their order.
pub(super) fn changes_of(commits: &[Vec<SpooledRecord>]) -> Vec<Change> {
    commits.iter().flatten().filter_map(change_of).collect()
}

/// A record that is not understood counts for nothing, as in the topic.
fn change_of(record: &SpooledRecord) -> Option<Change> {
    let mut one = Committed::default();
    one.replay(&record.key, record.value.as_deref()).ok()?;
    let (group, place, commit) = one.iter().next()?;
    Some(Change { group: Arc::clone(group), place: place.clone(), commit: Some(commit.clone()) })
}

fn at_most(mut change: Change, end: Offset) -> Change {
    if let Some(commit) = &mut change.commit {
        commit.at.offset = commit.at.offset.min(end);
    }
    change
}

impl Ends {
    fn put(&mut self, partition: &Partition) {
        self.0.insert((partition.topic_id(), partition.number()), partition.end());
    }

    fn within(&self, change: Change) -> Change {
        let topic_id = change.commit.as_ref().map_or(0, |commit| commit.topic_id);
        match self.0.get(&(topic_id, change.place.partition())) {
            Some(end) => at_most(change, *end),
            None => change,
        }
    }

    fn set_back(&self, commits: Vec<Vec<SpooledRecord>>) -> Result<Vec<Vec<SpooledRecord>>> {
        let one = |record: SpooledRecord| match change_of(&record) {
            Some(change) => spooled(&self.within(change)),
            None => Ok(record),
        };
        commits.into_iter().map(|records| records.into_iter().map(one).collect()).collect()
    }
}

fn spooled(change: &Change) -> Result<SpooledRecord> {
    change.entry().map(|entry| SpooledRecord { key: entry.key, value: entry.value })
}
