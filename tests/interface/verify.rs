//! Checking a store: what is damaged is listed with its place, and nothing is changed by looking. Repairing it: what is missing
//! or of a newer version (`tests/format/corruption` has everything that is damaged).

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and damages files from outside"
)]

use std::ops::ControlFlow;
use std::path::Path;

use crate::common::{
    TOPIC, by_hand, copy_dir, fast_dir, files_of, kill_and_copy, records, small_segments, value_of,
};
use annals::{CleanupPolicy, Codec, Durability, Error, Record, Store, TopicConfig};

/// Two topics, three codecs' worth of segments, one of them compacted, and a group.
fn store_in(dir: &Path) {
    let store = Store::builder(dir).maintain_by_hand().open().unwrap();
    let small = || TopicConfig::new().segment_bytes(1000).index_interval_bytes(100);
    store.create_topic("orders", small().partitions(2)).unwrap();
    store.create_topic("zipped", small().compression_type(Codec::Zstd)).unwrap();
    store.create_topic("prices", small().cleanup_policy(CleanupPolicy::Compact)).unwrap();
    let producer = store.producer();
    for number in 0..60_u32 {
        let (key, value) = ((number % 7).to_be_bytes(), format!("value {number} ").repeat(6));
        for topic in ["orders", "zipped", "prices"] {
            producer.send(Record::to(topic).key(&key).value(&value)).unwrap();
        }
    }
    store.topic("prices").unwrap().compact().unwrap();
    let mut consumer = store.consumer("readers").unwrap();
    consumer.subscribe(["orders"]).unwrap();
    while !consumer.poll(std::time::Duration::ZERO).unwrap().is_empty() {}
    consumer.commit().unwrap();
    store.close().unwrap();
}

/// What the store is. `annals.live` is what its owner shows of it to others while it has it.
fn files(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with(".lock") && !path.ends_with("annals.live") {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

#[test]
fn a_sound_store_is_sound_and_is_not_changed() {
    let dir = fast_dir();
    store_in(dir.path());
    let before = files(dir.path());
    let mut calls = 0;
    let found = Store::builder(dir.path()).verify(|_| {
        calls += 1;
        ControlFlow::Continue(())
    });
    let found = found.unwrap();
    assert!(found.is_sound(), "{:?}", found.findings);
    // Of `prices` the last of each key is left.
    assert_eq!((found.partitions, found.records), (5, 60 + 60 + 7 + 2));
    assert_eq!(calls, found.segments);
    assert!(found.stale_indexes.is_empty() && found.torn.is_empty());
    assert_eq!(files(dir.path()), before);
    let ended = Store::builder(dir.path()).verify(|_| ControlFlow::Break(())).unwrap();
    assert_eq!(ended.segments, 1);
}

#[test]
fn every_byte_of_every_file_is_checked() {
    let dir = fast_dir();
    store_in(dir.path());
    for (path, good) in files(dir.path()) {
        let is_index = path.extension().is_some_and(|end| end == "index" || end == "timeindex");
        let is_state = path.ends_with("annals.state");
        for at in (0..good.len()).step_by(if is_index { 5 } else { 13 }) {
            let mut bytes = good.clone();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (at % 8);
            }
            std::fs::write(&path, &bytes).unwrap();
            let found = Store::verify(dir.path()).unwrap();
            let where_it_is = format!("{} at {at}: {found:?}", path.display());
            if is_index {
                assert!(found.is_sound() && found.stale_indexes.len() == 1, "{where_it_is}");
            } else if is_state && found.is_sound() {
                // The slot of the older mark, or of none: nobody looks there.
                assert!((512..1536).contains(&at), "{where_it_is}");
            } else {
                assert!(found.findings.iter().any(|damage| damage.path == path), "{where_it_is}");
                assert!(found.findings.iter().all(|damage| !damage.reason.is_empty()));
            }
            std::fs::write(&path, &good).unwrap();
        }
    }
    assert!(Store::verify(dir.path()).unwrap().is_sound());
}

#[test]
fn damage_in_one_place_hides_no_other() {
    let dir = fast_dir();
    store_in(dir.path());
    let is_log = |path: &Path| path.extension().is_some_and(|end| end == "log");
    let logs = files(dir.path()).into_iter().filter(|(path, bytes)| is_log(path) && bytes.len() > 800);
    let logs: Vec<_> = logs.collect();
    for (path, good) in &logs {
        let mut bytes = good.clone();
        // The magic of the first batch, and a byte of the last.
        for at in [16, good.len() - 1] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x41;
            }
        }
        std::fs::write(path, &bytes).unwrap();
    }
    let found = Store::verify(dir.path()).unwrap();
    for (path, _) in &logs {
        let count = found.findings.iter().filter(|damage| damage.path == *path).count();
        assert_eq!(count, 2, "{}: {:?}", path.display(), found.findings);
    }
}

