//! Guards on streams whose last event is in the active segment, where a short way answers: it answers what the long way does.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use annals::{Durability, Error, Expected, Record, Store, Topic, TopicConfig};

use super::common::fast_dir;
use super::world::indexed;

fn append(topic: &Topic, key: impl AsRef<[u8]>, expected: Expected) -> Result<i64, Option<i64>> {
    match topic.append_to(key, expected, &[Record::new().value("x")]) {
        Ok(appended) => Ok(appended.last_offset),
        Err(Error::Conflict { found, .. }) => Err(found),
        Err(other) => panic!("{other}"),
    }
}

/// Two keys of 16 bytes that MurmurHash64A maps to the same number, whatever the seed: its second word takes back what the first
/// one changed.
fn of_one_hash() -> [[u8; 16]; 2] {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    // By Newton's iteration: each step doubles the bits that are right.
    let inverse =
        (0..6).fold(M, |inverse, _| inverse.wrapping_mul(2_u64.wrapping_sub(M.wrapping_mul(inverse))));
    let mix = |word: u64| {
        let word = word.wrapping_mul(M);
        (word ^ word >> 47).wrapping_mul(M)
    };
    let unmix = |word: u64| {
        let word = word.wrapping_mul(inverse);
        (word ^ word >> 47).wrapping_mul(inverse)
    };
    let start = 1 ^ 16_u64.wrapping_mul(M);
    let behind = |word: u64| (start ^ mix(word)).wrapping_mul(M);
    let (one, other, second) = (1_u64, 2_u64, 3_u64);
    let matching = unmix(behind(one) ^ behind(other) ^ mix(second));
    let key = |first: u64, second: u64| {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&first.to_le_bytes());
        key[8..].copy_from_slice(&second.to_le_bytes());
        key
    };
    [key(one, second), key(other, matching)]
}

/// A hit says where to look. Which key is there, the batch says.
#[test]
fn two_keys_of_one_hash_are_two_streams() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed().segment_bytes(1 << 20)).unwrap();
    let [one, other] = of_one_hash();
    assert_eq!(append(&topic, one, Expected::NoStream), Ok(0));
    assert_eq!(append(&topic, other, Expected::Version(0)), Err(None), "that event is another's");
    assert_eq!(append(&topic, other, Expected::Exists), Err(None));
    assert_eq!(append(&topic, other, Expected::NoStream), Ok(1));
    assert_eq!(append(&topic, one, Expected::Version(1)), Err(Some(0)));
    assert_eq!(append(&topic, one, Expected::Version(0)), Ok(2), "the newest of the hash is another's");
    // Several in one batch: the last of them is not the first that stands there.
    let batch = [Record::new().key(&other), Record::new().key(&one), Record::new().key(&other)];
    topic.partition(0).unwrap().append(&batch, Durability::Os).unwrap();
    assert_eq!(append(&topic, one, Expected::Version(5)), Err(Some(4)));
    assert_eq!(append(&topic, other, Expected::Version(5)), Ok(6));
    let offsets =
        |key| topic.stream(key).unwrap().read(..).unwrap().into_iter().map(|event| event.unwrap().offset);
    assert_eq!(offsets(one).collect::<Vec<_>>(), [0, 2, 4]);
    assert_eq!(offsets(other).collect::<Vec<_>>(), [1, 3, 5, 6]);
}

#[test]
fn what_others_have_in_memory_counts() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let partition = topic.partition(0).unwrap();
    assert_eq!(append(&topic, "a", Expected::NoStream), Ok(0));
    partition.append(&[Record::new().key("a")], Durability::Memory).unwrap();
    assert_eq!(append(&topic, "a", Expected::Version(0)), Err(Some(1)));
    partition.append(&[Record::new().key("b")], Durability::Memory).unwrap();
    assert_eq!(append(&topic, "b", Expected::NoStream), Err(Some(2)));
    assert_eq!(append(&topic, "a", Expected::Version(1)), Ok(3));
}

