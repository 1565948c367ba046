//! What retention takes once it is read: only what no power cut makes unread.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::doubles::MemoryFileSystem;
use crate::error::Error;
use crate::group::Groups;
use crate::group::committed::{Commit, CommittedOffset};
use crate::io::{Clock, Directory, ManualClock};
use crate::log::{EndsTransactions, NotEnded, RestsOn, TransactionId};
use crate::topic::{Partition, TopicConfig, TopicContext, Topics};
use crate::types::{Durability, Record, TopicPartition};
use crate::upkeep::Agenda;

const EARLIER: TransactionId = TransactionId { producer_id: 1, producer_epoch: 0 };
const LATER: TransactionId = TransactionId { producer_id: 1, producer_epoch: 1 };

/// A round of syncs for what is decided in which what the earlier one rests on fails, and during which the later one is decided.
struct Overtaken {
    groups: Arc<Groups>,
    partition: Partition,
}

impl EndsTransactions for Overtaken {
    fn clear_away(&self, _: &TopicPartition, _: i64) {}

    fn write_decided(&self) -> Result<(), NotEnded> {
        commit(&self.groups, &self.partition, (self.partition.end(), LATER));
        let error = Box::new(Error::invalid("what it rests on is not durable"));
        Err(NotEnded { error, left: [EARLIER].into() })
    }

    fn keep(&self, _: &BTreeSet<TransactionId>) -> Result<(), Error> {
        Ok(())
    }

    fn await_kept(&self, _: &BTreeSet<TransactionId>) -> Result<RestsOn, Error> {
        Ok(RestsOn::default())
    }

    fn bring_over(&self, _: &BTreeSet<TransactionId>) -> Result<(), Error> {
        Ok(())
    }

    fn check_sound(&self, _: &BTreeSet<TransactionId>) -> Result<(), Error> {
        Ok(())
    }

    fn check_seen(&self, _: u128, _: u32) -> Result<(), Error> {
        Ok(())
    }

    fn needs_ends(&self) -> bool {
        false
    }
}

fn commit(groups: &Groups, partition: &Partition, (offset, transaction): (i64, TransactionId)) {
    let at = CommittedOffset { offset, metadata: String::new(), timestamp: 0 };
    let commit = Commit {
        topic_id: partition.topic_id(),
        names_id: true,
        at,
        written_in: Some(transaction),
        moved_in: None,
    };
    groups.committed.lock().set("readers", partition.topic_partition(), Some(commit));
}

fn opened() -> (Arc<Topics>, Arc<Groups>) {
    let root = Directory::new(Arc::new(MemoryFileSystem::new()), Path::new("/store"));
    root.ensure().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_000_000));
    let agenda = Arc::new(Agenda::new(Duration::MAX, Duration::MAX));
    let context = TopicContext::of_tests(&clock, &agenda);
    let topics = Arc::new(Topics::open(root, context).unwrap());
    let groups = Groups::open(Arc::clone(&topics), clock).unwrap();
    (topics, groups)
}

#[test]
fn records_stay_where_another_commit_came_over_the_one_they_were_read_by_and_that_is_not_durable() {
    let (topics, groups) = opened();
    let topic = topics.create("in", &TopicConfig::new().segment_bytes(1000)).unwrap();
    let partition = topic.partition(0).unwrap();
    for _ in 0..40 {
        partition.append(&[Record::new().value(&[b'x'; 60])], Durability::Os).unwrap();
    }
    let overtaken: Arc<dyn EndsTransactions> =
        Arc::new(Overtaken { groups: Arc::clone(&groups), partition: partition.clone() });
    topics.set_clearing(Arc::downgrade(&overtaken));
    commit(&groups, &partition, (30, EARLIER));
    let removable = groups.removable_below(&partition);
    assert!(removable.is_err(), "a power cut makes them unread: {removable:?}");
    commit(&groups, &partition, (30, EARLIER));
    let read = groups.read_by_groups(&partition);
    assert!(read.is_err(), "a power cut makes them unread: {read:?}");
    // What the later one alone says rests on nothing that has failed.
    assert_eq!(groups.removable_below(&partition).unwrap(), Some(partition.end()));
}
