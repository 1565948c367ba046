//! All groups of a store.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use crate::error::{Error, Result};
use crate::group::commits::Change;
use crate::group::committed::{Commit, Committed, CommittedOffset};
use crate::group::consumed::OtherReaders;
use crate::group::follow::Replayed;
use crate::group::group::Group;
use crate::group::register::Register;
use crate::group::spool::Spool;
use crate::group::unreadable::Loaded;
use crate::io::{Clock, caught};
use crate::locks::{AtomicBool, AtomicU64, Mutex, OnceLock, Ordering};
use crate::log::{Signal, SkippedRecord};
use crate::topic::{Ledger, OFFSETS, Partition, Topics};
use crate::types::{Offset, TopicPartition};

/// A committed offset that was above the end of its partition after a crash. It was set back to that end; otherwise the
/// records sent next would have counted as read.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let store = annals::Store::open(dir.path())?;
/// assert!(store.offset_resets().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffsetReset {
    /// The group.
    pub group: String,
    /// The partition.
    pub topic_partition: TopicPartition,
    /// The offset that was committed before.
    pub committed: Offset,
    /// The end of the partition, which is committed now.
    pub end: Offset,
}

/// Kafka writes group names with a 16-bit length.
const GROUP_NAME_MOST_BYTES: usize = 32_767;

/// Groups and their committed offsets.
///
/// Locks are taken in this order: a group's members, `committed`, `owed`, those of the partition that stores the commits.
/// `owed` is also taken under the writer's lock of a partition that has not been appended to.
/// `register` is held for a moment alone.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(super) topics: Arc<Topics>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ledger: Ledger,
    /// Held while commits are written, so that memory and ledger agree on the order; not while they are synced.
    pub(super) committed: Mutex<Committed>,
    /// What was set right in memory at the open and is not written yet. Nothing else is written before it.
    pub(super) owed: Mutex<Vec<Change>>,
    /// Some of that was committed without the id of its topic, which is gone: it would hold for the next of the name. Or it is of
    /// a partition that has been appended to since.
    pub(super) cannot_wait: AtomicBool,
    pub(super) register: Mutex<Register>,
    /// Held while a group comes to this process, leaves it, gets a member, or is forgotten: before its members and `register`, and over I/O.
    locking: Mutex<()>,
    /// Who else reads, in a layer above.
    pub(super) others: OnceLock<Weak<dyn OtherReaders>>,
    members_made: AtomicU64,
    offset_resets: Vec<OffsetReset>,
    skipped: Vec<SkippedRecord>,
    /// What was committed for another topic of the name that a topic has now, or for a partition that it does not have.
    let_go: Vec<String>,
    /// How far commits were read, where another process owns the store.
    pub(super) replayed: Option<Mutex<Replayed>>,
    /// How often the list of topics was another one there, when groups were assigned last.
    topic_changes: AtomicU64,
    /// Commits of other processes, where there may be some.
    pub(super) spool: OnceLock<Spool>,
    /// Why the commits could not be read. Then none is known, and no group can be used.
    pub(super) unreadable: Option<Error>,
}

