//! Committing how far a consumer has read.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::consumer::assigned::Assigned;
use crate::consumer::builder::StartFrom;
use crate::consumer::consumer::{Consumer, Role};
use crate::error::{Error, Result};
use crate::group::{
    CommitKind, CommitRequest, Group, Groups, LeftOut, Pending, TakenGroup, Unsettled, goes_back,
};
use crate::log::TransactionId;
use crate::topic::Partition;
use crate::types::{Durability, Offset, TopicPartition};

/// What a commit into the page cache waits for until it survives a power cut.
#[derive(Debug, Default)]
pub(super) struct AtOs {
    /// The partition that holds all commits, if there are any.
    pub(super) stored: Option<Partition>,
    /// What is committed.
    pub(super) told: Vec<(Partition, Offset)>,
    /// The transactions that it went over, or had committed with already.
    pub(super) laid_over: BTreeSet<TransactionId>,
    /// Why something was left out of it.
    pub(super) left_out: Option<Error>,
}

impl Consumer {
    /// Commits, for the group, this consumer's position in each partition that a poll or a seek has touched: the next
    /// reader begins there. So what polls have returned counts as read, and a position at the end is kept even if no
    /// record came. What is already committed is not written again, and a partition whose topic was deleted is left out.
    ///
    /// The first commit of any group in a store creates the topic `__consumer_offsets`, which
    /// [`Store::topics`](crate::Store::topics) lists from then on.
    ///
    /// The commit is all or nothing as long as its records fit into one batch (16 MiB, 100,000 partitions and more).
    ///
    /// # Errors
    /// [`NotAssigned`](Error::NotAssigned) when the group has given one of the partitions to another member: nothing is
    /// committed. The following name a partition for which nothing is committed, while all the others are:
    /// [`OffsetOutOfRange`](Error::OffsetOutOfRange) where this consumer was moved by a seek beyond the end, and no poll has decided since
    /// where it continues; [`OffsetUndecided`](Error::OffsetUndecided) after an undecided transaction was to commit it: reopen the store;
    /// [`OffsetNotCommitted`](Error::OffsetNotCommitted), at [`Durability::Disk`](crate::Durability::Disk), where it rests on work of a
    /// transaction that a power cut may take back; whatever keeps a [`StoreReader`](crate::StoreReader) from seeing that partition.
    /// [`InvalidArgument`](Error::InvalidArgument) while a
    /// [transaction](crate::Transaction::commit_offsets) that is not over holds the offsets. [`InvalidConfig`](Error::InvalidConfig) without
    /// a group, [`Io`](Error::Io). After an `Io` from a sync, at [`Durability::Disk`](crate::Durability::Disk), the next open of the store
    /// shows whether the commit holds.
    pub fn commit(&mut self) -> Result<()> {
        told(self.commit_positions(CommitKind::Positions)?)
    }

    /// Whether these are the groups of its store.
    pub(crate) fn is_of(&self, groups: &Arc<Groups>) -> bool {
        Arc::ptr_eq(&self.groups, groups)
    }

    /// An error where a transaction could not commit where it stands: one of which nobody knows was to.
    pub(crate) fn check_decided(&self) -> Result<()> {
        self.topics.check_process()?;
        let Some(group) = &self.group else { return Ok(()) };
        let stands = |one: &&Assigned| one.decided_position().is_some() && !one.partition.is_gone();
        self.groups.check_decided(group, self.assigned.values().filter(stands).map(|one| &one.partition))
    }

