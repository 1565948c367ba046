//! Where a consumer in another process stands and goes on: by what is there when it asks, and not by what it saw last.

use std::time::Duration;

use annals::{Consumer, Error, Record, StartFrom, Store, StoreReader};

use crate::world::{EMFILE, ORDERS, attach, attach_hooked, attached, make_room, owned, refuse, send};

/// One that reads the first partition and belongs to no group.
fn assigned(reader: &StoreReader, start: StartFrom) -> Consumer {
    let mut consumer = reader.consumer_builder().start_from(start).build().unwrap();
    consumer.assign([(ORDERS, 0)]).unwrap();
    consumer
}

/// Takes out what lies below, as retention does.
fn delete_below(store: &Store, offset: i64) {
    store.topic(ORDERS).unwrap().partition(0).unwrap().delete_records(offset).unwrap();
}

fn position(consumer: &mut Consumer) -> i64 {
    consumer.position((ORDERS, 0)).unwrap()
}

#[test]
fn seeks_elsewhere_go_by_what_an_owner_has_sent_when_they_are_called() {
    let (_dir, store, reader) = attached(0);
    let partition = store.topic(ORDERS).unwrap().partition(0).unwrap();
    let mut consumer = assigned(&reader, StartFrom::Earliest);
    for round in 1..50 {
        if round % 3 == 0 {
            let mut sale = store.transaction("sale").unwrap();
            sale.send(Record::to(ORDERS).partition(0).value("2 apples")).unwrap();
            sale.commit().unwrap();
        } else {
            send(&store, 1);
        }
        let end = partition.end();
        consumer.seek_to_end();
        assert_eq!((position(&mut consumer), consumer.lag().unwrap()), (end, 0));
        consumer.seek_to_beginning();
        assert_eq!((position(&mut consumer), consumer.lag().unwrap()), (0, u64::try_from(end).unwrap()));
        consumer.seek_to_time(i64::MAX).unwrap();
        assert_eq!(position(&mut consumer), end);
        // Several may have the same time.
        let last = partition.read(..).unwrap().into_iter().last().unwrap().unwrap();
        consumer.seek_to_time(last.timestamp).unwrap();
        let there = partition.offset_for_time(last.timestamp).unwrap().unwrap();
        assert_eq!(position(&mut consumer), there.offset);
    }
}

#[test]
fn a_seek_to_the_beginning_elsewhere_went_to_records_that_were_gone() {
    let (_dir, store, reader) = attached(9);
    let mut consumer = assigned(&reader, StartFrom::Fail);
    consumer.seek_to_beginning();
    assert_eq!(position(&mut consumer), 0);
    for start in 3..6 {
        delete_below(&store, start);
        consumer.seek_to_beginning();
        assert_eq!(position(&mut consumer), start);
        let polled = consumer.poll(Duration::from_secs(1));
        assert!(polled.as_ref().is_ok_and(|records| records.len() == (9 - start) as usize), "{polled:?}");
    }
}

#[test]
fn a_consumer_elsewhere_that_had_not_looked_yet_stood_at_records_that_were_gone() {
    let (dir, store) = owned(9);
    delete_below(&store, 5);
    let reader = attach(dir.path());
    assert_eq!(position(&mut assigned(&reader, StartFrom::Earliest)), 5);
    delete_below(&store, 7);
    assert_eq!(
        assigned(&reader, StartFrom::Earliest).lag().unwrap(),
        2,
        "the records before the start are gone"
    );
    assert_eq!(position(&mut assigned(&reader, StartFrom::Earliest)), 7);
    assert_eq!(position(&mut assigned(&reader, StartFrom::Latest)), 9);
}

/// The beginning that was seen last is none: nothing was seen.
#[test]
fn a_consumer_elsewhere_that_cannot_see_the_beginning_stays_and_says_so() {
    let (dir, store) = owned(9);
    delete_below(&store, 5);
    let (hooked, reader) = attach_hooked(dir.path());
    let mut consumer = assigned(&reader, StartFrom::Earliest);
    refuse(&hooked, "orders-0", EMFILE);
    let unseen = consumer.position((ORDERS, 0));
    assert!(matches!(unseen, Err(Error::Io { .. })), "{unseen:?}");
    consumer.seek((ORDERS, 0), 8).unwrap();
    consumer.seek_to_beginning();
    make_room(&hooked);
    assert_eq!(position(&mut consumer), 8);
    consumer.seek_to_beginning();
    assert_eq!(position(&mut consumer), 5);
}
