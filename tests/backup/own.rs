//! A restored store beside the one it was copied from: it is followed, it fences and it commits as a store of its own, and neither is in
//! the other's way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use annals::{Durability, Error, Record, Store, StoreReader, TopicConfig};

use super::records;

const ORDERS: &str = "orders";

fn send(store: &Store, values: impl IntoIterator<Item = String>) {
    values.into_iter().for_each(|value| _ = store.producer().send(Record::to(ORDERS).value(&value)).unwrap());
}

fn count(store: &Store) -> usize {
    records(&store.topic(ORDERS).unwrap().partition(0).unwrap()).len()
}

/// A store with ten orders, of which a group elsewhere has done four; its restored copy; both open.
fn both(dir: &Path) -> (Store, Store) {
    let live = Store::open(dir.join("live")).unwrap();
    live.create_topic(ORDERS, TopicConfig::new().segment_bytes(1000)).unwrap();
    send(&live, (0..10).map(|number| number.to_string()));
    let elsewhere = StoreReader::attach(live.path()).unwrap();
    let mut billing = elsewhere.consumer_builder().group("billing").build().unwrap();
    billing.subscribe([ORDERS]).unwrap();
    billing.commit_offsets([((ORDERS, 0).into(), 4)]).unwrap();
    drop(billing);
    live.backup(dir.join("copy")).unwrap();
    annals::backup::restore(dir.join("copy"), dir.join("restored")).unwrap();
    let restored = Store::open(dir.join("restored")).unwrap();
    (live, restored)
}

#[test]
fn a_restored_store_is_followed_as_a_store_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (live, restored) = both(dir.path());
    let readers = [&live, &restored].map(|store| StoreReader::attach(store.path()).unwrap());
    assert_ne!(readers[0].id(), readers[1].id());
    let mut consumers = readers.each_ref().map(|reader| reader.consumer_builder().build().unwrap());
    for consumer in &mut consumers {
        consumer.assign([(ORDERS, 0)]).unwrap();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 10);
    }
    let [mut of_live, mut of_restored] = consumers;
    // Who sleeps at the one is woken by the one.
    let found = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| of_restored.poll(Duration::from_secs(20)).unwrap().len());
        std::thread::sleep(Duration::from_millis(20));
        send(&live, ["of the old one".to_owned()]);
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished(), "it has seen what was sent to the other");
        send(&restored, ["of the new one".to_owned()]);
        waiting.join().unwrap()
    });
    assert_eq!(found, 1);
    for (consumer, value) in [(&mut of_live, "of the old one"), (&mut of_restored, "of the new one")] {
        if let Some(record) = consumer.poll(Duration::ZERO).unwrap().iter().next() {
            assert_eq!(record.value().unwrap(), value.as_bytes());
        }
    }
    for (reader, value) in readers.iter().zip(["of the old one", "of the new one"]) {
        let partition = reader.topic(ORDERS).unwrap().partition(0).unwrap();
        assert_eq!(partition.end(), 11);
        assert_eq!(partition.get(10).unwrap().unwrap().value.unwrap(), value.as_bytes());
    }
    // The one that goes is not missed in the other.
    live.close().unwrap();
    send(&restored, ["alone".to_owned()]);
    assert_eq!(of_restored.poll(Duration::from_secs(5)).unwrap().len(), 1);
}

#[test]
fn groups_of_a_restored_store_are_its_own_in_every_process() {
    let dir = tempfile::tempdir().unwrap();
    let (live, restored) = both(dir.path());
    // The same group elsewhere, of both at a time: neither lock nor spool is the other's.
    let readers = [&live, &restored].map(|store| StoreReader::attach(store.path()).unwrap());
    let mut members = readers.each_ref().map(|reader| {
        let mut member = reader.consumer_builder().group("billing").build().unwrap();
        member.subscribe([ORDERS]).unwrap();
        member
    });
    for member in &mut members {
        let first = member.poll(Duration::from_secs(5)).unwrap().iter().next().unwrap().offset();
        assert_eq!(first, 4, "what was committed before the backup is, in both");
    }
    members[1].commit_offsets([((ORDERS, 0).into(), 7)]).unwrap();
    let committed = |store: &Store| store.committed("billing")[&(ORDERS, 0).into()].offset;
    assert_eq!((committed(&live), committed(&restored)), (4, 7));
    let refused = restored.consumer("billing");
    assert!(matches!(refused, Err(Error::GroupInUse { .. })), "{refused:?}");
    let [of_live, of_restored] = members;
    drop(of_restored);
    drop(restored.consumer("billing").unwrap());
    drop(of_live);
    drop(live.consumer("billing").unwrap());
}