#[test]
fn a_torn_tail_is_no_damage_and_a_missing_segment_is() {
    let dir = fast_dir();
    store_in(dir.path());
    let copy = fast_dir();
    {
        let store = Store::open(dir.path()).unwrap();
        let partition = store.topic("orders").unwrap().partition(0).unwrap();
        partition.append(&[Record::new().value("one more")], Durability::Os).unwrap();
        assert!(matches!(Store::verify(dir.path()), Err(Error::StoreLocked { .. })));
        copy_dir(dir.path(), copy.path());
    }
    let active = files(copy.path()).into_iter().rfind(|(path, _)| {
        path.extension().is_some_and(|end| end == "log") && path.to_string_lossy().contains("orders-0")
    });
    let (active, bytes) = active.unwrap();
    // A record without headers ends in a zero.
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    std::fs::write(&active, [bytes.get(..=end).unwrap(), &[0xab; 40][..]].concat()).unwrap();
    let found = Store::verify(copy.path()).unwrap();
    assert!(found.is_sound(), "{:?}", found.findings);
    assert_eq!(
        found.torn.iter().map(|torn| (torn.path.clone(), torn.bytes)).collect::<Vec<_>>(),
        [(active, 40)]
    );

    let sealed = dir.path().join("zipped-0/00000000000000000000.log");
    std::fs::remove_file(&sealed).unwrap();
    let found = Store::verify(dir.path()).unwrap();
    assert_eq!(found.findings.iter().map(|damage| damage.path.clone()).collect::<Vec<_>>(), [sealed]);
}

#[test]
fn a_repair_says_how_much_it_looked_at_and_whether_it_did_anything() {
    let dir = fast_dir();
    store_in(dir.path());
    let copies = fast_dir();
    let repair = |name: &str| Store::builder(dir.path()).repair(copies.path().join(name)).unwrap();
    let report = repair("first");
    // Two of `orders`, one each of the others, and the one of committed offsets.
    assert_eq!(report.partitions, 5);
    assert!(report.is_unchanged(), "{report:?}");
    let index = files(dir.path()).into_iter().map(|(path, _)| path);
    let index = index.filter(|path| path.extension().is_some_and(|kind| kind == "index")).min().unwrap();
    std::fs::remove_file(&index).unwrap();
    let report = repair("second");
    assert_eq!(report.rebuilt_indexes, [index.with_extension("log")]);
    assert!(!report.is_unchanged() && report.repairs.is_empty() && report.refused.is_empty(), "{report:?}");
    assert!(repair("third").is_unchanged());
}

