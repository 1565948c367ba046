//! A store that is only read: what is seen of it, and that nothing of it changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use annals::{
    CleanupPolicy, Durability, Error, OwnedRecord, Record, Store, StoreReader, TopicConfig, TopicPartition,
};
use annals_testing::FaultyFileSystem;

use crate::common::{by_hand, copy_dir, fast_dir, kill_and_copy, small_segments, tree, value_of};

/// What can be seen of a store.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    records: BTreeMap<TopicPartition, Vec<OwnedRecord>>,
    bounds: BTreeMap<TopicPartition, [i64; 3]>,
    latest: BTreeMap<String, Vec<OwnedRecord>>,
    committed: BTreeMap<String, BTreeMap<TopicPartition, i64>>,
}

/// The same calls of a store and of a reader of it.
macro_rules! seen_by {
    ($store:expr) => {{
        let mut seen = Seen::default();
        for topic in $store.topics() {
            for partition in topic.partitions() {
                let place = partition.topic_partition().clone();
                let records = partition.read(..).unwrap().into_iter();
                seen.records.insert(place.clone(), records.map(Result::unwrap).collect());
                seen.bounds.insert(place, [partition.start(), partition.stable(), partition.end()]);
            }
            seen.latest.insert(topic.name().to_owned(), topic.latest().map(Result::unwrap).collect());
        }
        for group in $store.groups() {
            let offsets = $store.committed(&group).into_iter().map(|(place, at)| (place, at.offset));
            seen.committed.insert(group.clone(), offsets.collect());
        }
        seen
    }};
}

impl Seen {
    fn by_reader(store: &StoreReader) -> Self {
        seen_by!(store)
    }

    fn by_writer(store: &Store) -> Self {
        seen_by!(store)
    }
}

/// A store with a bit of everything, open.
fn filled(dir: &Path) -> Store {
    let store = by_hand(dir).open().unwrap();
    store.create_topic("orders", small_segments().partitions(2)).unwrap();
    store.create_topic("prices", small_segments().cleanup_policy(CleanupPolicy::Compact)).unwrap();
    let producer = store.producer();
    for number in 0..200 {
        let (key, value) = (format!("key {}", number % 7), value_of(number));
        producer.send(Record::to("orders").key(&key).value(&value)).unwrap();
        producer.send(Record::to("prices").key(&key).value(&value)).unwrap();
    }
    store.topic("prices").unwrap().compact().unwrap();
    let mut billing = store.consumer("billing").unwrap();
    billing.subscribe(["orders"]).unwrap();
    billing.commit_offsets([(("orders", 0).into(), 11), (("orders", 1).into(), 3)]).unwrap();
    let mut step = store.transaction("step").unwrap();
    step.send(Record::to("orders").partition(0).value("committed")).unwrap();
    step.commit().unwrap();
    store
}

/// A store as a kill leaves it in the middle of a transaction, with a torn tail and without some index files.
fn torn(dir: &Path) {
    let first = fast_dir();
    let store = filled(first.path());
    let mut open = store.transaction_builder("open").buffer_bytes(0).begin().unwrap();
    open.send(Record::to("orders").partition(1).value("never committed")).unwrap();
    store.producer().send(Record::to("orders").partition(1).value("behind it")).unwrap();
    std::mem::forget(open);
    kill_and_copy(store, first.path(), dir);
    let log = crate::common::files_of(dir, "orders-0", ".log").pop().unwrap();
    let end = crate::common::batch_ends(&fs::read(&log).unwrap()).last().unwrap().0;
    let mut bytes = fs::read(&log).unwrap();
    bytes[usize::try_from(end).unwrap()..][..20].fill(0x5a);
    fs::write(&log, bytes).unwrap();
    for index in crate::common::files_of(dir, "orders-1", "index") {
        fs::remove_file(index).unwrap();
    }
}

