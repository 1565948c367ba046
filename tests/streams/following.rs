//! Reading on: what is in memory is not missed, and a range has an end.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use annals::{Durability, EventReader, Expected, Query, Record, Records, Result, Store, Topic};

use super::common::fast_dir;
use super::world::{event, indexed};

const LONG: Duration = Duration::from_secs(20);

/// What its `next` says if it is asked once: nothing is written meanwhile.
fn next_of(reader: &mut EventReader) -> Poll<Result<Records>> {
    pin!(reader.next()).poll(&mut Context::from_waker(Waker::noop()))
}

/// Nobody but a reader writes what is in memory.
fn by_hand(dir: &std::path::Path) -> (Store, Topic) {
    let store = Store::builder(dir).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    (store, topic)
}

#[test]
fn a_reader_slept_beside_an_event_in_memory() {
    let dir = fast_dir();
    let (_store, topic) = by_hand(dir.path());
    let partition = topic.partition(0).unwrap();
    let mut readers = [
        topic.stream("a").unwrap().read(..).unwrap(),
        partition.select(&Query::tag("x"), ..).unwrap(),
        partition.select(&Query::tag("x").or(Query::of_type("t")), ..).unwrap(),
    ];
    for round in 0..3 * readers.len() {
        let reader = &mut readers[round % 3];
        assert!(reader.fetch().unwrap().is_empty());
        // Another stream's, so that the reader is not at the end when it looks.
        topic.append_to("b", Expected::Any, &[Record::new()]).unwrap();
        partition.append(&[event("1", "t", &["x"]).key("a")], Durability::Memory).unwrap();
        let records = match round / 3 {
            0 => reader.fetch().unwrap(),
            1 => reader.poll(LONG).unwrap(),
            _ => match next_of(reader) {
                Poll::Ready(records) => records.unwrap(),
                Poll::Pending => panic!("it sleeps until somebody writes"),
            },
        };
        assert_eq!(records.len(), 1, "round {round}");
        for reader in &mut readers {
            while !reader.fetch().unwrap().is_empty() {}
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long a poll takes")]
fn a_reader_waited_for_ever_behind_the_end_of_its_range() {
    let dir = fast_dir();
    let (_store, topic) = by_hand(dir.path());
    for number in 0..10 {
        let key = if number % 2 == 0 { "a" } else { "b" };
        topic.append_to(key, Expected::Any, &[Record::new().header("tag", "x")]).unwrap();
    }
    let partition = topic.partition(0).unwrap();
    let select = |query: &Query| partition.select(query, ..=5).unwrap();
    let stream = topic.stream("a").unwrap();
    let readers = [
        (stream.read(..=5).unwrap(), 3),
        (stream.read(..6).unwrap(), 3),
        (stream.read(..0).unwrap(), 0),
        (select(&Query::tag("x")), 6),
        (select(&Query::all()), 6),
    ];
    for (mut reader, expected) in readers {
        let begun = Instant::now();
        let mut found = 0;
        loop {
            let Poll::Ready(records) = next_of(&mut reader) else { panic!("it waits behind its range") };
            match records.unwrap().len() {
                0 => break,
                more => found += more,
            }
        }
        assert_eq!(found, expected);
        assert!(reader.poll(LONG).unwrap().is_empty());
        assert!(begun.elapsed() < LONG / 2, "it waited {:?}", begun.elapsed());
    }
    // An end that has not come yet is waited for.
    let mut reader = stream.read(..20).unwrap();
    assert_eq!(reader.poll(LONG).unwrap().len(), 5);
    assert!(next_of(&mut reader).is_pending());
    topic.append_to("a", Expected::Any, &[Record::new()]).unwrap();
    assert!(matches!(next_of(&mut reader), Poll::Ready(Ok(records)) if records.len() == 1));
}
