//! A batch that cannot be read: its own stream says so, and no other one notices.

use std::path::{Path, PathBuf};

use annals::{Error, Expected, Record, Store, Topic};

use super::common::{by_hand, fast_dir};
use super::world::{EVENTS, indexed};

const KEYS: [&str; 3] = ["a", "b", "c"];

/// Where each batch of a `.log` begins, as its lengths say.
#[expect(clippy::disallowed_methods, reason = "files are looked at from outside")]
fn batches(log: &Path) -> Vec<u64> {
    let bytes = std::fs::read(log).unwrap();
    let mut at = 0;
    let next = |at: usize| {
        let length = bytes.get(at + 8..at + 12)?;
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        (length > 0).then_some(at + 12 + length)
    };
    std::iter::from_fn(|| {
        let begin = at;
        at = next(begin)?;
        Some(begin as u64)
    })
    .collect()
}

/// Turns one bit over, in place.
#[expect(clippy::disallowed_methods, reason = "files are damaged from outside")]
fn flip(log: &Path, at: u64) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::options().read(true).write(true).open(log).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

fn log(dir: &Path, base: i64) -> PathBuf {
    dir.join(format!("{EVENTS}-0/{base:020}.log"))
}

/// Of each key in turn, one event in each batch.
fn fill(topic: &Topic, events: i64) {
    for number in 0..events {
        let key = KEYS[usize::try_from(number).unwrap() % KEYS.len()];
        let appended = topic.append_to(key, Expected::Any, &[Record::new().value(&number.to_string())]);
        assert_eq!(appended.unwrap().first_offset, number);
    }
}

/// The offsets that are to be there of a key.
fn of_key(key: usize, range: std::ops::Range<i64>) -> Vec<i64> {
    range.filter(|offset| usize::try_from(*offset).unwrap() % KEYS.len() == key).collect()
}

/// Asks for everything there is, `damaged` of the key "a" being what cannot be read.
fn ask(topic: &Topic, (damaged, end): (i64, i64), what: &str) {
    for _ in 0..2 {
        let mut events = topic.stream("a").unwrap().read(damaged..).unwrap();
        for _ in 0..2 {
            let refused = events.fetch().unwrap_err();
            let Error::Corrupt { offset, resume_at, .. } = &refused else { panic!("{what}: {refused}") };
            assert_eq!((*offset, *resume_at), (Some(damaged), Some(damaged + 1)), "{what}: {refused}");
        }
        events.seek(damaged + 1);
        let rest: Vec<_> = events.into_iter().map(|event| event.unwrap().offset).collect();
        assert_eq!(rest, of_key(0, damaged + 1..end), "{what}: behind the damage");
        let before: Vec<_> = topic.stream("a").unwrap().read(..).unwrap().into_iter().collect();
        assert!(before.last().unwrap().is_err(), "{what}");
        let before: Vec<_> = before.iter().filter_map(|event| Some(event.as_ref().ok()?.offset)).collect();
        assert_eq!(before, of_key(0, 0..damaged), "{what}: before the damage");
        for (key, name) in KEYS.iter().enumerate().skip(1) {
            let stream = topic.stream(name).unwrap();
            let events = stream.read(..).unwrap().into_iter().map(|event| event.unwrap().offset);
            assert_eq!(events.collect::<Vec<_>>(), of_key(key, 0..end), "{what}: {name}");
            assert_eq!(stream.version().unwrap(), of_key(key, 0..end).pop(), "{what}: {name}");
        }
        let refused = topic.append_to("b", Expected::NoStream, &[Record::new()]).unwrap_err();
        assert!(matches!(refused, Error::Conflict { .. }), "{what}: {refused}");
        assert_eq!(topic.get("nobody").unwrap(), None, "{what}");
    }
}

/// A record, which the checksum covers; and the length of a batch and its first offset, which it does not.
const PLACES: [(&str, u64); 3] = [("a record", 66), ("a length", 11), ("a base offset", 7)];

#[test]
fn a_damaged_batch_takes_no_other_stream_along() {
    for mode in [annals::ReadMode::Mapped, annals::ReadMode::Positional] {
        for (part, within) in PLACES {
            for is_open in [true, false] {
                let what = format!("{mode:?}, {part}, while it is open: {is_open}");
                let dir = fast_dir();
                let open = || by_hand(dir.path()).read_mode(mode).open().unwrap();
                let mut store = open();
                let mut topic = store.create_topic(EVENTS, indexed()).unwrap();
                fill(&topic, 100);
                store.maintain().unwrap();
                let batches = batches(&log(dir.path(), 0));
                assert!(batches.len() > 20, "{what}: {}", batches.len());
                // Each segment has its index, and is damaged after that.
                assert_eq!(topic.stream("a").unwrap().read(..).unwrap().into_iter().count(), 34);
                if !is_open {
                    store.close().unwrap();
                }
                flip(&log(dir.path(), 0), batches[12] + within);
                if !is_open {
                    store = open();
                    topic = store.topic(EVENTS).unwrap();
                }
                ask(&topic, (12, 100), &what);
                store.close().unwrap();
                ask(&open().topic(EVENTS).unwrap(), (12, 100), &format!("{what}, opened again"));
            }
        }
    }
}

#[test]
fn a_damaged_batch_of_the_active_segment_takes_no_other_stream_along() {
    for (part, within) in PLACES {
        let dir = fast_dir();
        let store = by_hand(dir.path()).open().unwrap();
        let topic = store.create_topic(EVENTS, indexed().segment_bytes(1 << 20)).unwrap();
        fill(&topic, 40);
        flip(&log(dir.path(), 0), batches(&log(dir.path(), 0))[12] + within);
        ask(&topic, (12, 40), part);
        topic.append_to("nobody yet", Expected::NoStream, &[Record::new()]).unwrap();
    }
}

/// A batch that this life does not expand is no damage, and no other stream's either.
#[test]
fn a_batch_that_is_too_large_takes_no_other_stream_along() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    let config = indexed().segment_bytes(60_000).compression_type(annals::Codec::Lz4);
    let topic = store.create_topic(EVENTS, config).unwrap();
    let large = "x".repeat(50_000);
    fill(&topic, 10);
    topic.append_to("large", Expected::NoStream, &[Record::new().value(&large)]).unwrap();
    for _ in 0..900 {
        topic.append_to("b", Expected::Any, &[Record::new()]).unwrap();
    }
    store.maintain().unwrap();
    store.close().unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().max_expanded_bytes(10_000).open().unwrap();
    let topic = store.topic(EVENTS).unwrap();
    for _ in 0..2 {
        let refused = topic.get("large").unwrap_err();
        assert!(matches!(refused, Error::BatchTooLarge { offset: 10, .. }), "{refused}");
        assert_eq!(topic.stream("a").unwrap().read(..).unwrap().into_iter().flatten().count(), 4);
        assert_eq!(topic.get("nobody").unwrap(), None);
    }
}
