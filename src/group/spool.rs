//! Commits of groups in other processes. They append them to the spool, one process after the other; the owner folds them into
//! the topic of commits and takes them out.
//!
//! A group is one process's at a time, by a lock. Whoever takes a group over sees what was committed before: the owner folds first, another
//! process reads the spool over what was folded. So commits of one group are in the spool in their order, and the owner commits
//! for a group only when none of it is in the spool. Folding twice, after a crash between its steps, changes nothing.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::SpooledRecord;
use crate::group::commits::Change;
use crate::group::committed::{Commit, Committed};
use crate::group::group::Group;
use crate::group::groups::Groups;
use crate::group::spool_file::SpoolFile;
use crate::io::{Directory, PublishFailure};
use crate::live::Locks;
use crate::locks::Mutex;
use crate::topic::{Partition, Replay};
use crate::types::Durability;

/// The spool, as one process has it.
#[derive(Debug)]
pub(crate) struct Spool {
    file: SpoolFile,
    /// None where no process can attach: then nobody else has a group.
    locks: Option<Locks>,
    role: SpoolRole,
    /// Held over a fold. Why the last one is not done: nobody knows whether a power cut brings back what was taken out, and nothing may
    /// be committed that would give way to it.
    folding: Mutex<Option<Error>>,
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
        Self { file: SpoolFile::new(root, locks.clone()), locks, role, folding: Mutex::default() }
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
        let seen = match spool.role {
            SpoolRole::Owner => self.fold(),
            SpoolRole::Guest => self.look(),
        };
        seen.inspect_err(|_| spool.unlock_group(group))
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

    /// Takes what other processes have committed into the topic of commits, durably, and out of the spool. A commit that lies above the
    /// end of its partition, after a power cut that took records, is one of that end.
    pub(crate) fn fold(&self) -> Result<()> {
        let Some(spool) = self.spool.get().filter(|spool| spool.role == SpoolRole::Owner) else {
            return Ok(());
        };
        let mut folding = spool.folding.lock();
        folding.clone().map_or(Ok(()), Err)?;
        let found = spool.file.read()?;
        if found.commits.is_empty() {
            return Ok(());
        }
        let changes = changes_of(&found.commits);
        let partitions: Vec<_> = changes.iter().filter_map(|change| self.partition_of(change)).collect();
        let changes = changes.into_iter().map(|change| self.within_end(change)).collect();
        let mut committed = self.committed.lock();
        self.write(&mut committed, changes)?;
        drop(committed);
        // The spool is the only other place that has them.
        self.ledger.sync()?;
        match spool.file.take_out(&found) {
            Err(PublishFailure::Unknown(error)) => return Err(folding.insert(error).clone()),
            taken_out => taken_out.map_err(PublishFailure::into_error)?,
        }
        drop(folding);
        partitions.iter().for_each(|partition| drop(self.drop_consumed(partition)));
        Ok(())
    }

    fn partition_of(&self, change: &Change) -> Option<Partition> {
        let partition =
            self.topics.get(change.place.topic()).ok()?.partition(change.place.partition()).ok()?;
        change.commit.as_ref().is_some_and(|commit| commit.is_for(&partition)).then_some(partition)
    }

    fn within_end(&self, change: Change) -> Change {
        let end = self.partition_of(&change).map(|partition| partition.end());
        let commit = change.commit.map(|mut commit| {
            commit.at.offset = commit.at.offset.min(end.unwrap_or(commit.at.offset));
            commit
        });
        Change { commit, ..change }
    }

    /// What is in the spool, for a process that reads: it holds over what was folded before.
    pub(super) fn spooled(&self) -> Result<Vec<Change>> {
        match self.spool.get() {
            Some(spool) => spool.file.read().map(|found| changes_of(&found.commits)),
            None => Ok(Vec::new()),
        }
    }

    /// Commits in a process that does not own the store. False in the one that does.
    pub(super) fn spool(
        &self,
        committed: &mut Committed,
        (group, changes): (&Group, &[Change]),
        durability: Durability,
    ) -> Result<bool> {
        let Some(spool) = self.spool.get().filter(|spool| spool.role == SpoolRole::Guest) else {
            return Ok(false);
        };
        if changes.is_empty() {
            return Ok(true);
        }
        let record = |change: &Change| {
            change.entry().map(|entry| SpooledRecord { key: entry.key, value: entry.value })
        };
        let records = changes.iter().map(record).collect::<Result<Vec<_>>>()?;
        // Nobody knows what of them a sync that fails has covered.
        changes.iter().for_each(|change| group.note_synced(&change.place, None));
        spool.file.append(&records, durability)?;
        for change in changes {
            if let (Some(commit), Durability::Disk) = (&change.commit, durability) {
                group.note_synced(&change.place, Some((commit.topic_id, commit.at.offset)));
            }
            committed.cover(change.clone());
        }
        Ok(true)
    }
}

/// What commits in the spool change, in their order. A record that is not understood counts for nothing, as in the topic.
fn changes_of(commits: &[Vec<SpooledRecord>]) -> Vec<Change> {
    let mut changes = Vec::new();
    for record in commits.iter().flatten() {
        let mut one = Committed::default();
        if one.replay(&record.key, record.value.as_deref()).is_ok() {
            let found = one.iter().map(|(group, place, commit): (&Arc<str>, _, &Commit)| Change {
                group: Arc::clone(group),
                place: place.clone(),
                commit: Some(commit.clone()),
            });
            changes.extend(found);
        }
    }
    changes
}