/// What was appended while there was no index is found out before anything is answered.
#[test]
fn what_came_while_the_index_was_off_counts() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed().segment_bytes(1 << 20)).unwrap();
    let partition = topic.partition(0).unwrap();
    let switch = |on: bool| drop(store.alter_topic("events", TopicConfig::new().key_index(on)).unwrap());
    assert_eq!(append(&topic, "a", Expected::NoStream), Ok(0));
    for (known, gone_on) in [(0, false), (2, true)] {
        switch(false);
        partition.append(&[Record::new().key("a")], Durability::Os).unwrap();
        switch(true);
        if gone_on {
            // The terms in memory go on behind a gap.
            assert_eq!(append(&topic, "b", Expected::Any), Ok(4));
        }
        let last = if gone_on { 3 } else { 1 };
        assert_eq!(append(&topic, "a", Expected::Version(known)), Err(Some(last)));
        assert_eq!(append(&topic, "a", Expected::NoStream), Err(Some(last)));
        let next = partition.end();
        assert_eq!(append(&topic, "a", Expected::Version(last)), Ok(next));
    }
    let offsets = topic.stream("a").unwrap().read(..).unwrap().into_iter().map(|event| event.unwrap().offset);
    assert_eq!(offsets.collect::<Vec<_>>(), [0, 1, 2, 3, 5]);
}

#[test]
fn what_was_deleted_does_not_count_and_what_is_in_another_segment_does() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    assert_eq!(append(&topic, "a", Expected::NoStream), Ok(0));
    assert_eq!(append(&topic, "b", Expected::NoStream), Ok(1));
    topic.partition(0).unwrap().delete_records(1).unwrap();
    assert_eq!(append(&topic, "a", Expected::Version(0)), Err(None));
    assert_eq!(append(&topic, "a", Expected::Exists), Err(None));
    assert_eq!(append(&topic, "b", Expected::Version(1)), Ok(2));
    // Segments of a few dozen records.
    for number in 3..100 {
        assert_eq!(append(&topic, "c", Expected::Any), Ok(number));
    }
    assert_eq!(append(&topic, "b", Expected::NoStream), Err(Some(2)));
    assert_eq!(append(&topic, "a", Expected::NoStream), Ok(100));
    assert_eq!(append(&topic, "b", Expected::Version(2)), Ok(101));
}

#[test]
fn an_event_of_an_aborted_transaction_is_no_version() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let mut tx = store.transaction_builder("tx").buffer_bytes(1).begin().unwrap();
    tx.send(Record::to("events").key("a").value("never")).unwrap();
    tx.abort().unwrap();
    assert_eq!(append(&topic, "a", Expected::Version(0)), Err(None));
    assert_eq!(append(&topic, "a", Expected::Exists), Err(None));
}

/// What was written long ago may not be in memory: it is looked at while others append, and then one of them may have been first.
#[test]
fn of_those_who_look_far_back_one_wins() {
    const THREADS: usize = 4;
    const STREAMS: usize = 100;
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", TopicConfig::new().key_index(true)).unwrap();
    for number in 0..STREAMS {
        append(&topic, format!("stream-{number}"), Expected::NoStream).unwrap();
    }
    let megabyte = vec![0; 1_000_000];
    for _ in 0..6 {
        let large = Record::new().value(megabyte.as_slice());
        topic.partition(0).unwrap().append(&[large], Durability::Os).unwrap();
    }
    let (won, start) = (AtomicUsize::new(0), Barrier::new(THREADS));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..STREAMS {
                    let version = Expected::Version(i64::try_from(number).unwrap());
                    start.wait();
                    let appended = append(&topic, format!("stream-{number}"), version);
                    _ = appended.map(|_| won.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
    });
    assert_eq!(won.into_inner(), STREAMS);
    for number in 0..STREAMS {
        let events = topic.stream(format!("stream-{number}")).unwrap().read(..).unwrap().into_iter().count();
        assert_eq!(events, 2, "stream {number}");
    }
}
