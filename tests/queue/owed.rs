//! What one call owes, and what another does: a transaction that still has to write its end elsewhere is in no sender's way.

use std::sync::Arc;
use std::time::Duration;

use annals::{Durability, Enqueuer, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, MemoryFileSystem, Times};

use crate::world::{World, take, values};

const HOUR: Duration = Duration::from_secs(3600);

fn enqueuer(store: &Store) -> Enqueuer {
    let builder = store.enqueuer_builder("jobs").unique_within(HOUR, 100);
    builder.durability(Durability::Disk).build().unwrap()
}

/// Records are there, and of a transaction before them the end has yet to be written to a topic that takes nothing.
#[test]
fn a_send_whose_record_is_delivered_does_not_fail_for_what_an_earlier_transaction_owes_elsewhere() {
    let full = [Call::Write, Call::Allocate, Call::Create];
    for owes in ["other-0", "__message_ids-0"] {
        let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
        let store = Store::builder("/store").file_system(Arc::clone(&disk) as _).maintain_by_hand();
        let store = store.open().unwrap();
        for topic in ["jobs", "other"] {
            store.create_topic(topic, TopicConfig::new()).unwrap();
        }
        let jobs = enqueuer(&store);
        if owes == "other-0" {
            let mut tx = store.transaction("both").unwrap();
            tx.send(Record::to("jobs").value("t")).unwrap();
            tx.send(Record::to("other").value("t")).unwrap();
            tx.commit().unwrap();
        } else {
            jobs.deliver_once_after("later", Record::new().value("t"), HOUR).unwrap();
            let mut tx = store.transaction("one").unwrap();
            tx.send(Record::to("jobs").value("t")).unwrap();
            tx.commit().unwrap();
        }
        let partition = store.topic("jobs").unwrap().partition(0).unwrap();
        disk.fail(&full, owes, (0, Times::ForEver), Fault::Error(28));
        jobs.send(Record::new().value("x")).unwrap_or_else(|error| panic!("{owes}: {error}"));
        jobs.send_once("y", Record::new().value("y")).unwrap_or_else(|error| panic!("{owes}: {error}"));
        let mut lines = Vec::new();
        assert!(store.topic("jobs").unwrap().export(&mut lines).unwrap() > 2);
        store.topic("jobs").unwrap().import(&*lines).unwrap_or_else(|error| panic!("{owes}: {error}"));
        assert_eq!(partition.durable(), partition.end(), "and survive a power cut");
        assert!(disk.count(Call::Write, owes) > 0);
    }
}

/// A transaction is at `Os` where nobody says otherwise, and the queue says what its answers survive.
#[test]
fn an_answer_of_a_queue_at_disk_with_a_transaction_survives_a_power_cut() {
    for durability in [Durability::Disk, Durability::Os] {
        let world = World::new(2);
        world.send(&["a", "b"]);
        world.store.producer().flush().unwrap();
        let mut worker = world.builder().durability(durability).build().unwrap();
        let mut tx = world.store.transaction("answers").unwrap();
        for message in take(&mut worker, 2) {
            tx.send(Record::to("jobs").partition(1).value("result")).unwrap();
            tx.ack(message);
        }
        tx.commit().unwrap();
        let next = world.without_power();
        let mut left = values(&take(&mut next.worker(), 9));
        left.sort();
        let is_done = durability == Durability::Disk;
        assert_eq!(left, if is_done { ["result", "result"] } else { ["a", "b"] }, "{durability:?}");
    }
}
