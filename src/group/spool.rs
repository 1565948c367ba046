//! Commits of groups in other processes. They append them to the spool, one process after the other; the owner folds them into
//! the topic of commits and takes them out.
//!
//! A group is one process's at a time, by a lock. Whoever takes a group over sees what was committed before: the owner folds first, another
//! process reads the spool over what was folded. So commits of one group are in the spool in their order, and the owner commits
//! for a group only when none of it is in the spool. Folding twice, after a crash between its steps, changes nothing.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{SpooledRecord, decode_spool, encode_spooled, spool_magic};
use crate::group::commits::Change;
use crate::group::committed::{Commit, Committed};
use crate::group::groups::Groups;
use crate::io::{Deadline, Directory, OpenMode, pause};
use crate::live::Locks;
use crate::locks::Mutex;
use crate::topic::{Partition, Replay};
use crate::types::Durability;

/// Its name in the store's directory.
const SPOOL_FILE: &str = "annals.spool";
/// Far more than an owner lets come together.
const MOST_BYTES: usize = 256 << 20;
/// How long a process waits for others that append.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The spool, as one process has it.
#[derive(Debug)]
pub(crate) struct Spool {
    root: Directory,
    /// None where no process can attach: then nobody else has a group, or changes the file.
    locks: Option<Locks>,
    role: SpoolRole,
    /// Held over every change: the lock of the file is the process's, not the thread's.
    changing: Mutex<()>,
    /// Held over a fold.
    folding: Mutex<()>,
}

/// What a process does with the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpoolRole {
    /// Folds it.
    Owner,
    /// Appends to it.
    Guest,
}

/// The spool is this thread's to change.
struct Held<'a> {
    locks: Option<&'a Locks>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.locks.iter().for_each(|locks| locks.unlock_spool());
    }
}

impl Spool {
    pub(crate) fn new(root: Directory, locks: Option<Locks>, role: SpoolRole) -> Self {
        Self { root, locks, role, changing: Mutex::new(()), folding: Mutex::new(()) }
    }

    fn hold(&self) -> Result<Held<'_>> {
        let Some(locks) = &self.locks else { return Ok(Held { locks: None }) };
        let deadline = Deadline::after(LONGEST_WAIT);
        while !locks.try_lock_spool()? {
            if deadline.has_passed() {
                let why = std::io::Error::new(ErrorKind::TimedOut, "another process keeps it locked");
                return Err(Error::io(&self.root.join(SPOOL_FILE), "lock", why));
            }
            pause(Duration::from_micros(100));
        }
        Ok(Held { locks: Some(locks) })
    }

    /// False when another process has the group.
    fn try_lock_group(&self, group: &str) -> Result<bool> {
        self.locks.as_ref().map_or(Ok(true), |locks| locks.try_lock_group(group))
    }

    fn unlock_group(&self, group: &str) {
        self.locks.iter().for_each(|locks| locks.unlock_group(group));
    }

    /// The commits that are not folded, the oldest first, and where the last of them ends.
    fn read(&self) -> Result<(Vec<Vec<SpooledRecord>>, usize)> {
        let Some(bytes) = self.root.read_file(SPOOL_FILE, MOST_BYTES)? else { return Ok((Vec::new(), 0)) };
        let content =
            decode_spool(&bytes).map_err(|malformed| malformed.in_file(&self.root.join(SPOOL_FILE)))?;
        Ok((content.commits, content.end))
    }

    /// Appends one commit, all or nothing.
    fn append(&self, records: &[SpooledRecord], durability: Durability) -> Result<()> {
        let _changing = self.changing.lock();
        let held = self.hold()?;
        let file = match self.root.open(SPOOL_FILE, OpenMode::ReadWrite) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                // Whole, under its name, before anybody counts on it.
                self.root.replace_file(SPOOL_FILE, spool_magic())?;
                self.root.open(SPOOL_FILE, OpenMode::ReadWrite)?
            }
            opened => opened?,
        };
        let (_, end) = self.read()?;
        let end = end.max(spool_magic().len()) as u64;
        // What a process that died in the middle of a commit has left.
        if file.len()? > end {
            file.set_len(end)?;
        }
        let written = file.write_at(&encode_spooled(records), end);
        if written.is_err() {
            drop(file.set_len(end));
        }
        written?;
        drop(held);
        if durability == Durability::Disk { file.sync() } else { Ok(()) }
    }

    /// Takes the first commits out, those that were folded, durably: what was appended since stays. Where others stand there by now,
    /// nothing is taken out: another owner has folded these.
    fn take_out(&self, folded: &[Vec<SpooledRecord>], bytes: usize) -> Result<()> {
        let _changing = self.changing.lock();
        let _held = self.hold()?;
        let all = self.root.read_file(SPOOL_FILE, MOST_BYTES)?.unwrap_or_default();
        let first = all.get(..bytes).map(decode_spool);
        if !first.is_some_and(|first| first.is_ok_and(|first| first.commits == folded)) {
            return Ok(());
        }
        match all.get(bytes..).filter(|rest| !rest.is_empty()) {
            Some(rest) => self.root.replace_file(SPOOL_FILE, &[spool_magic(), rest].concat()),
            None => {
                self.root.remove_if_there(SPOOL_FILE)?;
                self.root.sync()
            }
        }
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
        let (commits, _) = Spool::new(root.clone(), None, SpoolRole::Guest).read()?;
        let mut committed = self.committed.lock();
        changes_of(&commits).into_iter().for_each(|change| committed.cover(self.within_end(change)));
        Ok(())
    }

    /// Takes what other processes have committed into the topic of commits, durably, and out of the spool. A commit that lies above the
    /// end of its partition, after a power cut that took records, is one of that end.
    pub(crate) fn fold(&self) -> Result<()> {
        let Some(spool) = self.spool.get().filter(|spool| spool.role == SpoolRole::Owner) else {
            return Ok(());
        };
        let _folding = spool.folding.lock();
        let (commits, bytes) = spool.read()?;
        if commits.is_empty() {
            return Ok(());
        }
        let changes = changes_of(&commits);
        let partitions: Vec<_> = changes.iter().filter_map(|change| self.partition_of(change)).collect();
        let changes = changes.into_iter().map(|change| self.within_end(change)).collect();
        let mut committed = self.committed.lock();
        self.write(&mut committed, changes)?;
        drop(committed);
        // The spool is the only other place that has them.
        self.ledger.sync()?;
        spool.take_out(&commits, bytes)?;
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
            Some(spool) => spool.read().map(|(commits, _)| changes_of(&commits)),
            None => Ok(Vec::new()),
        }
    }

    /// Commits in a process that does not own the store. False in the one that does.
    pub(super) fn spool(
        &self,
        committed: &mut Committed,
        changes: &[Change],
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
        spool.append(&records, durability)?;
        changes.iter().for_each(|change| committed.cover(change.clone()));
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