#[test]
fn a_partition_whose_directory_is_gone_begins_anew_when_that_is_asked_for() {
    let (dir, copies) = (fast_dir(), fast_dir());
    store_in(dir.path());
    std::fs::remove_dir_all(dir.path().join("orders-1")).unwrap();
    assert!(Store::open(dir.path()).unwrap().topic("orders").unwrap_err().is_corruption());
    let report = Store::builder(dir.path()).repair(copies.path()).unwrap();
    assert_eq!(report.repairs.len(), 1, "{report:?}");
    let repair = &report.repairs[0];
    assert_eq!((repair.path.as_path(), &repair.copy), (dir.path().join("orders-1").as_path(), &None));
    assert!(repair.lost.contains(&0) && repair.reason.contains("missing"), "{repair:?}");
    let store = Store::open(dir.path()).unwrap();
    let orders = store.topic("orders").unwrap();
    assert!(orders.partition(0).unwrap().end() > 0);
    let anew = orders.partition(1).unwrap();
    assert_eq!((anew.start(), anew.end()), (0, 0));
    anew.append(&[Record::new().value("first")], Durability::Disk).unwrap();
    store.close().unwrap();
    assert!(Store::builder(dir.path()).repair(copies.path()).unwrap().is_unchanged());
}

#[test]
fn what_a_newer_version_wrote_is_refused_and_left_as_it_is() {
    let state = |dir: &Path| {
        let path = dir.join("orders-0/annals.state");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[8..12].copy_from_slice(&9_u32.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..508]);
        bytes[508..512].copy_from_slice(&crc.to_be_bytes());
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let topics = |dir: &Path| {
        let path = dir.join("annals.topics");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen('1', "9", 1)).unwrap();
        path
    };
    for (change, partitions) in [(&state as &dyn Fn(&Path) -> std::path::PathBuf, 5), (&topics, 0)] {
        let (dir, copies) = (fast_dir(), fast_dir());
        store_in(dir.path());
        let changed = change(dir.path());
        let before = files(dir.path());
        let report = Store::builder(dir.path()).repair(copies.path()).unwrap();
        assert!(!report.is_unchanged() && report.repairs.is_empty(), "{report:?}");
        let refused: Vec<_> = report.refused.iter().map(|damage| damage.path.clone()).collect();
        assert_eq!((refused, report.partitions), (vec![changed], partitions));
        assert!(report.refused[0].reason.contains("newer annals"), "{report:?}");
        assert_eq!(files(dir.path()), before);
    }
}

#[test]
fn where_no_directory_is_nothing_is_repaired_and_none_is_made() {
    let (dir, copies) = (fast_dir(), fast_dir());
    let nowhere = dir.path().join("nowhere");
    let refused = Store::builder(&nowhere).repair(copies.path());
    assert!(matches!(refused, Err(Error::InvalidArgument { .. } | Error::Io { .. })), "{refused:?}");
    assert!(!nowhere.exists());
}

#[test]
fn a_topic_with_a_long_name_is_repaired() {
    let (dir, copies) = (fast_dir(), fast_dir());
    let name = "t".repeat(249);
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    store.create_topic(&name, TopicConfig::new().partitions(20).segment_bytes(1000)).unwrap();
    let partition = store.topic(&name).unwrap().partition(19).unwrap();
    for _ in 0..30 {
        partition.append(&[Record::new().value(&[b'x'; 100])], Durability::Os).unwrap();
    }
    drop(partition);
    store.close().unwrap();
    let log = dir.path().join(format!("{name}-19/00000000000000000000.log"));
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    let report = Store::builder(dir.path()).repair(copies.path()).unwrap();
    assert_eq!((report.repairs.len(), report.refused.len()), (1, 0), "{report:?}");
    let copy = report.repairs[0].copy.as_ref().unwrap();
    assert_eq!(copy.parent(), Some(copies.path().join(format!("{name}-19")).as_path()));
    let range = report.repairs[0].position.clone();
    let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
    assert!(std::fs::read(copy).unwrap() == bytes[range]);
    assert!(Store::verify(dir.path()).unwrap().is_sound());
}

