//! What the store's figures say of open transactions.
#![expect(clippy::disallowed_methods, reason = "a test looks at how long a call takes")]

use std::time::{Duration, Instant};

use annals::io::ManualClock;
use annals::stats::ReaderTransactionState;
use annals::{
    AbortOutcome, Durability, Partition, Record, Store, StoreReader, TopicConfig, TopicPartition, WhenFull,
};

#[test]
fn figures_show_what_readers_wait_for() {
    let dir = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(ManualClock::at(1_000_000));
    let store = Store::builder(dir.path()).clock(clock.clone()).maintain_by_hand().open().unwrap();
    for topic in ["debits", "credits"] {
        store.create_topic(topic, TopicConfig::new().partitions(2)).unwrap();
    }
    let to = |topic: &'static str| Record::to(topic).partition(1).value("5");
    store.producer().send(to("debits")).unwrap();
    assert!(store.stats().unwrap().open_transactions.is_empty());

    let mut in_memory = store.transaction("in memory").unwrap();
    in_memory.send(to("debits")).unwrap();
    let mut transfer = store.transaction_builder("transfer").buffer_bytes(0).begin().unwrap();
    transfer.send(to("debits")).unwrap();
    clock.advance(Duration::from_secs(7));
    transfer.send(to("credits")).unwrap();
    let mut audit = store.transaction_builder("audit").buffer_bytes(0).begin().unwrap();
    audit.send(to("debits")).unwrap();

    let stats = store.stats().unwrap();
    let place = |topic: &str| TopicPartition::from((topic, 1));
    let seen: Vec<_> = stats
        .open_transactions
        .iter()
        .map(|open| (open.name.as_deref().unwrap(), open.age.unwrap().as_secs(), open.partitions.clone()))
        .collect();
    let both = vec![place("credits"), place("debits")];
    assert_eq!(seen, [("audit", 0, vec![place("debits")]), ("transfer", 7, both)]);
    assert_ne!(stats.open_transactions[0].producer_id, stats.open_transactions[1].producer_id);
    let stable = |topic: &str| {
        let topics = store.stats().unwrap().topics;
        let topic = topics.into_iter().find(|stats| stats.topic == topic).unwrap();
        (topic.partitions[1].stable, topic.partitions[1].end)
    };
    assert_eq!((stable("debits"), stable("credits")), ((1, 3), (0, 1)));

    drop(audit);
    transfer.commit().unwrap();
    assert!(store.stats().unwrap().open_transactions.is_empty());
    // The abort has its marker, the commit has not.
    assert_eq!((stable("debits"), stable("credits")), ((4, 4), (1, 1)));
    drop(in_memory);
}

/// What is looked at while a call of a transaction waits for room, which it does for up to a minute here.
fn look_meanwhile(store: &Store, dir: &std::path::Path, full: &Partition, wait: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(wait);
        // It waits by then; where it does not yet, nothing is looked for.
        std::thread::sleep(Duration::from_millis(300));
        let watch = Instant::now();
        let stats = store.stats().unwrap();
        let shop = StoreReader::attach(dir).unwrap();
        let elsewhere = (shop.stats().unwrap(), shop.open_transactions().unwrap());
        for topic in store.topics() {
            topic.stats().unwrap();
        }
        drop((store.groups(), store.committed("billing"), shop.lag("billing"), elsewhere));
        let stuck = stats.open_transactions.first().unwrap();
        let aborted = store.abort_transaction(stuck.producer_id, stuck.producer_epoch).unwrap();
        assert_eq!(aborted, AbortOutcome::Busy);
        let took = watch.elapsed();
        let open: Vec<_> =
            stats.open_transactions.into_iter().map(|open| (open.name, open.partitions)).collect();
        full.delete_records(full.end()).unwrap();
        assert!(took < Duration::from_secs(10), "looking took {took:?}");
        assert_eq!(open, [(Some("stuck".to_owned()), vec![("free", 0).into()])]);
    });
}

#[test]
fn no_look_waits_for_a_call_that_waits_for_room() {
    let (dir, big) = (tempfile::tempdir().unwrap(), [7; 3000]);
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("free", TopicConfig::new()).unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    let config = TopicConfig::new().segment_bytes(4096).size_limit(16 << 10, WhenFull::Block);
    let full = store.create_topic("full", config).unwrap().partition(0).unwrap();
    let fill = || {
        while full.bytes() + 3100 <= 16 << 10 {
            full.append(&[Record::new().value(&big)], Durability::Os).unwrap();
        }
    };
    fill();
    // A send that writes.
    let mut tx = store.transaction_builder("stuck").buffer_bytes(0).begin().unwrap();
    tx.send(Record::to("free").value("1")).unwrap();
    let two = [Record::to("full").value(&big), Record::to("full").value(&big)];
    look_meanwhile(&store, dir.path(), &full, || {
        two.iter().for_each(|one| tx.send(one.clone()).unwrap());
        tx.commit().unwrap();
    });
    // A commit with offsets and answers, for which others hold locks.
    fill();
    for value in ["1", "2"] {
        store.producer().send(Record::to("orders").value(value)).unwrap();
    }
    let mut billing = store.consumer("billing").unwrap();
    billing.subscribe(["orders"]).unwrap();
    assert_eq!(billing.poll(Duration::from_secs(1)).unwrap().len(), 2);
    let mut worker = store.queue("orders", "shipping").unwrap();
    let messages = worker.take(1, Duration::ZERO).unwrap();
    let mut tx = store.transaction_builder("stuck").buffer_bytes(3100).begin().unwrap();
    tx.send(Record::to("free").value(&big)).unwrap();
    tx.send(Record::to("free").value(&big)).unwrap();
    tx.commit_offsets(&billing).unwrap();
    messages.into_iter().for_each(|message| tx.ack(message));
    tx.send(Record::to("full").value(&big[..2900])).unwrap();
    look_meanwhile(&store, dir.path(), &full, || _ = tx.commit().unwrap());
    assert_eq!(store.committed("billing")[&("orders", 0).into()].offset, 2);
}

#[test]
fn who_only_reads_knows_the_name_of_a_transaction_as_soon_as_one_was_decided_under_it() {
    for durability in [Durability::Os, Durability::Disk] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
        for topic in ["debits", "credits"] {
            store.create_topic(topic, TopicConfig::new()).unwrap();
        }
        let begin =
            |name| store.transaction_builder(name).durability(durability).buffer_bytes(0).begin().unwrap();
        let shop = StoreReader::attach(dir.path()).unwrap();
        for name in ["import", "export", "import"] {
            let mut tx = begin(name);
            tx.send(Record::to("debits").value("5")).unwrap();
            tx.send(Record::to("credits").value("5")).unwrap();
            tx.commit().unwrap();
        }
        let mut open: Vec<_> = ["import", "export", "new"].map(begin).into();
        open.iter_mut().for_each(|tx| tx.send(Record::to("debits").value("5")).unwrap());
        let own = store.stats().unwrap().open_transactions;
        let seen = shop.open_transactions().unwrap();
        let ongoing = seen.iter().filter(|one| one.state == ReaderTransactionState::Ongoing);
        let mut names: Vec<_> = ongoing.clone().map(|one| one.name.as_deref()).collect();
        names.sort_unstable();
        assert_eq!(names, [None, Some("export"), Some("import")], "at {durability:?}");
        for one in ongoing.filter(|one| one.name.is_some()) {
            let same = own.iter().find(|own| own.producer_id == one.producer_id).unwrap();
            assert_eq!((&same.name, same.producer_epoch), (&one.name, one.producer_epoch));
        }
    }
}
