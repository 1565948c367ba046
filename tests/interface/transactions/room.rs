//! Transactions in partitions that may not grow.
#![expect(clippy::disallowed_methods, reason = "a test looks at how long a call takes")]

use std::time::{Duration, Instant};

use annals::{Durability, Error, Isolation, Partition, Record, Store, TopicConfig, Transaction, WhenFull};

use annals_testing::{Call, Fault, FaultyFileSystem, Times};

use super::together::values;
use crate::common::{fast_dir, on_faulty};

const EIO: i32 = 5;
const LIMIT: u64 = 4000;
/// Of each of those who work side by side.
const STEPS: usize = 100;

fn store() -> (tempfile::TempDir, Store, Partition) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let config = TopicConfig::new().size_limit(LIMIT, WhenFull::DropOldest).segment_bytes(1000);
    let queue = store.create_topic("queue", config).unwrap().partition(0).unwrap();
    store.create_topic("other", TopicConfig::new()).unwrap();
    (dir, store, queue)
}

fn fill(queue: &Partition, records: usize) {
    for number in 0..records {
        queue.append(&[Record::new().value(&format!("{number:0100}"))], Durability::Os).unwrap();
    }
}

#[test]
fn a_transaction_in_the_way_of_newer_records_is_aborted_and_told_so() {
    let (_dir, store, queue) = store();
    let mut tx = store.transaction_builder("slow").buffer_bytes(0).begin().unwrap();
    tx.send(Record::to("queue").value("undecided")).unwrap();
    tx.send(Record::to("other").value("undecided")).unwrap();
    fill(&queue, 100);
    assert!(queue.bytes() <= LIMIT && queue.start() > 0, "{} bytes from {}", queue.bytes(), queue.start());
    assert!(!values(&store, "queue", 0, Isolation::ReadCommitted).is_empty());
    match tx.commit() {
        Err(Error::TransactionDisplaced { name, partition }) => {
            assert_eq!((name.as_str(), partition.to_string()), ("slow", "queue-0".to_owned()));
        }
        other => panic!("{other:?}"),
    }
    assert!(values(&store, "other", 0, Isolation::ReadCommitted).is_empty(), "it is aborted everywhere");
    // The name goes on.
    let mut next = store.transaction("slow").unwrap();
    next.send(Record::to("queue").value("next")).unwrap();
    next.commit().unwrap();
}

#[test]
fn a_decided_transaction_in_the_way_gets_its_markers_first() {
    let (_dir, store, queue) = store();
    for number in 0..30 {
        let mut tx = store.transaction("quick").unwrap();
        tx.send(Record::to("queue").value(&format!("{number:0200}"))).unwrap();
        tx.send(Record::to("other").value(&number.to_string())).unwrap();
        tx.commit().unwrap();
    }
    assert!(
        queue.bytes() <= LIMIT + 1000 && queue.start() > 0,
        "{} bytes from {}",
        queue.bytes(),
        queue.start()
    );
    assert_eq!(values(&store, "other", 0, Isolation::ReadCommitted).len(), 30);
}

#[test]
fn a_partition_is_not_full_for_a_decided_transaction_that_lies_across_what_has_to_go() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    let config = TopicConfig::new().size_limit(LIMIT, WhenFull::DropOldest).segment_bytes(1000);
    let queue = store.create_topic("queue", config).unwrap().partition(0).unwrap();
    store.create_topic("other", TopicConfig::new()).unwrap();
    let mut tx = store.transaction_builder("long").buffer_bytes(0).begin().unwrap();
    for topic in ["queue"; 9].into_iter().chain(["other"]) {
        tx.send(Record::to(topic).value(&[b'1'; 100])).unwrap();
    }
    tx.commit().unwrap();
    // No end of it is written before the store is opened again.
    files.fail(&[Call::Sync], "other-0", (0, Times::ForEver), Fault::Error(EIO));
    assert!(store.topic("other").unwrap().partition(0).unwrap().flush().is_err());
    fill(&queue, 200);
    assert!(queue.start() >= 9 && queue.bytes() <= LIMIT, "{} bytes from {}", queue.bytes(), queue.start());
    let kept = values(&store, "queue", 0, Isolation::ReadCommitted).len();
    assert_eq!(kept, usize::try_from(queue.end() - queue.start()).unwrap());
}

