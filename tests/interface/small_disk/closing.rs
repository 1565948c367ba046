//! Closing a store where there is no room.

use std::sync::Arc;

use annals::{Durability, Record, StartFrom, Store, StoreBuilder};
use annals_testing::{Call, Fault, FaultyFileSystem, MemoryFileSystem, Times};

use super::disk::SmallDisk;
use crate::common::{TOPIC, records, small_segments};

const ENOSPC: i32 = 28;
const NEEDS_SPACE: [Call; 4] = [Call::Create, Call::CreateDir, Call::Write, Call::Allocate];

/// Segments with index files, committed offsets, and producers of whom snapshots tell.
fn fill(store: &Store) {
    store.create_topic(TOPIC, small_segments()).expect("a topic");
    let partition = store.topic(TOPIC).expect("it").partition(0).expect("one");
    for _ in 0..400 {
        partition.append(&[Record::new().value("2 apples")], Durability::Os).expect("an append");
    }
    let mut tx = store.transaction("shop").expect("a transaction");
    tx.send(Record::to(TOPIC).value("a pear")).expect("a send");
    tx.commit().expect("a commit");
    let mut consumer = store
        .consumer_builder()
        .group("billing")
        .start_from(StartFrom::Earliest)
        .build()
        .expect("a consumer");
    consumer.assign([(TOPIC, 0)]).expect("a partition");
    while !consumer.poll(std::time::Duration::ZERO).expect("records").is_empty() {}
    consumer.commit().expect("a commit");
}

fn check(builder: StoreBuilder, is_clean: bool, what: &str) {
    let store = builder.open().expect("it opens");
    let unclean = store.recovery().iter().filter(|report| !report.clean).count();
    assert_eq!(unclean == 0, is_clean, "{what}: {:?}", store.recovery());
    let partition = store.topic(TOPIC).expect("it").partition(0).expect("one");
    let committed = |record: &(i64, Vec<u8>)| record.1 == b"2 apples" || record.1 == b"a pear";
    assert_eq!(records(&partition).iter().filter(|record| committed(record)).count(), 401, "{what}");
    let offsets: Vec<_> = store.committed("billing").values().map(|one| one.offset).collect();
    assert_eq!(offsets, [partition.end()], "{what}");
    partition.append(&[Record::new().value("more")], Durability::Disk).expect("an append");
}

#[test]
fn a_close_without_a_free_byte_failed_though_there_were_index_files_to_give_up() {
    for tells in [true, false] {
        let disk = SmallDisk::new(tells);
        let builder = || Store::builder("/store").file_system(disk.shared()).maintain_by_hand();
        let store = builder().open().expect("a new store");
        store.create_topic(TOPIC, small_segments()).expect("a topic");
        let partition = store.topic(TOPIC).expect("it").partition(0).expect("one");
        for _ in 0..500 {
            partition.append(&[Record::new().value("2 apples")], Durability::Os).expect("an append");
        }
        disk.leave_free(0);
        store.close().expect("index files make room");
        let store = builder().open().expect("it opens");
        assert!(store.recovery().iter().all(|report| report.clean), "{:?}", store.recovery());
        let partition = store.topic(TOPIC).expect("it").partition(0).expect("one");
        assert_eq!(records(&partition).len(), 500);
    }
}

#[test]
fn a_close_that_met_a_full_disk_at_one_call_was_not_clean() {
    each_call(Times::Once);
}

#[test]
fn a_close_on_a_full_disk_loses_nothing_and_says_what_it_could_not_write() {
    each_call(Times::ForEver);
}

/// Each call of a close that needs room fails, once or with all that follow.
fn each_call(times: Times) {
    for nth in 0.. {
        let memory = MemoryFileSystem::new();
        let disk = FaultyFileSystem::over(Arc::new(memory.clone()));
        let builder = || Store::builder("/store").file_system(disk.clone()).maintain_by_hand();
        let store = builder().open().expect("a new store");
        fill(&store);
        disk.forget();
        disk.fail(&NEEDS_SPACE, "", (nth, times), Fault::Error(ENOSPC));
        let closed = store.close();
        let struck: Vec<_> =
            disk.trace().into_iter().filter(|done| done.struck).map(|done| done.path).collect();
        disk.heal();
        if let Err(error) = &closed {
            assert!(error.is_disk_full(), "call {nth}: {error}");
            let is_named = struck.iter().any(|path| error.to_string().contains(&path.display().to_string()));
            assert!(is_named, "call {nth}: {error} of {struck:?}");
            assert_eq!(times, Times::ForEver, "call {nth} is tried again: {error}");
            let is_left = memory.files().keys().any(|path| path.ends_with(".new"));
            assert!(!is_left, "call {nth}: what was begun keeps its room");
        }
        check(builder(), closed.is_ok(), &format!("call {nth}, {closed:?}"));
        if struck.is_empty() {
            assert!(nth > 5, "{nth} calls");
            return;
        }
    }
}

#[test]
fn a_close_after_a_kill_that_has_no_room_for_the_tails_says_so_and_loses_nothing() {
    let memory = MemoryFileSystem::new();
    let store = Store::builder("/store").file_system(Arc::new(memory.clone())).maintain_by_hand().open();
    let store = store.expect("a new store");
    fill(&store);
    let killed = annals_testing::Image::new(memory.files());
    std::mem::forget(store);
    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::over(&killed)));
    let builder = || Store::builder("/store").file_system(Arc::clone(&disk) as _).maintain_by_hand();
    disk.fail(&NEEDS_SPACE, "", (0, Times::ForEver), Fault::Error(ENOSPC));
    for life in 0..2 {
        let store = builder().open().expect("an open needs no room");
        let found = records(&store.topic(TOPIC).expect("it").partition(0).expect("one"));
        assert!(found.len() > 400, "life {life}");
        let refused = store.close().expect_err("the tail is to be copied");
        assert!(refused.is_disk_full(), "life {life}: {refused}");
    }
    disk.heal();
    check(builder(), false, "there is room");
    let store = builder().open().expect("it opens");
    store.close().expect("there is room");
    assert!(builder().open().expect("it opens").recovery().iter().all(|report| report.clean));
}
