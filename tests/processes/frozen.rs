//! Processes that are frozen in the middle of something, and how long others wait for them.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use annals::io::{FileSystem, OpenMode, OsFileSystem};
use annals::{Consumer, Durability, Error, PartitionView, Query, StartFrom, StoreReader};

use crate::common::now;
use crate::groups::member;
use crate::world::{ORDERS, attach, attached, send};

/// Bytes of the head of the page, of a slot, and where in it the end stands.
const HEAD: u64 = 4096;
const SLOT: u64 = 128;
const END: u64 = 48;

/// The owner stands in the middle of showing a change of the partition that ends there.
fn freeze_in_a_change(dir: &Path, end: i64) {
    let page = std::fs::File::options().read(true).write(true).open(dir.join("annals.live")).unwrap();
    let word = |at| {
        let mut bytes = [0; 8];
        page.read_exact_at(&mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    };
    let slots = (0..480).map(|number| HEAD + number * SLOT);
    let frozen: Vec<_> = slots.filter(|at| word(at + END) == end as u64).collect();
    assert_eq!(frozen.len(), 1);
    page.write_all_at(&(word(frozen[0]) + 1).to_ne_bytes(), frozen[0]).unwrap();
}

type Call = (&'static str, fn(&StoreReader, &PartitionView, &mut Consumer));

const CALLS: [Call; 19] = [
    ("end", |_, partition, _| _ = partition.end()),
    ("get", |_, partition, _| drop(partition.get(0))),
    ("read", |_, partition, _| drop(partition.read(..).map(|records| records.into_iter().count()))),
    ("offset for time", |_, partition, _| drop(partition.offset_for_time(1))),
    ("stats", |_, partition, _| drop(partition.stats())),
    ("stats of the topic", |reader, _, _| drop(reader.topic(ORDERS).unwrap().stats())),
    ("latest", |reader, _, _| _ = reader.topic(ORDERS).unwrap().latest().count()),
    ("select", |_, partition, _| {
        drop(partition.select(&Query::all(), ..).map(|found| found.into_iter().count()))
    }),
    ("seek to the end", |_, _, consumer| consumer.seek_to_end()),
    ("seek to the beginning", |_, _, consumer| consumer.seek_to_beginning()),
    ("seek to a time", |_, _, consumer| drop(consumer.seek_to_time(1))),
    ("position", |_, _, consumer| drop(consumer.position((ORDERS, 0)))),
    ("lag", |_, _, consumer| drop(consumer.lag())),
    ("commit", |_, _, consumer| drop(consumer.commit())),
    ("commit of offsets", |_, _, consumer| drop(consumer.commit_offsets([((ORDERS, 0).into(), 1)]))),
    ("committed", |_, _, consumer| _ = consumer.committed((ORDERS, 0))),
    ("lag of the group", |reader, _, _| drop(reader.lag("committed"))),
    ("stats of the store", |reader, _, _| drop(reader.stats())),
    ("poll", |_, _, consumer| drop(consumer.poll(Duration::from_millis(100)))),
];

#[test]
fn calls_waited_more_than_once_for_an_owner_that_is_frozen_in_a_change_and_each_anew() {
    let (dir, store, reader) = attached(7);
    let partition = reader.topic(ORDERS).unwrap().partition(0).unwrap();
    let consumer = |group: &str| {
        let builder = reader.consumer_builder().group(group).start_from(StartFrom::Latest);
        let mut consumer = builder.build().unwrap();
        consumer.assign([(ORDERS, 0)]).unwrap();
        consumer
    };
    let mut consumers: Vec<_> = CALLS.iter().map(|(name, _)| consumer(name)).collect();
    consumer("committed").commit_offsets([((ORDERS, 0).into(), 1)]).unwrap();
    freeze_in_a_change(dir.path(), 7);
    let call = |(name, call): &Call, consumer: &mut Consumer| {
        let began = now();
        call(&reader, &partition, consumer);
        (*name, now() - began)
    };
    let took: Vec<_> = thread::scope(|scope| {
        let calls = CALLS.iter().zip(&mut consumers);
        let calls: Vec<_> = calls.map(|(one, consumer)| scope.spawn(move || call(one, consumer))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let long: Vec<_> = took.iter().filter(|(_, took)| *took > Duration::from_secs(15)).collect();
    assert!(long.is_empty(), "{long:?}");
    assert!(took.iter().any(|(_, took)| *took > Duration::from_secs(9)), "none has waited: {took:?}");
    // Who comes later knows.
    for (one, consumer) in CALLS.iter().zip(&mut consumers) {
        let (name, took) = call(one, consumer);
        assert!(took < Duration::from_secs(3), "{name}: {took:?}");
    }
    let Err(Error::Io { path, source, .. }) = partition.get(0) else { panic!("it was seen") };
    assert!(path.ends_with("orders-0") && source.kind() == std::io::ErrorKind::TimedOut, "{source}");
    // Who has a time of its own waits for that, and is handed nothing.
    let (poll, began) = (Duration::from_millis(300), now());
    assert!(consumers[0].poll(poll).unwrap().is_empty());
    assert!(now() - began >= poll, "{:?}", now() - began);
    // It goes on.
    send(&store, 1);
    assert_eq!(partition.end(), 8);
}

/// It keeps the lock under which the file is synced. Commits at [`Durability::Os`] are in nobody's way.
#[test]
fn each_commit_at_disk_waited_for_a_process_that_is_frozen_in_the_sync_of_another() {
    let (dir, _store, reader) = attached(7);
    let mut billing = member(reader.consumer_builder().commit_durability(Durability::Disk)).unwrap();
    let commit = |billing: &mut Consumer, offset| billing.commit_offsets([((ORDERS, 0).into(), offset)]);
    commit(&mut billing, 1).unwrap();
    let spool = OsFileSystem.open(&dir.path().join("annals.spool"), OpenMode::ReadWrite).unwrap();
    assert!(spool.try_lock_byte(0).unwrap());
    let began = now();
    for offset in 2..5 {
        let Err(Error::Io { path, source, .. }) = commit(&mut billing, offset) else {
            panic!("it is not synced")
        };
        assert!(path.ends_with("annals.spool"), "{}", path.display());
        assert!(
            source.kind() == std::io::ErrorKind::TimedOut && source.to_string().contains("sync"),
            "{source}"
        );
    }
    let took = now() - began;
    assert!(took < Duration::from_secs(9), "{took:?}");
    let mut other = reader.consumer_builder().group("other").build().unwrap();
    other.assign([(ORDERS, 0)]).unwrap();
    commit(&mut other, 6).unwrap();
    spool.unlock_byte(0).unwrap();
    commit(&mut billing, 5).unwrap();
    assert_eq!(reader.committed("billing")[&(ORDERS, 0).into()].offset, 5);
}

/// The process goes on, and others sync beside this one: each of their syncs takes a moment.
#[test]
fn commits_at_disk_failed_beside_healthy_syncs_after_a_process_was_frozen_in_one() {
    let (dir, _store, reader) = attached(7);
    let other = attach(dir.path());
    let at_disk = |reader: &StoreReader, group: &str| {
        let builder = reader.consumer_builder().group(group).commit_durability(Durability::Disk);
        let mut consumer = builder.build().unwrap();
        consumer.assign([(ORDERS, 0)]).unwrap();
        consumer
    };
    let commit = |consumer: &mut Consumer, offset| consumer.commit_offsets([((ORDERS, 0).into(), offset)]);
    let (mut billing, mut neighbour) = (at_disk(&reader, "billing"), at_disk(&other, "neighbour"));
    commit(&mut billing, 1).unwrap();
    let spool = OsFileSystem.open(&dir.path().join("annals.spool"), OpenMode::ReadWrite).unwrap();
    assert!(spool.try_lock_byte(0).unwrap());
    for offset in 2..4 {
        commit(&mut billing, offset).expect_err("it is not synced");
    }
    spool.unlock_byte(0).unwrap();
    for offset in 4..6 {
        commit(&mut neighbour, offset).unwrap();
        assert!(spool.try_lock_byte(0).unwrap());
        let began = now();
        thread::scope(|scope| {
            let commit = scope.spawn(|| commit(&mut billing, offset));
            thread::sleep(Duration::from_millis(300));
            spool.unlock_byte(0).unwrap();
            commit.join().unwrap().expect("the neighbour was done soon");
        });
        assert!(now() - began < Duration::from_secs(3));
    }
    assert_eq!(reader.committed("billing")[&(ORDERS, 0).into()].offset, 5);
}