/// A copy that was made while the store was open: the list of files is older than the state file, and nothing is lost by that.
#[test]
fn what_verify_names_a_repair_reports_also_where_nothing_was_lost() {
    let (dir, copy, copies) = (fast_dir(), fast_dir(), fast_dir());
    let store = by_hand(dir.path()).open().unwrap();
    let config = small_segments().cleanup_policy(annals::CleanupPolicy::Compact);
    store.create_topic(TOPIC, config).unwrap();
    for number in 0..10 {
        let value = value_of(number);
        let key = number.to_string();
        store.producer().send(Record::to(TOPIC).key(&key).value(&value)).unwrap();
    }
    // Seals the segment: the last one is empty.
    store.topic(TOPIC).unwrap().compact().unwrap();
    kill_and_copy(store, dir.path(), copy.path());
    let last = files_of(copy.path(), "orders-0", ".log").pop().unwrap();
    assert_eq!(std::fs::metadata(&last).unwrap().len(), 0);
    std::fs::remove_file(&last).unwrap();
    let found = Store::verify(copy.path()).unwrap();
    assert_eq!(found.findings.len(), 1, "{found:?}");
    let report = by_hand(copy.path()).repair(copies.path()).unwrap();
    let [repair] = &report.repairs[..] else { panic!("{report:?}") };
    assert_eq!((&repair.path, &repair.reason), (&found.findings[0].path, &found.findings[0].reason));
    assert!(repair.lost.is_empty() && !report.is_unchanged(), "{repair}");
    assert!(Store::verify(copy.path()).unwrap().is_sound());
    assert!(by_hand(copy.path()).repair(copies.path()).unwrap().is_unchanged(), "once");
    let store = by_hand(copy.path()).open().unwrap();
    assert_eq!(records(&store.topic(TOPIC).unwrap().partition(0).unwrap()).len(), 10);
}

/// Where a list of topics is lost together with what one of their partitions says of itself.
#[test]
fn a_repair_that_did_not_know_a_topic_any_more_said_nothing_of_its_committed_offsets() {
    // A bit of the first mark, of the second, of the head; and of the table, which says whose partition it is.
    for (byte, is_known) in [(600, true), (1100, true), (100, true), (1550, false)] {
        let dir = fast_dir();
        let path = dir.path().join("store");
        let store = Store::open(&path).unwrap();
        store.create_topic("orders", TopicConfig::new().segment_bytes(1000)).unwrap();
        for _ in 0..50 {
            store.producer().send(Record::to("orders").value("2 apples")).unwrap();
        }
        let mut billing = store.consumer("billing").unwrap();
        billing.subscribe(["orders"]).unwrap();
        billing.commit_offsets([(("orders", 0).into(), 20)]).unwrap();
        drop(billing);
        store.close().unwrap();
        let state = path.join("orders-0/annals.state");
        let mut bytes = std::fs::read(&state).unwrap();
        bytes[byte] ^= 1;
        std::fs::write(&state, bytes).unwrap();
        std::fs::remove_file(path.join("annals.topics")).unwrap();
        let report = Store::builder(&path).repair(dir.path().join("copies")).unwrap();
        let told = report.repairs[0].to_string();
        assert_eq!(told.contains("committed"), !is_known, "{byte}: {told}");
        assert!(!told.contains("nothing is lost"), "{byte}: {told}");
        let store = Store::open(&path).unwrap();
        let committed: Vec<_> = store.committed("billing").into_values().map(|at| at.offset).collect();
        let let_go: Vec<_> = store.recovery().iter().flat_map(|report| report.let_go.clone()).collect();
        if is_known {
            assert_eq!((committed, let_go.len()), (vec![20], 0), "{byte}: {let_go:?}");
        } else {
            assert_eq!((committed, let_go.len()), (vec![], 1), "{byte}: {let_go:?}");
            assert!(let_go[0].contains("billing") && let_go[0].contains("orders-0"), "{let_go:?}");
        }
        store.close().unwrap();
        // It is told once.
        let store = Store::open(&path).unwrap();
        assert!(store.recovery().iter().all(|report| report.let_go.is_empty()), "{byte}");
    }
}