#[test]
fn a_transaction_larger_than_its_partition_may_be_is_refused() {
    let (_dir, store, queue) = store();
    let mut tx = store.transaction_builder("large").buffer_bytes(0).begin().unwrap();
    let refused =
        (0..100).find_map(|number| tx.send(Record::to("queue").value(&format!("{number:0100}"))).err());
    assert!(matches!(refused, Some(Error::Full { .. })), "{refused:?}");
    drop(tx);
    assert_eq!(queue.stable(), queue.end(), "it was aborted");
    fill(&queue, 100);
}

/// A transaction that its participants refuse: it commits offsets of a member that has left, or answers a message that it has no more.
fn refused_by_a_participant(store: &Store, by: &str) -> Transaction {
    let orders = store.ensure_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    orders.append(&[Record::new().value("1")], Durability::Os).unwrap();
    let mut tx = store.transaction("refused").unwrap();
    if by == "group" {
        let mut consumer = store.consumer("group").unwrap();
        consumer.subscribe(["orders"]).unwrap();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
        tx.commit_offsets(&consumer).unwrap();
    } else {
        let builder = store.queue_builder("orders", "workers").lock_timeout(Duration::from_millis(1));
        let mut worker = builder.build().unwrap();
        let message = worker.take(1, Duration::ZERO).unwrap().into_iter().next().unwrap();
        tx.ack(message);
        std::thread::sleep(Duration::from_millis(5));
    }
    tx.send(Record::to("queue").value("refused")).unwrap();
    tx
}

fn check_refused<T: std::fmt::Debug>(by: &str, outcome: annals::Result<T>) {
    let is_refused = match by {
        "group" => matches!(outcome, Err(Error::NotAssigned { .. })),
        _ => matches!(outcome, Err(Error::LockLost { .. })),
    };
    assert!(is_refused, "{by}: {outcome:?}");
}

#[test]
fn a_transaction_that_its_participants_refuse_took_the_oldest_records_out() {
    for by in ["group", "queue"] {
        let (_dir, store, queue) = store();
        while queue.bytes() + 150 < LIMIT {
            fill(&queue, 1);
        }
        let before = (queue.start(), queue.end(), queue.bytes());
        let mut tx = refused_by_a_participant(&store, by);
        tx.send(Record::to("queue").value(&"x".repeat(300))).unwrap();
        check_refused(by, tx.commit());
        assert_eq!((queue.start(), queue.end(), queue.bytes()), before, "{by}");
    }
}

#[test]
fn a_transaction_that_its_participants_refuse_displaced_another() {
    for by in ["group", "queue"] {
        let (_dir, store, queue) = store();
        let mut other = store.transaction_builder("other").buffer_bytes(0).begin().unwrap();
        other.send(Record::to("queue").value("undecided")).unwrap();
        while queue.bytes() + 150 < LIMIT {
            fill(&queue, 1);
        }
        let mut tx = refused_by_a_participant(&store, by);
        tx.send(Record::to("queue").value(&"x".repeat(300))).unwrap();
        check_refused(by, tx.commit());
        other.commit().unwrap();
    }
}

