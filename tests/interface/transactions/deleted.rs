//! A topic of a transaction that was deleted before the commit: nothing of it takes effect, however far it was written.
#![expect(clippy::disallowed_methods, reason = "a deletion beside a commit")]

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use annals::io::FileSystem;
use annals::{Durability, Error, Isolation, Record, Store, TopicConfig, Transaction};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, Image, MemoryFileSystem, Times};

use super::together::values;

fn open(fs: Arc<dyn FileSystem>) -> Store {
    Store::builder("/store").without_live_readers().maintain_by_hand().file_system(fs).open().unwrap()
}

fn store() -> (MemoryFileSystem, Arc<FaultyFileSystem>, Store) {
    let disk = MemoryFileSystem::new();
    let faulty = FaultyFileSystem::over(Arc::new(disk.clone()));
    let store = open(faulty.clone());
    for topic in ["debits", "credits"] {
        store.create_topic(topic, TopicConfig::new()).unwrap();
    }
    (disk, faulty, store)
}

fn begin(store: &Store, buffer_bytes: usize, durability: Durability) -> Transaction {
    store.transaction_builder("transfer").buffer_bytes(buffer_bytes).durability(durability).begin().unwrap()
}

/// A store, and a transaction that has sent to both of its topics.
fn sent(buffer_bytes: usize, durability: Durability) -> (MemoryFileSystem, Store, Transaction) {
    let (disk, _, store) = store();
    let mut tx = begin(&store, buffer_bytes, durability);
    for (topic, value) in [("debits", "alice 5"), ("credits", "bob 5")] {
        tx.send(Record::to(topic).value(value)).unwrap();
    }
    (disk, store, tx)
}

/// Deletes the topic; another of the name has another's record, if there is to be one.
fn delete(store: &Store, name: &str, is_created_again: bool) {
    store.delete_topic(name).unwrap();
    if is_created_again {
        store.create_topic(name, TopicConfig::new()).unwrap();
        store.producer().send(Record::to(name).value("of another")).unwrap();
    }
}

#[track_caller]
fn is_gone<T: std::fmt::Debug>(outcome: annals::Result<T>) {
    let is_it = |error: &Error| matches!(error, Error::UnknownTopic { topic, was_deleted: true, .. } if topic == "debits");
    assert!(outcome.as_ref().is_err_and(is_it), "{outcome:?}");
}

/// Nothing of a transaction is there, now and in the next life, and nobody waits for it.
#[track_caller]
fn check_without_effect((disk, store): (&MemoryFileSystem, &Store), is_created_again: bool) {
    let check = |store: &Store| {
        assert_eq!(values(store, "credits", 0, Isolation::ReadCommitted), ["later"]);
        if is_created_again {
            assert_eq!(values(store, "debits", 0, Isolation::ReadUncommitted), ["of another"]);
        }
        assert!(store.stats().unwrap().open_transactions.is_empty());
    };
    store.producer().send(Record::to("credits").value("later")).unwrap();
    check(store);
    // A life that is killed has written no decision either.
    check(&open(Arc::new(MemoryFileSystem::over(&Image::new(disk.files())))));
    store.close().unwrap();
    check(&open(Arc::new(disk.clone())));
}

const CASES: [(usize, bool); 4] = [(0, true), (0, false), (1 << 20, true), (1 << 20, false)];

#[test]
fn a_commit_of_what_was_written_took_effect_though_one_of_its_topics_was_deleted() {
    for (buffer_bytes, is_created_again) in CASES {
        for durability in [Durability::Os, Durability::Disk] {
            let (disk, store, tx) = sent(buffer_bytes, durability);
            delete(&store, "debits", is_created_again);
            is_gone(tx.commit());
            check_without_effect((&disk, &store), is_created_again);
        }
    }
}

#[test]
fn a_send_and_a_commit_later_on_say_that_a_topic_was_deleted() {
    let (disk, store, mut tx) = sent(0, Durability::Os);
    store.add_partitions("debits", 2).unwrap();
    delete(&store, "debits", true);
    // It can take no effect any more, and is aborted.
    is_gone(tx.send(Record::to("credits").value("bob 6")));
    is_gone(tx.send(Record::to("credits").value("bob 7")));
    is_gone(tx.commit());
    check_without_effect((&disk, &store), true);
}

#[test]
fn partitions_that_are_added_meanwhile_are_no_other_topic() {
    let (_, store, mut tx) = sent(0, Durability::Os);
    store.add_partitions("debits", 2).unwrap();
    tx.send(Record::to("debits").partition(1).value("alice 6")).unwrap();
    assert_eq!(tx.commit().unwrap().batches.len(), 3);
    assert_eq!(values(&store, "debits", 1, Isolation::ReadCommitted), ["alice 6"]);
}

#[test]
fn a_deletion_while_a_commit_is_written_comes_before_its_decision() {
    let (disk, faulty, store) = store();
    let mut tx = begin(&store, 1000, Durability::Os);
    // This is more than is kept, and is written; what follows is kept until the commit.
    tx.send(Record::to("debits").value(&[0; 2000])).unwrap();
    tx.send(Record::to("credits").value("bob 5")).unwrap();
    let gate = Arc::new(Gate::default());
    faulty.fail(&[Call::Write], "credits-0", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let committing = thread::spawn(move || tx.commit());
    gate.await_arrival();
    delete(&store, "debits", true);
    gate.open();
    is_gone(committing.join().unwrap());
    check_without_effect((&disk, &store), true);
}

#[test]
fn offsets_and_answers_of_a_topic_that_was_deleted_are_refused_with_all_the_rest() {
    for is_created_again in [true, false] {
        let (disk, _, store) = store();
        store.producer().send(Record::to("debits").value("to be done")).unwrap();
        let mut billing = store.consumer("billing").unwrap();
        billing.subscribe(["debits"]).unwrap();
        assert_eq!(billing.poll(Duration::ZERO).unwrap().len(), 1);
        let mut worker = store.queue("debits", "workers").unwrap();
        let message = worker.take(1, Duration::ZERO).unwrap().into_iter().next().unwrap();
        let mut of_offsets = begin(&store, 0, Durability::Os);
        of_offsets.commit_offsets(&billing).unwrap();
        of_offsets.send(Record::to("credits").value("of the offsets")).unwrap();
        let mut of_answer = store.transaction_builder("answer").buffer_bytes(0).begin().unwrap();
        of_answer.send(Record::to("credits").value("of the answer")).unwrap();
        of_answer.ack(message);
        delete(&store, "debits", is_created_again);
        is_gone(of_offsets.commit());
        is_gone(of_answer.commit());
        assert!(store.committed("billing").is_empty());
        if is_created_again {
            // What another topic of the name has is to be done still.
            is_gone(billing.poll(Duration::ZERO));
            assert_eq!(billing.poll(Duration::ZERO).unwrap().len(), 1);
            let mut worker = store.queue("debits", "workers").unwrap();
            assert_eq!(worker.take(9, Duration::ZERO).unwrap().into_iter().count(), 1);
            drop((billing, worker));
            check_without_effect((&disk, &store), true);
        }
    }
}
