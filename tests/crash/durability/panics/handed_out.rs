//! What was read in a call that panics was handed out to nobody: the next one has it.

use std::sync::Arc;
use std::time::Duration;

use annals::io::FileSystem;
use annals::{Consumer, Durability, Error, Offset, ReadMode, Record, Records, Store, Topic, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, MemoryFileSystem, Times};

use super::{TOPIC, attempt, by_hand, keep_quiet, spawn};

const READS: [Call; 4] = [Call::Open, Call::Len, Call::Read, Call::Map];

/// Three batches in each of two partitions, two of them with the key "a", on a disk that is read as it fails.
fn sent() -> (Store, Arc<FaultyFileSystem>) {
    keep_quiet();
    let files = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let builder =
        by_hand(std::path::Path::new("/store")).file_system(Arc::clone(&files) as Arc<dyn FileSystem>);
    let store = builder.read_mode(ReadMode::Positional).open().unwrap();
    let topic = store.create_topic(TOPIC, TopicConfig::new().partitions(2).key_index(true)).unwrap();
    for partition in topic.partitions() {
        for key in ["a", "b", "a"] {
            let value = "v".repeat(100_000);
            partition.append(&[Record::new().key(key).value(&value)], Durability::Os).unwrap();
        }
    }
    (store, files)
}

fn offsets(records: &Records) -> Vec<(u32, Offset)> {
    records.iter().map(|record| (record.partition(), record.offset())).collect()
}

fn reads_both(store: &Store) -> Consumer {
    let mut consumer = store.consumer("billing").unwrap();
    consumer.assign([(TOPIC, 0), (TOPIC, 1)]).unwrap();
    consumer
}

/// Everything that polls hand out, over panics.
fn polled(consumer: &mut Consumer, polls: usize) -> (Vec<(u32, Offset)>, usize) {
    let (mut read, mut panics) = (Vec::new(), 0);
    for _ in 0..polls {
        match attempt(|| consumer.poll(Duration::ZERO)) {
            Some(records) => read.extend(offsets(&records.unwrap())),
            None => panics += 1,
        }
    }
    (read, panics)
}

fn all(partitions: std::ops::Range<u32>) -> Vec<(u32, Offset)> {
    partitions.flat_map(|partition| (0..3).map(move |offset| (partition, offset))).collect()
}

#[test]
fn what_a_poll_had_read_before_it_panicked_was_handed_out_to_nobody() {
    let mut panicked = 0;
    for partition in 0..2 {
        for nth in 0..12 {
            let (store, files) = sent();
            let mut consumer = reads_both(&store);
            files.fail(&READS, &format!("orders-{partition}/"), (nth, Times::Once), Fault::Panic);
            let (mut read, panics) = polled(&mut consumer, 4);
            panicked += panics;
            read.sort_unstable();
            assert_eq!(read, all(0..2), "partition {partition}, call {nth}");
            consumer.commit().unwrap();
            assert_eq!(consumer.lag().unwrap(), 0);
        }
    }
    assert!(panicked > 4, "{panicked}");
}

#[test]
fn a_commit_after_a_poll_that_panicked_went_over_what_that_had_read() {
    let (store, files) = sent();
    let mut consumer = reads_both(&store);
    files.fail(&READS, "orders-1/", (0, Times::Once), Fault::Panic);
    assert!(attempt(|| consumer.poll(Duration::ZERO)).is_none());
    consumer.commit().unwrap();
    assert_eq!(consumer.lag().unwrap(), 6, "nothing was handed out");
    drop(consumer);
    assert_eq!(polled(&mut reads_both(&store), 1).0, all(0..2));
}

#[test]
fn a_partition_whose_files_always_panic_kept_others_from_being_read() {
    for (bad, good) in [(0, 1), (1, 0)] {
        let (store, files) = sent();
        let mut consumer = reads_both(&store);
        files.fail(&READS, &format!("orders-{bad}/"), (0, Times::ForEver), Fault::Panic);
        let (read, panics) = polled(&mut consumer, 6);
        assert_eq!(read, all(good..good + 1));
        assert!(panics > 1, "it was told {panics} times");
        files.heal();
        assert_eq!(polled(&mut consumer, 2), (all(bad..bad + 1), 0));
    }
}

