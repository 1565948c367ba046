//! What groups have committed in a store that another process owns.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::committed::{Commit, Committed, CommittedOffset};
use crate::group::groups::Groups;
use crate::group::spool::Spool;
use crate::io::Clock;
use crate::topic::{Ledger, OFFSETS, Partition, Replay, Topics};
use crate::types::{Offset, TopicPartition};

/// How far the records of commits were read.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// The topic's id, and how often something was taken out of it.
    of: Option<(u128, u64)>,
    next: Offset,
}

impl Groups {
    /// The groups of a store that another process owns. Each look sees what they have committed by then.
    pub(crate) fn attach(topics: Arc<Topics>, clock: Arc<dyn Clock>, spool: Spool) -> Result<Arc<Self>> {
        let ledger = Ledger::new(Arc::clone(&topics), &OFFSETS);
        let groups = Self::with((topics, clock), ledger, Committed::default(), Some(Replayed::default()));
        groups.spool_in(spool);
        groups.look()?;
        Ok(Arc::new(groups))
    }

    /// Sees what was committed since the last look. A store of this process has nothing to look for.
    pub(crate) fn look(&self) -> Result<()> {
        let Some(replayed) = &self.replayed else { return Ok(()) };
        let mut replayed = replayed.lock();
        // From here on, so that no commit of this process comes in between.
        let mut committed = self.committed.lock();
        // First: what is taken out of there meanwhile was put into the topic before.
        let spooled = self.spooled()?;
        // What was laid over the topic may be older than what it has by now, and is in the spool no more.
        committed.uncover();
        match self.topics.get(OFFSETS.name) {
            Ok(topic) => self.replay(&topic.partition(0)?, (&mut replayed, &mut committed))?,
            // Nothing was committed yet, or nothing was folded.
            Err(Error::UnknownTopic { .. }) => {}
            Err(error) => return Err(error),
        }
        spooled.into_iter().for_each(|change| committed.cover(change));
        Ok(())
    }

    fn replay(
        &self,
        partition: &Partition,
        (replayed, committed): (&mut Replayed, &mut Committed),
    ) -> Result<()> {
        let of = (partition.topic_id(), partition.log().rewrites());
        if replayed.of != Some(of) {
            // A compaction takes tombstones away: what they have deleted must not stay known.
            *committed = Committed::default();
            *replayed = Replayed { of: Some(of), next: 0 };
        }
        let mut reader = partition.walk(replayed.next..Offset::MAX)?;
        loop {
            let records = reader.fetch()?;
            if records.is_empty() {
                break;
            }
            for record in &records {
                // What is not understood counts for nothing: the owner names it.
                drop(committed.replay(record.key().unwrap_or_default(), record.value()));
            }
            replayed.next = reader.position();
        }
        let unnamed: Vec<_> = committed
            .iter()
            .filter(|(_, _, commit)| !commit.names_id)
            .filter_map(|(group, place, commit)| {
                let topic = self.topics.get(place.topic()).ok()?;
                Some((Arc::clone(group), place.clone(), Commit { topic_id: topic.id(), ..commit.clone() }))
            })
            .collect();
        unnamed.into_iter().for_each(|(group, place, bound)| committed.set(&group, &place, Some(bound)));
        Ok(())
    }

    /// After a power cut a commit may lie above the end of its partition. As long as no owner has set it back it is taken for that end.
    pub(super) fn as_left(partition: &Partition, mut at: CommittedOffset) -> CommittedOffset {
        if let Ok(Some(_)) = partition.log().left_in() {
            at.offset = at.offset.min(partition.end());
        }
        at
    }

    /// The same of many.
    pub(super) fn all_as_left(
        &self,
        commits: Vec<(TopicPartition, CommittedOffset)>,
    ) -> BTreeMap<TopicPartition, CommittedOffset> {
        let as_left = |(place, at): (TopicPartition, CommittedOffset)| {
            let topic = self.topics.get(place.topic());
            match topic.and_then(|topic| topic.partition(place.partition())) {
                Ok(partition) => (place, Self::as_left(&partition, at)),
                Err(_) => (place, at),
            }
        };
        commits.into_iter().map(as_left).collect()
    }
}