#[test]
fn a_closed_store_is_read_like_an_open_one_and_no_byte_of_it_changes() {
    let dir = fast_dir();
    let store = filled(dir.path());
    let expected = Seen::by_writer(&store);
    store.close().unwrap();
    let before = tree(dir.path());
    let reader = Store::open_read_only(dir.path()).unwrap();
    let another = Store::open_read_only(dir.path()).unwrap();
    assert_eq!(Seen::by_reader(&reader), expected);
    assert_eq!(Seen::by_reader(&another), expected);
    assert!(reader.recovery().iter().all(|report| report.clean && report.failure.is_none()));
    let orders = reader.topic("orders").unwrap().partition(0).unwrap();
    let found = orders.get(0).unwrap().unwrap();
    assert_eq!(orders.offset_for_time(found.timestamp).unwrap().unwrap().offset, 0);
    let (stats, lag) = (reader.stats().unwrap(), reader.lag("billing"));
    assert_eq!(lag.partitions.iter().map(|one| one.committed).collect::<Vec<_>>(), [Some(11), Some(3)]);
    assert_eq!(stats.groups.len(), 1);
    drop((reader, another));
    assert_eq!(tree(dir.path()), before);
}

#[test]
fn what_a_kill_left_is_seen_as_an_open_for_writing_sees_it_and_stays_as_it_is() {
    let (dir, copy) = (fast_dir(), fast_dir());
    torn(dir.path());
    copy_dir(dir.path(), copy.path());
    let before = tree(dir.path());
    let reader = Store::open_read_only(dir.path()).unwrap();
    let seen = Seen::by_reader(&reader);
    let torn: Vec<_> = reader.recovery().iter().filter_map(|report| report.torn.clone()).collect();
    assert!(torn.len() == 1 && torn[0].bytes == 20, "{torn:?}");
    assert!(reader.recovery().iter().any(|report| !report.clean));
    drop(reader);
    assert_eq!(tree(dir.path()), before, "something was set right");
    let writer = by_hand(copy.path()).open().unwrap();
    assert_eq!(seen, Seen::by_writer(&writer));
    let values =
        seen.records[&TopicPartition::new("orders", 1)].iter().rev().map(|record| record.value.clone());
    assert_eq!(values.clone().next().unwrap().unwrap(), b"behind it", "nobody waits for what is decided");
    assert!(!values.flatten().any(|value| value == b"never committed"));
}

#[test]
fn no_call_that_changes_anything_reaches_the_file_system() {
    use annals_testing::Call;
    let dir = fast_dir();
    torn(dir.path());
    let files = FaultyFileSystem::new();
    let builder = by_hand(dir.path()).file_system(Arc::clone(&files) as Arc<dyn annals::io::FileSystem>);
    let reader = builder.open_read_only().unwrap();
    let _ = Seen::by_reader(&reader);
    drop(reader);
    // The lock is that of readers, on the directory itself: it writes nothing.
    let harmless = [Call::Lock, Call::Open, Call::Read, Call::Len, Call::List, Call::Map];
    let others: Vec<_> = files.trace().into_iter().filter(|done| !harmless.contains(&done.call)).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(!files.trace().is_empty());
}