/// What reads one partition: the offsets of a fetch.
type Fetches = Box<dyn FnMut() -> annals::Result<Vec<Offset>>>;

/// And all that it hands out.
type Kind = (fn(&Topic) -> Fetches, &'static [Offset]);

fn by_offset(topic: &Topic) -> Fetches {
    let mut reader = topic.partition(0).unwrap().read(..).unwrap();
    Box::new(move || Ok(reader.fetch()?.iter().map(|record| record.offset()).collect()))
}

fn by_key(topic: &Topic) -> Fetches {
    let mut reader = topic.stream("a").unwrap().read(..).unwrap();
    Box::new(move || Ok(reader.fetch()?.iter().map(|record| record.offset()).collect()))
}

fn backwards(topic: &Topic) -> Fetches {
    let mut reader = topic.stream("a").unwrap().backwards().unwrap();
    Box::new(move || Ok(reader.next().transpose()?.into_iter().map(|record| record.offset).collect()))
}

#[test]
fn what_a_reader_had_read_before_its_file_panicked_was_passed_over() {
    let kinds: [Kind; 3] = [(by_offset, &[0, 1, 2]), (by_key, &[0, 2]), (backwards, &[2, 0])];
    for (kind, (reader, expected)) in kinds.into_iter().enumerate() {
        let mut panicked = 0;
        for (nth, times) in (0..12).flat_map(|nth| [(nth, Times::Once), (nth, Times::ForEver)]) {
            let (store, files) = sent();
            let mut fetch = reader(&store.topic(TOPIC).unwrap());
            files.fail(&READS, "orders-", (nth, times), Fault::Panic);
            let mut read = Vec::new();
            for _ in 0..6 {
                match attempt(&mut fetch) {
                    Some(offsets) => read.extend(offsets.unwrap()),
                    None => panicked += 1,
                }
            }
            files.heal();
            for _ in 0..4 {
                read.extend(fetch().unwrap());
            }
            assert_eq!(read, expected, "kind {kind}, call {nth}, {times:?}");
        }
        assert!(panicked > 4, "kind {kind}: {panicked}");
    }
}

#[test]
fn a_batch_before_one_that_always_panics_was_never_handed_out() {
    let (store, files) = sent();
    let mut fetch = by_offset(&store.topic(TOPIC).unwrap());
    files.forget();
    fetch().unwrap();
    let calls: usize = READS.iter().map(|call| files.count(*call, "orders-0/")).sum();
    let mut fetch = by_offset(&store.topic(TOPIC).unwrap());
    files.fail(&READS, "orders-0/", (calls - 1, Times::ForEver), Fault::Panic);
    assert!(attempt(&mut fetch).is_none());
    files.heal();
    files.fail(&READS, "orders-0/", (calls / 2, Times::ForEver), Fault::Panic);
    assert_eq!(attempt(&mut fetch).expect("one batch alone").unwrap(), [0]);
}

/// The file is slow, and the store is closed meanwhile.
#[test]
fn a_close_in_the_middle_of_a_poll_left_something_to_commit_that_nobody_was_handed() {
    let (store, files) = sent();
    let builder = store.consumer_builder().group("billing").auto_commit(Duration::from_secs(3600));
    let mut consumer = builder.build().unwrap();
    consumer.assign([(TOPIC, 0)]).unwrap();
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Read], "orders-0/", (2, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let poll = spawn(move || (consumer.poll(Duration::ZERO), consumer));
    gate.await_arrival();
    store.close().unwrap();
    gate.open();
    let (polled, consumer) = poll.join().unwrap();
    assert!(matches!(polled, Err(Error::StoreClosed { .. })), "{polled:?}");
    consumer.close().unwrap();
}
