//! Readers in another process that are to see only what survives a power cut: no transaction that one may take back.

use std::path::Path;
use std::time::{Duration, Instant};

use annals::{Consumer, Durability, Record, Store, StoreReader, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

use crate::common::{by_hand, fast_dir, small_segments};
use crate::world::{copy_of, failing};

const ENOSPC: i32 = 28;
const LONG: Duration = Duration::from_secs(10);

/// A transaction with records in both topics, of which one is synced behind it.
fn half_durable(dir: &Path) -> Store {
    let store = by_hand(dir).open().unwrap();
    for topic in ["in", "x"] {
        store.create_topic(topic, TopicConfig::new()).unwrap();
        append(&store, topic, "before");
    }
    let mut both = store.transaction_builder("both").durability(Durability::Os).begin().unwrap();
    for topic in ["in", "x"] {
        both.send(Record::to(topic).value("both")).unwrap();
    }
    both.commit().unwrap();
    append(&store, "in", "behind");
    store
}

fn append(store: &Store, topic: &str, value: &str) {
    let partition = store.topic(topic).unwrap().partition(0).unwrap();
    partition.append(&[Record::new().value(value)], Durability::Disk).unwrap();
}

fn careful(reader: &StoreReader) -> Consumer {
    let mut careful = reader.consumer_builder().read_durable_only().build().unwrap();
    careful.assign([("in", 0)]).unwrap();
    careful
}

fn handed(consumer: &mut Consumer, wait: Duration) -> Vec<String> {
    let records = consumer.poll(wait).unwrap();
    records.iter().map(|one| String::from_utf8(one.value().unwrap().to_vec()).unwrap()).collect()
}

#[test]
fn a_careful_reader_elsewhere_was_handed_what_a_power_cut_takes_back() {
    let dir = fast_dir();
    let store = half_durable(dir.path());
    let mut at_home = store.consumer_builder().read_durable_only().build().unwrap();
    at_home.assign([("in", 0)]).unwrap();
    assert_eq!(handed(&mut at_home, Duration::ZERO), ["before"]);
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut careful = careful(&reader);
    assert_eq!(handed(&mut careful, Duration::ZERO), ["before"]);
    let partition = reader.topic("in").unwrap().partition(0).unwrap();
    assert_eq!((partition.durable(), partition.stable(), partition.end()), (3, 3, 3));
    // Once the transaction has its ends it survives, and who waits is woken.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            store.topic("x").unwrap().flush().unwrap();
            append(&store, "in", "last");
        });
        let (mut seen, until) = (Vec::new(), Instant::now() + LONG);
        while seen.len() < 3 && Instant::now() < until {
            seen.extend(handed(&mut careful, LONG));
        }
        assert_eq!(seen, ["both", "behind", "last"]);
    });
    assert_eq!(handed(&mut at_home, Duration::ZERO), ["both", "behind", "last"]);
    assert_eq!(partition.durable(), partition.end());
}

#[test]
fn a_careful_reader_was_handed_what_a_dead_owner_has_decided_and_not_ended() {
    let dir = fast_dir();
    let store = half_durable(dir.path());
    let killed = copy_of(dir.path());
    drop(store);
    let reader = StoreReader::attach(killed.path()).unwrap();
    let mut plain = reader.consumer_builder().build().unwrap();
    plain.assign([("in", 0)]).unwrap();
    assert_eq!(handed(&mut plain, Duration::ZERO), ["before", "both", "behind"]);
    let mut careful = careful(&reader);
    assert_eq!(handed(&mut careful, Duration::from_millis(200)), ["before"]);
    // The next owner ends it.
    let next = by_hand(killed.path()).open().unwrap();
    append(&next, "in", "last");
    next.topic("in").unwrap().flush().unwrap();
    let (mut seen, until) = (Vec::new(), Instant::now() + LONG);
    while seen.len() < 3 && Instant::now() < until {
        drop(next.maintain());
        seen.extend(handed(&mut careful, Duration::from_millis(50)));
    }
    assert_eq!(seen, ["both", "behind", "last"]);
}

#[test]
fn a_careful_reader_waited_for_a_transaction_that_had_been_taken_out_whole() {
    for is_deleted in [false, true] {
        let (dir, files) = (fast_dir(), FaultyFileSystem::new());
        let store = by_hand(dir.path()).file_system(failing(&files)).open().unwrap();
        let topic = store.create_topic("in", small_segments().retention_records(3)).unwrap();
        let partition = topic.partition(0).unwrap();
        let mut never = store.transaction_builder("never").buffer_bytes(0).begin().unwrap();
        never.send(Record::to("in").value("never")).unwrap();
        for _ in 0..10 {
            partition.append(&[Record::new().value(&[b'p'; 1500])], Durability::Disk).unwrap();
        }
        let writes = [Call::Create, Call::Write, Call::Allocate];
        files.fail(&writes, ".log", (0, Times::ForEver), Fault::Error(ENOSPC));
        drop(never);
        assert_eq!(partition.end(), 11, "its end is not in the log");
        let reader = StoreReader::attach(dir.path()).unwrap();
        let elsewhere = reader.topic("in").unwrap().partition(0).unwrap();
        let mut at_home = store.consumer_builder().read_durable_only().build().unwrap();
        at_home.assign([("in", 0)]).unwrap();
        let mut waiting = [careful(&reader), at_home];
        for consumer in &mut waiting {
            assert_eq!(handed(consumer, Duration::ZERO), [""; 0], "a power cut could take it back");
        }
        std::thread::scope(|scope| {
            let began = Instant::now();
            let begun = waiting.each_mut().map(|one| scope.spawn(move || handed(one, LONG).len()));
            std::thread::sleep(Duration::from_millis(50));
            if is_deleted {
                partition.delete_records(6).unwrap();
            } else {
                topic.apply_retention().unwrap();
            }
            let left = usize::try_from(11 - partition.start()).unwrap();
            assert!(partition.start() > 1 && left > 0);
            assert_eq!(begun.map(|one| one.join().unwrap()), [left; 2]);
            assert!(began.elapsed() < LONG, "whoever waits is woken");
        });
        // What is shown of it is as it is at home.
        let of = |one: &annals::Partition| (one.start(), one.stable(), one.durable(), one.end());
        assert_eq!(elsewhere.start(), partition.start());
        assert_eq!((elsewhere.stable(), elsewhere.durable(), elsewhere.end()), (11, 11, 11));
        assert_eq!(of(&partition), (partition.start(), 11, 11, 11));
        assert_eq!(waiting.each_mut().map(|one| one.lag().unwrap()), [0, 0]);
    }
}