impl Groups {
    /// Loads what was committed; changes no byte. Offsets above the end of their partition are set back to it, durably before
    /// anything is appended there; offsets of topics that are gone go too, also when another topic has the name now. Both are
    /// written by [`write_owed`](Self::write_owed).
    pub(crate) fn open(topics: Arc<Topics>, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let ledger = Ledger::new(Arc::clone(&topics), &OFFSETS);
        let Loaded { mut committed, skipped, unreadable } = Loaded::from(&ledger, &topics)?;
        let (mut offset_resets, mut let_go) = (Vec::new(), Vec::new());
        let mut changes = Vec::new();
        let mut set_back = Vec::new();
        let mut owes_unnamed = false;
        let mut of_unnamed = Vec::new();
        for (group, place, commit) in committed.iter() {
            let partition =
                match topics.get(place.topic()).and_then(|topic| topic.partition(place.partition())) {
                    Ok(partition) => Some(partition),
                    Err(Error::UnknownTopic { .. } | Error::UnknownPartition { .. }) => None,
                    // The topic is there and could not be opened: what was committed for it holds.
                    Err(_) => continue,
                };
            let partition = partition.filter(|one| !commit.names_id || commit.is_for(one));
            if partition.is_none() && topics.get(place.topic()).is_ok() {
                let (of, at) = (commit.topic_id, commit.at.offset);
                let_go.push(format!("group {group:?} had committed {at} for {place} of the topic {of:032x}"));
            }
            let end = partition.as_ref().map(Partition::end);
            if let Some(partition) = &partition
                && commit.at.offset <= partition.end()
            {
                if !commit.names_id {
                    let bound = Commit { topic_id: partition.topic_id(), ..commit.clone() };
                    of_unnamed.push((Arc::clone(group), place.clone(), bound));
                }
                continue;
            }
            let after = partition.zip(end).map(|(partition, end)| {
                let at = CommittedOffset { offset: end, ..commit.at.clone() };
                // The work below it is that of the one it replaces: what is committed over it rests on that, too.
                let set_back_to = Commit::outside(&partition, at).over(Some(commit));
                set_back.push(partition);
                set_back_to
            });
            owes_unnamed |= after.is_none() && !commit.names_id;
            changes.push(Change { group: Arc::clone(group), place: place.clone(), commit: after });
            offset_resets.extend(end.map(|end| OffsetReset {
                group: group.to_string(),
                topic_partition: place.clone(),
                committed: commit.at.offset,
                end,
            }));
        }
        of_unnamed.into_iter().for_each(|(group, place, bound)| committed.set(&group, &place, Some(bound)));
        for Change { group, place, commit } in &changes {
            committed.set(group, place, commit.clone());
        }
        let groups = Arc::new(Self {
            owed: Mutex::new(changes),
            cannot_wait: AtomicBool::new(owes_unnamed),
            offset_resets,
            let_go,
            skipped,
            unreadable,
            ..Self::with((topics, clock), ledger, committed, None)
        });
        set_back.iter().for_each(|partition| groups.hold_back(partition));
        Ok(groups)
    }

    pub(super) fn with(
        (topics, clock): (Arc<Topics>, Arc<dyn Clock>),
        ledger: Ledger,
        committed: Committed,
        replayed: Option<Replayed>,
    ) -> Self {
        Self {
            topics,
            clock,
            ledger,
            committed: Mutex::new(committed),
            owed: Mutex::default(),
            cannot_wait: AtomicBool::new(false),
            register: Mutex::default(),
            locking: Mutex::new(()),
            others: OnceLock::new(),
            members_made: AtomicU64::new(0),
            offset_resets: Vec::new(),
            skipped: Vec::new(),
            let_go: Vec::new(),
            unreadable: None,
            spool: OnceLock::new(),
            replayed: replayed.map(Mutex::new),
            topic_changes: AtomicU64::new(0),
        }
    }

    /// Writes what is owed where a topic that is created next could suffer from it.
    pub(crate) fn write_what_cannot_wait(&self) -> Result<()> {
        if self.cannot_wait.load(Ordering::Acquire) { self.write_owed() } else { Ok(()) }
    }

    /// Writes durably what the open has set right. A failure, as on a full disk, leaves it owed: every later commit, and the
    /// first append to a partition of which a commit was set back, tries again first.
    pub(crate) fn write_owed(&self) -> Result<()> {
        self.topics.check_process()?;
        let mut owed = self.owed.lock();
        if owed.is_empty() {
            return Ok(());
        }
        let entries = owed.iter().map(Change::entry).collect::<Result<Vec<_>>>()?;
        self.ledger.append(&entries, |_| {})?;
        self.ledger.sync()?;
        owed.clear();
        Ok(())
    }