#[test]
fn a_restored_store_fences_its_own_producers_and_transactions_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (live, _) = {
        let live = Store::open(dir.path().join("live")).unwrap();
        live.create_topic(ORDERS, TopicConfig::new()).unwrap();
        let mut first = live.transaction("transfer").unwrap();
        first.send(Record::to(ORDERS).value("first")).unwrap();
        first.commit().unwrap();
        let shop = live.named_producer("shop").unwrap();
        let orders = live.topic(ORDERS).unwrap().partition(0).unwrap();
        shop.append(&orders, 0, &[Record::new().value("0")], Durability::Os).unwrap();
        (live, shop)
    };
    let begin = |store: &Store, value: &str| {
        let mut transfer = store.transaction_builder("transfer").buffer_bytes(0).begin().unwrap();
        transfer.send(Record::to(ORDERS).value(value)).unwrap();
        transfer
    };
    // Undecided at the cut: in the copy it is aborted, in the store its commit holds.
    let of_live = begin(&live, "of the old one");
    live.backup(dir.path().join("copy")).unwrap();
    annals::backup::restore(dir.path().join("copy"), dir.path().join("restored")).unwrap();
    let restored = Store::open(dir.path().join("restored")).unwrap();
    assert_eq!((count(&live), count(&restored)), (2, 2));
    let older = begin(&restored, "fenced");
    let newer = begin(&restored, "of the new one");
    assert!(matches!(older.commit(), Err(Error::Fenced { .. })), "its own is fenced");
    newer.commit().unwrap();
    of_live.commit().unwrap();
    assert_eq!((count(&live), count(&restored)), (3, 3));
    // Numbers of a named producer go on in each by themselves; new names get ids that nobody has in it.
    for (store, value) in [(&live, "1 of the old one"), (&restored, "1 of the new one")] {
        let orders = store.topic(ORDERS).unwrap().partition(0).unwrap();
        for name in ["shop", "another"] {
            let producer = store.named_producer(name).unwrap();
            let next = producer.last_sequence(&orders).map_or(0, |last| last + 1);
            assert_eq!(next, i32::from(name == "shop"), "{name}");
            let sent = producer.append(&orders, next, &[Record::new().value(value)], Durability::Os).unwrap();
            assert!(!sent.is_duplicate);
        }
    }
    for store in [live, restored] {
        let values: Vec<_> = records(&store.topic(ORDERS).unwrap().partition(0).unwrap());
        assert_eq!(values.len(), 5);
        let path = store.path().to_path_buf();
        store.close().unwrap();
        assert!(Store::verify(path).unwrap().is_sound());
    }
}

/// The snapshots of the orders' producers, by name.
fn snapshots(live: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = std::fs::read_dir(live.join("orders-0")).unwrap().map(|entry| entry.unwrap().path());
    let snapshots = files.filter(|path| path.extension().is_some_and(|kind| kind == "snapshot"));
    snapshots.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// The newest snapshots cannot be read, and the producer's records have left the log: an older snapshot is all that knows of it.
#[test]
fn a_backup_forgot_a_producer_that_an_open_knows_by_an_older_snapshot() {
    for is_closed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let live = dir.path().join("live");
        let open = |path: &Path| Store::builder(path).maintain_by_hand().open().unwrap();
        let mut store = open(&live);
        let config = TopicConfig::new().segment_bytes(1000);
        let orders = store.create_topic(ORDERS, config).unwrap().partition(0).unwrap();
        let shop = store.named_producer("shop").unwrap();
        shop.append(&orders, 0, &[Record::new().value("0")], Durability::Disk).unwrap();
        orders.delete_records(1).unwrap();
        send(&store, (0..100).map(|number| number.to_string()));
        let before = snapshots(&live);
        if is_closed {
            store.close().unwrap();
            // As a kill leaves it that comes before older ones are removed.
            before.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
        }
        let newest = snapshots(&live).into_keys().rev().take(1 + usize::from(is_closed));
        newest.for_each(|path| std::fs::remove_file(path).unwrap());
        assert!(!snapshots(&live).is_empty());
        if is_closed {
            store = open(&live);
            assert!(store.recovery().iter().any(|partition| partition.lost_snapshot.is_some()));
        }
        store.backup(dir.path().join("copy")).unwrap();
        annals::backup::restore(dir.path().join("copy"), dir.path().join("restored")).unwrap();
        let restored = open(&dir.path().join("restored"));
        let orders = restored.topic(ORDERS).unwrap().partition(0).unwrap();
        let shop = restored.named_producer("shop").unwrap();
        assert_eq!(shop.last_sequence(&orders), Some(0), "closed: {is_closed}");
        let again = shop.append(&orders, 0, &[Record::new().value("0")], Durability::Os).unwrap();
        assert!(again.is_duplicate, "closed: {is_closed}");
    }
}