    /// Where it stands, for a transaction to commit.
    pub(crate) fn pending(&self) -> Result<Pending> {
        self.topics.check_process()?;
        let Some(group) = self.group.clone() else {
            return Err(Error::config("group.id", "", "offsets are committed for a group"));
        };
        self.topics.check_open()?;
        // What a transaction that is over had is to come again; one that lets go from here on is seen when the positions are claimed.
        self.endings.is_claimed();
        if self.endings.goes_back() {
            return Err(goes_back(group.name()));
        }
        let member = match self.role {
            Role::SelfAssigned => None,
            Role::Member(known) => Some((self.member.clone(), known)),
            Role::Idle => Some((self.member.clone(), 0)),
        };
        let decided = self.assigned.values().filter(|one| !one.partition.is_gone());
        let untouched = decided.clone().filter_map(|one| {
            let done = one.untouched(self.endings.done(&one.partition).as_ref())?;
            Some((one.partition.topic_partition().clone(), done))
        });
        let touched = decided.clone().filter_map(|one| {
            let done = one.touched(self.endings.done(&one.partition).as_ref())?;
            Some((one.partition.topic_partition().clone(), done))
        });
        let (untouched, touched) = (untouched.collect(), touched.collect());
        let positions = decided.filter_map(|one| Some((one.partition.clone(), one.decided_position()?)));
        let (endings, positions) = (Some(Arc::clone(&self.endings)), positions.collect::<Vec<_>>());
        self.groups.check_decided(&group, positions.iter().map(|(partition, _)| partition))?;
        let taken = Some(Arc::new(TakenGroup::new(&self.groups, group.name())?));
        let owed = self.owed.first(&self.endings).map(|place| (place.clone(), self.member.clone()));
        Ok(Pending {
            group,
            member,
            positions,
            owed,
            untouched,
            touched,
            endings,
            beyond: None,
            _taken: taken,
        })
    }