#[test]
fn it_works_where_nobody_may_write() {
    use std::os::unix::fs::PermissionsExt;
    let dir = fast_dir();
    filled(dir.path()).close().unwrap();
    let dirs = [dir.path().to_path_buf(), dir.path().join("orders-0"), dir.path().join("orders-1")];
    let set = |mode| {
        for one in &dirs {
            fs::set_permissions(one, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    fs::remove_file(dir.path().join(".lock")).unwrap();
    set(0o500);
    let reader = Store::open_read_only(dir.path());
    let records = reader.map(|reader| Seen::by_reader(&reader).records);
    set(0o700);
    assert!(records.unwrap()[&TopicPartition::new("orders", 0)].len() > 50);
    assert!(!dir.path().join(".lock").exists());
}

#[test]
fn a_writer_and_a_reader_exclude_each_other_and_say_what_to_do() {
    let dir = fast_dir();
    let store = filled(dir.path());
    match Store::open_read_only(dir.path()) {
        Err(error @ Error::StoreInUse { .. }) => {
            assert!(error.is_retriable() && error.to_string().contains("open for writing"), "{error}");
            assert!(matches!(error, Error::StoreInUse { pid, .. } if pid == Some(std::process::id())));
        }
        other => panic!("{other:?}"),
    }
    store.close().unwrap();
    let reader = Store::open_read_only(dir.path()).unwrap();
    let clone = reader.clone();
    drop(reader);
    match Store::open(dir.path()) {
        Err(error @ Error::StoreLocked { .. }) => {
            assert!(error.to_string().contains("read-only"), "{error}");
            assert!(matches!(error, Error::StoreLocked { pid: None, .. }));
        }
        other => panic!("{other:?}"),
    }
    let orders = clone.topic("orders").unwrap().partition(0).unwrap();
    let fetched = orders.read(..).unwrap().fetch().unwrap();
    drop(clone);
    // It lets go, and what was fetched stays.
    let writer = Store::open(dir.path()).unwrap();
    assert!(fetched.iter().count() > 10);
    assert!(matches!(orders.get(0), Err(Error::StoreClosed { .. })));
    writer.producer_builder().durability(Durability::Disk).build().unwrap();
}

#[test]
fn a_directory_without_a_store_stays_without_one() {
    let dir = fast_dir();
    let refused = Store::open_read_only(dir.path());
    assert!(matches!(&refused, Err(Error::Io { .. })), "{refused:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert!(Store::open_read_only(dir.path().join("nowhere")).is_err());
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn a_topic_that_cannot_be_opened_is_named_and_the_others_are_read() {
    let dir = fast_dir();
    let store = filled(dir.path());
    store.create_topic("broken", TopicConfig::new()).unwrap();
    store.close().unwrap();
    fs::write(dir.path().join("broken-0/annals.state"), b"not a state file").unwrap();
    let reader = Store::open_read_only(dir.path()).unwrap();
    assert!(reader.topic("broken").unwrap_err().is_corruption());
    assert!(reader.recovery().iter().any(|report| report.failure.is_some()));
    assert!(reader.topic("orders").unwrap().partition(0).unwrap().end() > 0);
}

/// Beside an owner, or without one: the others have figures.
#[test]
fn one_topic_that_cannot_be_opened_took_the_figures_of_all_from_those_who_are_attached() {
    let dir = fast_dir();
    let store = filled(dir.path());
    store.create_topic("broken", TopicConfig::new()).unwrap();
    store.producer().send(Record::to("broken").value("1")).unwrap();
    let mut billing = store.consumer("of broken").unwrap();
    billing.assign([("broken", 0), ("orders", 0)]).unwrap();
    billing.commit_offsets([(("broken", 0).into(), 1), (("orders", 0).into(), 0)]).unwrap();
    drop(billing);
    store.close().unwrap();
    fs::write(dir.path().join("broken-0/annals.state"), b"not a state file").unwrap();
    let reader = StoreReader::attach(dir.path()).unwrap();
    let seen = || {
        let stats = reader.stats().unwrap();
        let names: Vec<_> = stats.left_out.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["broken"]);
        assert!(stats.topics.iter().any(|topic| topic.topic == "orders" && topic.records() > 0));
        assert!(stats.topics.iter().all(|topic| topic.topic != "broken"));
        let group = stats.groups.iter().find(|group| group.group == "of broken").unwrap();
        assert_eq!(group.partitions.len(), 1, "how far it is in the other one is not known: {group:?}");
        assert!(reader.open_transactions().is_ok());
        stats.left_out[0].1.clone()
    };
    assert!(seen().is_corruption());
    let owner = by_hand(dir.path()).open().unwrap();
    assert!(owner.topic("broken").is_err());
    let error = seen();
    assert!(error.is_corruption() || matches!(error, Error::Io { .. }), "{error}");
    owner.close().unwrap();
    // Where nothing can be seen of any, that is what there is to say.
    let alone = fast_dir();
    let store = by_hand(alone.path()).open().unwrap();
    store.create_topic("broken", TopicConfig::new()).unwrap();
    store.close().unwrap();
    fs::write(alone.path().join("broken-0/annals.state"), b"not a state file").unwrap();
    assert!(StoreReader::attach(alone.path()).unwrap().stats().unwrap_err().is_corruption());
}