    /// Writes changes, then applies them: those of a batch when it is written.
    pub(super) fn write(&self, committed: &mut Committed, changes: Vec<Change>) -> Result<()> {
        self.check_readable()?;
        self.write_owed()?;
        let entries = changes.iter().map(Change::entry).collect::<Result<Vec<_>>>()?;
        let mut changes = changes.into_iter();
        self.ledger.append(&entries, |written| {
            changes.by_ref().take(written.len()).for_each(|change| committed.apply(change));
        })
    }

    pub(crate) fn offset_resets(&self) -> &[OffsetReset] {
        &self.offset_resets
    }

    /// The partition in which commits are stored.
    pub(crate) fn stored_in(&self) -> TopicPartition {
        self.ledger.stored_in()
    }

    /// The partition itself, once there is a commit.
    pub(crate) fn stored_partition(&self) -> Option<Partition> {
        self.topics.get(OFFSETS.name).and_then(|topic| topic.partition(0)).ok()
    }

    /// Records among the commits that are not understood.
    pub(crate) fn skipped(&self) -> &[SkippedRecord] {
        &self.skipped
    }

    /// What was committed that holds for nothing any more.
    pub(crate) fn let_go(&self) -> &[String] {
        &self.let_go
    }

    /// The group of that name for a consumer, who gives it back.
    pub(crate) fn take(&self, name: &str) -> Result<Arc<Group>> {
        self.topics.check_process()?;
        if name.is_empty() || name.len() > GROUP_NAME_MOST_BYTES {
            let reason = "it must have 1 to 32767 bytes";
            return Err(Error::InvalidName { kind: "group", name: name.to_owned(), reason });
        }
        self.check_readable()?;
        if self.topics.is_read_only() && self.spool.get().is_none() {
            let why = "a store opened read-only takes no commits: set no group, and assign partitions";
            return Err(Error::config("group.id", name, why));
        }
        // Who takes the first of a group, and who gives the last of it back, take turns.
        let _locking = self.locking.lock();
        if !self.has_here(name) {
            self.lock_group(name)?;
        }
        Ok(self.register.lock().take(name))
    }

    /// A consumer of the group is gone. Nothing is kept of a group without one, but what it has committed.
    pub(crate) fn give_back(&self, group: &Group) {
        let _locking = self.locking.lock();
        self.register.lock().give_back(group.name());
        if !self.has_here(group.name()) {
            self.unlock_group(group.name());
        }
    }

    /// Whether the group is this process's.
    fn has_here(&self, name: &str) -> bool {
        self.find(name).is_some() || self.is_in_doubt(name)
    }