    /// Commits the given offsets: those of the last records done, plus one.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit), but nothing is committed if one of them cannot be, and [`Poisoned`](Error::Poisoned) instead of
    /// [`OffsetNotCommitted`](Error::OffsetNotCommitted); [`OffsetOutOfRange`](Error::OffsetOutOfRange) beyond the end of a partition,
    /// [`UnknownTopic`](Error::UnknownTopic): also when the topic it reads was deleted and another topic has the name.
    pub fn commit_offsets(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, Offset)>,
    ) -> Result<()> {
        self.commit_given(offsets, "")
    }

    /// Commits the given offsets with a note for later readers of the commit, at most 4096 bytes.
    ///
    /// # Errors
    /// As for [`commit_offsets`](Self::commit_offsets).
    pub fn commit_with_metadata(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, Offset)>,
        metadata: &str,
    ) -> Result<()> {
        self.commit_given(offsets, metadata)
    }

    fn commit_given(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, Offset)>,
        metadata: &str,
    ) -> Result<()> {
        self.topics.check_process()?;
        if self.endings.is_claimed() {
            return Err(self.claimed());
        }
        let mut positions = Vec::new();
        for (place, offset) in offsets {
            positions.push((self.partition_of(&place)?, offset));
        }
        let done: Vec<_> =
            positions.iter().map(|(at, offset)| (at.topic_partition().clone(), *offset)).collect();
        let left_out = self.request(positions, metadata, CommitKind::Given)?;
        self.owed.clear();
        self.note_done(done);
        told(left_out.why)
    }

    /// The partition it reads, which is of the topic it reads and not of another that has the name by now.
    fn partition_of(&self, place: &TopicPartition) -> Result<Partition> {
        match self.assigned.get(place) {
            Some(assigned) => Ok(assigned.partition.clone()),
            None => self.topics.get(place.topic())?.partition(place.partition()),
        }
    }

    /// Commits where it stands. Returns what the caller is to be told of what is not committed, or may not survive a power cut; the rest is done.
    fn commit_positions(&mut self, kind: CommitKind) -> Result<Option<Error>> {
        self.topics.check_process()?;
        if self.endings.is_claimed() {
            return match kind {
                // They are the transaction's to commit.
                CommitKind::Automatic => Ok(None),
                CommitKind::Positions | CommitKind::Given => Err(self.claimed()),
            };
        }
        let positions = self.decided_positions();
        let LeftOut { partitions, why } = self.request(positions, "", kind)?;
        self.note_positions_done(|partition| !partitions.iter().any(|one| one.is_same(partition)));
        Ok(why)
    }

    /// Where it stands, after what transactions without effect have taken back.
    fn decided_positions(&mut self) -> Vec<(Partition, Offset)> {
        self.take_in_endings();
        let decided = |one: &Assigned| Some((one.partition.clone(), one.decided_position()?));
        self.assigned.values().filter_map(decided).collect()
    }

    /// An error where the group's next reader begins elsewhere than this consumer stands, now that nothing can be committed any more.
    pub(super) fn check_all_committed(&mut self) -> Result<()> {
        let Some(group) = self.group.clone() else { return Ok(()) };
        let mut positions = self.decided_positions();
        positions.retain(|(partition, position)| {
            let is_ours = match self.role {
                Role::SelfAssigned => true,
                Role::Member(known) => group.owns((&self.member, known), partition),
                Role::Idle => false,
            };
            is_ours && !partition.is_gone() && !self.is_begun_at(&group, (partition, *position))
        });
        if positions.is_empty() {
            return Ok(());
        }
        let of = |(partition, at): (Partition, Offset)| (partition.topic_partition().clone(), at);
        let partitions = positions.into_iter().map(of).collect();
        Err(Error::NotCommitted { group: group.name().to_owned(), partitions })
    }

    /// Whether the next reader begins there all the same.
    fn is_begun_at(&self, group: &Group, (partition, position): (&Partition, Offset)) -> bool {
        match self.groups.last_committed(group, partition) {
            Some(committed) => committed == position,
            None => self.settings.start_from == StartFrom::Earliest && position <= partition.start(),
        }
    }

    fn claimed(&self) -> Error {
        let group = self.group.as_ref().map_or("", |group| group.name());
        Error::invalid(format!(
            "a transaction holds the offsets of this consumer of group {group:?}: commit or drop it first"
        ))
    }

    fn note_positions_done(&mut self, is_done: impl Fn(&Partition) -> bool) {
        // Who commits without a transaction takes what was handed out for done.
        self.owed.clear();
        for one in self.assigned.values_mut().filter(|one| is_done(&one.partition)) {
            if let Some(position) = one.decided_position() {
                one.note_done(position);
            }
        }
    }

    fn note_done(&mut self, done: Vec<(TopicPartition, Offset)>) {
        for (place, offset) in done {
            if let Some(one) = self.assigned.get_mut(&place) {
                one.note_done(offset);
            }
        }
    }

    /// Commits where it stands, into the page cache; returns what is to be waited for. What it goes over has to be able to survive a power cut.
    /// In a process that does not own the store it is synced as well, and nothing is left to wait for: what waits for a partition does not
    /// wait for the spool.
    pub(super) fn commit_at_os(&mut self) -> Result<AtOs> {
        self.topics.check_process()?;
        if self.endings.is_claimed() {
            return Err(self.claimed());
        }
        self.topics.check_open()?;
        let positions = self.decided_positions();
        let is_away = self.topics.is_read_only();
        let (mut at_os, mut unsettled) = (AtOs::default(), Vec::new());
        if let Some(group) = self.group.as_ref().filter(|_| !is_away) {
            // What was deleted is not committed.
            let there = positions.iter().filter(|(partition, _)| !partition.is_gone());
            at_os.told = there.cloned().collect();
            let bring_over = |transactions: &BTreeSet<_>| self.topics.clearing().bring_over(transactions);
            unsettled = self.groups.unsettled(group, &at_os.told, bring_over);
            at_os.told.retain(|(partition, _)| !unsettled.iter().any(|(one, _)| one.is_same(partition)));
            at_os.laid_over = self.groups.laid_over(group, &at_os.told);
        }
        let durability = if is_away { Durability::Disk } else { Durability::Os };
        let left_out = self.request_at(positions, "", (CommitKind::Positions, durability), unsettled)?;
        let is_left_out =
            |partition: &Partition| left_out.partitions.iter().any(|one| one.is_same(partition));
        at_os.told.retain(|(partition, _)| !is_left_out(partition));
        self.note_positions_done(|partition| !is_left_out(partition));
        at_os.left_out = left_out.why;
        at_os.stored = self.groups.stored_partition();
        Ok(at_os)
    }

    fn request(
        &self,
        positions: Vec<(Partition, Offset)>,
        metadata: &str,
        kind: CommitKind,
    ) -> Result<LeftOut> {
        self.request_at(positions, metadata, (kind, self.settings.commit_durability), Vec::new())
    }

    fn request_at(
        &self,
        positions: Vec<(Partition, Offset)>,
        metadata: &str,
        (kind, durability): (CommitKind, Durability),
        unsettled: Vec<Unsettled>,
    ) -> Result<LeftOut> {
        let Some(group) = &self.group else {
            return Err(Error::config("group.id", "", "committing needs a group"));
        };
        self.topics.check_open()?;
        self.groups.follow_topics();
        let member = match self.role {
            Role::SelfAssigned => None,
            Role::Member(known) => Some((self.member.as_str(), known)),
            Role::Idle => Some((self.member.as_str(), 0)),
        };
        self.groups.commit(group, CommitRequest { member, positions, metadata, durability, kind, unsettled })
    }

    /// Commits what earlier polls handed out, if it is time. A failure stops no reading.
    pub(super) fn commit_when_due(&mut self) {
        if !self.auto_commit.is_due() {
            return;
        }
        if self.endings.is_claimed() {
            // They are the transaction's to commit. Its end wakes nobody.
            self.auto_commit.put_off();
        } else {
            let outcome = self.commit_automatically();
            self.auto_commit.note(outcome);
        }
    }

    /// The same before its partitions are let go: nobody commits for them any more. Where a transaction holds the offsets it is the transaction's to
    /// commit.
    pub(super) fn commit_before_they_go(&mut self) {
        if self.auto_commit.is_wanted() && !self.endings.is_claimed() {
            let outcome = self.commit_automatically();
            self.auto_commit.note(outcome);
        }
    }

    /// Partitions that the group has given away meanwhile are the new owner's to commit. Returns why others were left out.
    pub(super) fn commit_automatically(&mut self) -> Result<Option<Error>> {
        self.commit_positions(CommitKind::Automatic)
    }

    /// Returns why the last automatic commit failed; `None` after one that succeeded. Polls continue in the meantime and try again;
    /// [`commit`](Self::commit) and [`close`](Self::close) report their failures themselves.
    ///
    /// ```
    /// # use annals::{Store, TopicConfig};
    /// # use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # store.create_topic("orders", TopicConfig::new())?;
    /// let builder = store.consumer_builder().group("billing").auto_commit(Duration::from_secs(5));
    /// let mut billing = builder.build()?;
    /// billing.subscribe(["orders"])?;
    /// billing.poll(Duration::ZERO)?;
    /// if let Some(error) = billing.auto_commit_failure() {
    ///     eprintln!("nothing is committed: {error}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn auto_commit_failure(&self) -> Option<&Error> {
        self.auto_commit.failure()
    }

    /// Returns what the group has committed for a partition.
    pub fn committed(&self, partition: impl Into<TopicPartition>) -> Option<Offset> {
        self.topics.check_process().ok()?;
        let group = self.group.as_ref()?;
        let partition = self.partition_of(&partition.into()).ok()?;
        self.groups.committed(group.name(), &partition).map(|committed| committed.offset)
    }
}

/// What a caller is told of a commit that stands: why something of it may not.
pub(super) fn told(why: Option<Error>) -> Result<()> {
    why.map_or(Ok(()), Err)
}