#[test]
fn a_transaction_that_is_refused_waited_for_room_first() {
    for by in ["group", "queue", "condition"] {
        let (_dir, store, queue) = store();
        let config = TopicConfig::new().size_limit(LIMIT, WhenFull::Block);
        let config = config.size_limit_max_block(Duration::from_secs(10));
        let blocking = store.create_topic("blocking", config).unwrap().partition(0).unwrap();
        while blocking.bytes() + 150 < LIMIT {
            fill(&blocking, 1);
        }
        let begun = Instant::now();
        let large = "x".repeat(300);
        if by == "condition" {
            let mut tx = store.transaction("refused").unwrap();
            tx.send(Record::to("blocking").value(&large)).unwrap();
            tx.expect_end(&queue, 7);
            let refused = tx.commit();
            assert!(matches!(refused, Err(Error::UnexpectedEnd { .. })), "{refused:?}");
        } else {
            let mut tx = refused_by_a_participant(&store, by);
            tx.send(Record::to("blocking").value(&large)).unwrap();
            check_refused(by, tx.commit());
        }
        assert!(begun.elapsed() < Duration::from_secs(9), "{by}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_step_whose_room_another_group_makes_waits_and_is_committed() {
    let (_dir, store, queue) = store();
    let config = TopicConfig::new()
        .size_limit(LIMIT, WhenFull::Block)
        .size_limit_max_block(Duration::from_secs(20))
        .segment_bytes(1000)
        .retention_until_consumed();
    let blocking = store.create_topic("blocking", config).unwrap().partition(0).unwrap();
    let mut reader = store.consumer("reader").unwrap();
    reader.subscribe(["blocking"]).unwrap();
    while blocking.bytes() + 150 < LIMIT {
        fill(&blocking, 1);
    }
    while queue.bytes() + 150 < LIMIT {
        fill(&queue, 1);
    }
    fill(&store.topic("other").unwrap().partition(0).unwrap(), 1);
    let mut consumer = store.consumer("steps").unwrap();
    consumer.subscribe(["other"]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    let (oldest, begun) = (queue.start(), Instant::now());
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| {
            let mut tx = store.transaction("step").unwrap();
            tx.commit_offsets(&consumer).unwrap();
            for topic in ["blocking", "queue"] {
                tx.send(Record::to(topic).value(&"x".repeat(300))).unwrap();
            }
            tx.commit()
        });
        std::thread::sleep(Duration::from_millis(50));
        assert!(!committing.is_finished());
        assert_eq!(queue.start(), oldest, "nothing goes while it waits elsewhere");
        while !reader.poll(Duration::ZERO).unwrap().is_empty() {}
        reader.commit().unwrap();
        committing.join().unwrap().unwrap();
    });
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "whoever makes room waited for it: {:?}",
        begun.elapsed()
    );
    assert!(queue.start() > oldest && queue.bytes() <= LIMIT + 400);
    assert_eq!(store.committed("steps")[&("other", 0).into()].offset, 1);
    assert!(values(&store, "blocking", 0, Isolation::ReadCommitted).contains(&"x".repeat(300)));
}

/// Steps of groups and of workers, sends with ids, and transactions that are displaced, all in a topic that drops its oldest records: whoever makes
/// room holds what others need, and nobody waits for ever.
#[test]
fn steps_that_make_room_side_by_side_come_to_an_end() {
    let (_dir, store, queue) = store();
    let orders = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    let (store, orders) = (&store, &orders);
    let send = |tx: &mut Transaction| tx.send(Record::to("queue").value(&"x".repeat(200)));
    std::thread::scope(|scope| {
        for number in 0..2 {
            scope.spawn(move || {
                let name = format!("step-{number}");
                let mut consumer = store.consumer(&name).unwrap();
                consumer.assign([("orders", 0)]).unwrap();
                for _ in 0..STEPS {
                    orders.append(&[Record::new().value("1")], Durability::Os).unwrap();
                    consumer.poll(Duration::ZERO).unwrap();
                    let mut tx = store.transaction(&name).unwrap();
                    tx.commit_offsets(&consumer).unwrap();
                    send(&mut tx).unwrap();
                    let ended = tx.commit();
                    assert!(matches!(ended, Ok(_) | Err(Error::Full { .. })), "{ended:?}");
                }
            });
            scope.spawn(move || {
                let mut worker = store.queue("orders", "workers").unwrap();
                for _ in 0..STEPS {
                    for message in worker.take(1, Duration::ZERO).unwrap() {
                        let mut tx = store.transaction(&format!("work-{number}")).unwrap();
                        tx.ack(message);
                        send(&mut tx).unwrap();
                        let ended = tx.commit();
                        assert!(matches!(ended, Ok(_) | Err(Error::Full { .. })), "{ended:?}");
                    }
                }
            });
        }
        scope.spawn(|| {
            let builder = store.enqueuer_builder("queue").unique_within(Duration::from_secs(60), 1000);
            let ids = builder.build().unwrap();
            for number in 0..STEPS {
                drop(ids.send_once(&number.to_string(), Record::new().value("once")));
            }
        });
        scope.spawn(|| {
            for _ in 0..STEPS {
                let mut tx = store.transaction_builder("slow").buffer_bytes(0).begin().unwrap();
                drop(send(&mut tx).and_then(|()| send(&mut tx)));
            }
        });
    });
    assert!(queue.start() > 0);
}