    /// An id no other member of this store has. Ids sort in the order they were made.
    pub(crate) fn new_member(&self, client_id: &str) -> String {
        format!("{client_id}-{:010}", self.members_made.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes `member` a member of the group that reads `topics`, or changes what it reads.
    pub(crate) fn join(&self, group: &Arc<Group>, member: &str, topics: Vec<Arc<str>>, signal: &Arc<Signal>) {
        // A group that is being forgotten gets no member before it is.
        let _locking = self.locking.lock();
        // First the note: a topic that changes from here on looks at this group.
        self.register.lock().note_subscription(group, &topics);
        let before = group.join(member, topics, signal, &self.topics);
        self.register.lock().forget_subscription(group, &before);
    }

    pub(crate) fn leave(&self, group: &Group, member: &str) {
        let before = group.leave(member, &self.topics);
        self.register.lock().forget_subscription(group, &before);
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Group>> {
        self.register.lock().find(name)
    }

    /// A store that another process owns is looked at: there nobody calls when a topic has changed.
    pub(crate) fn follow_topics(&self) {
        let Some(changes) = self.topics.changes_elsewhere() else { return };
        if self.topic_changes.swap(changes, Ordering::AcqRel) != changes {
            let groups = self.register.lock().all();
            groups.iter().for_each(|group| {
                group.reassign(&self.topics);
                group.forget_gone(&self.topics);
            });
        }
    }

    /// A topic has come, grown or gone: those who read it are assigned their partitions again.
    pub(crate) fn topic_changed(&self, topic: &str) {
        let readers = self.register.lock().readers_of(topic);
        readers.iter().for_each(|group| group.reassign(&self.topics));
    }

    /// Takes back what any group has committed for topics of that name that are gone. A record that says for which topic
    /// it is can never hold for another: it is taken back for its room alone, and the next open does what fails here.
    pub(crate) fn forget_deleted(&self, topic: &str) -> Result<()> {
        if self.unreadable.is_some() {
            // The open that can read them takes them back.
            return Ok(());
        }
        let mut committed = self.committed.lock();
        let there = match self.topics.get(topic) {
            Ok(topic) => Some(topic.id()),
            Err(Error::UnknownTopic { .. }) => None,
            // It is there and could not be opened.
            Err(_) => return Ok(()),
        };
        let gone = committed.of_topic(topic).filter(|(_, _, commit)| Some(commit.topic_id) != there);
        let mut may_return = false;
        let mut changes: Vec<_> = gone
            .map(|(group, place, commit)| {
                may_return |= !commit.names_id;
                Change { group: Arc::clone(group), place: place.clone(), commit: None }
            })
            .collect();
        let mut outcome = caught(|| self.write(&mut committed, changes.clone()));
        changes.iter().for_each(|change| committed.set(&change.group, &change.place, None));
        if !may_return {
            return Ok(());
        }
        if outcome.is_ok() {
            drop(committed);
            outcome = caught(|| self.ledger.sync());
            committed = self.committed.lock();
        }
        if outcome.is_err() {
            // The next commit writes it first, and so does whoever makes a topic. Nobody commits before that is said: behind a newer commit it
            // would take that back.
            changes.retain(|change| committed.of(&change.group, &change.place).is_none());
            self.owed.lock().extend(changes);
            self.cannot_wait.store(true, Ordering::Release);
        }
        outcome
    }

    /// Takes back everything a group without members has committed, durably, after `others` have forgotten the group: they are asked
    /// once nothing refuses that any more.
    pub(crate) fn delete(&self, name: &str, others: impl FnOnce() -> Result<()>) -> Result<()> {
        self.check_readable()?;
        // Nobody joins from here on.
        let _locking = self.locking.lock();
        if let Some(member) = self.find(name).and_then(|group| group.members().into_iter().next()) {
            return Err(Error::invalid(format!("group {name:?} has members, {member:?} among them")));
        }
        let is_here = self.has_here(name);
        if !is_here {
            self.lock_group(name)?;
        }
        let deleted = caught(|| others().and_then(|()| self.take_back_all(name)));
        if !is_here {
            self.unlock_group(name);
        }
        deleted
    }

    fn take_back_all(&self, name: &str) -> Result<()> {
        let mut committed = self.committed.lock();
        // What an undecided transaction may have committed goes, too.
        let places: BTreeSet<_> = committed
            .of_group(name)
            .map(|(place, _)| place)
            .chain(committed.doubts.of(name))
            .cloned()
            .collect();
        let places = places.into_iter();
        let changes: Vec<_> =
            places.map(|place| Change { group: name.into(), place, commit: None }).collect();
        if changes.is_empty() && self.stored_partition().is_none() {
            return Ok(());
        }
        // Where there is nothing left an earlier try may have failed at the sync.
        self.write(&mut committed, changes)?;
        drop(committed);
        self.ledger.sync()
    }
}

impl Commit {
    /// Whether it was committed for that partition, and not for one of an earlier topic of the name.
    pub(super) fn is_for(&self, partition: &Partition) -> bool {
        self.topic_id == partition.topic_id()
    }
}
