//! Compaction where there is little room.

use std::time::Duration;

use annals::{CleanupPolicy, Durability, Partition, Record, Store, TopicConfig};

use super::disk::SmallDisk;
use crate::common::{TOPIC, records};

const MIB: u64 = 1 << 20;
const ROUNDS: usize = 10;

fn open(disk: &SmallDisk) -> Store {
    Store::builder("/store").file_system(disk.shared()).maintain_by_hand().open().expect("a store")
}

fn compacted(segment_bytes: u32) -> TopicConfig {
    let config = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).segment_bytes(segment_bytes);
    config.min_cleanable_dirty_ratio(0.0)
}

fn put(partition: &Partition, key: usize, bytes: usize) -> annals::Result<()> {
    let value = vec![u8::try_from(key % 251).unwrap_or_default(); bytes];
    let key = key.to_string();
    let record = [Record::new().key(&key).value(&value)];
    partition.append(&record, Durability::Os).map(drop)
}

/// Three sealed segments of 4 MiB, and a part of one more: 600 keys, of which every third comes once more.
fn three_segments(store: &Store) -> Partition {
    let topic = store.create_topic(TOPIC, compacted(4 << 20)).expect("a topic");
    let partition = topic.partition(0).expect("one");
    (0..600)
        .chain((0..600).step_by(3))
        .for_each(|key| put(&partition, key, 16 << 10).expect("there is room"));
    partition
}

fn failing(store: &Store) -> Vec<u32> {
    store.stats().expect("stats").maintenance_failures.iter().map(|one| one.failures).collect()
}

/// Ten rounds of maintenance without room, and what is sent between them.
fn rounds_without_room(store: &Store, partition: &Partition) {
    let refused = store.maintain().expect_err("there is no room");
    assert!(refused.is_disk_full(), "{refused}");
    for round in 0..ROUNDS {
        put(partition, 1000 + round, 100).expect("who sends has what room there is");
        store.maintain().expect("it waits");
        assert_eq!(failing(store), [1]);
    }
}

fn check_compacted(store: &Store, partition: &Partition, disk: &SmallDisk) {
    assert_eq!(failing(store), [0; 0]);
    let found = records(partition).len();
    // What stands in the active segment is not compacted yet.
    assert!((600 + ROUNDS..700).contains(&found), "{found} of 800 are left");
    assert!(disk.state().begun >= 2);
}

#[test]
fn a_compaction_without_room_took_the_last_bytes_in_each_round() {
    let disk = SmallDisk::new(true);
    let store = open(&disk);
    let partition = three_segments(&store);
    disk.leave_free(2 * MIB);
    rounds_without_room(&store, &partition);
    assert_eq!(disk.state().rewritten, 0, "it looks before it writes");
    assert_eq!(disk.state().begun, 0);
    // What stays of one of them would fit, and nothing beside it.
    disk.leave_free(3 * MIB);
    store.maintain().expect("it waits");
    assert_eq!(disk.state().rewritten, 0, "an eighth of what it reads is left to who sends");
    // There is enough for one of them at a time, and for those who send beside it.
    disk.leave_free(7 * MIB / 2);
    store.maintain().expect("there is room, and it is seen in the next round");
    check_compacted(&store, &partition, &disk);
    let least = disk.state().least_free;
    assert!(least >= MIB / 2, "an eighth of what it replaces stays free: {least}");
}

#[test]
fn a_compaction_that_had_no_room_waited_on_when_room_was_made() {
    for is_removal in [true, false] {
        let disk = SmallDisk::new(false);
        let store = open(&disk);
        let others =
            store.create_topic("others", TopicConfig::new()).expect("a topic").partition(0).expect("one");
        (0..300).for_each(|key| put(&others, key, 16 << 10).expect("there is room"));
        let partition = three_segments(&store);
        disk.leave_free(2 * MIB);
        rounds_without_room(&store, &partition);
        assert_eq!(disk.state().begun, 1, "one try, and no more of it in ten rounds");
        assert_eq!(disk.state().least_free, 0, "the disk does not say what is free");
        if is_removal {
            store.delete_topic("others").expect("it makes room");
        } else {
            disk.leave_free(8 * MIB);
            store.maintain().expect("it waits");
            assert_eq!(disk.state().begun, 1);
            let changes = TopicConfig::new().delete_retention(Duration::from_secs(1));
            store.alter_topic(TOPIC, changes).expect("it has room");
        }
        store.maintain().expect("there is room");
        check_compacted(&store, &partition, &disk);
    }
}

#[test]
fn a_compaction_had_no_room_for_what_it_could_do_piece_by_piece() {
    for tells in [true, false] {
        let disk = SmallDisk::new(tells);
        let store = open(&disk);
        let topic = store.create_topic(TOPIC, compacted(64 << 10)).expect("a topic");
        let partition = topic.partition(0).expect("one");
        // A thousand records in sixteen segments, of each of which half stays.
        (0..1000).chain((0..1000).step_by(2)).for_each(|key| put(&partition, key, 1000).expect("room"));
        let segments = partition.stats().expect("stats").segments;
        assert!(segments > 16, "{segments}");
        store.alter_topic(TOPIC, TopicConfig::new().segment_bytes(4 << 20)).expect("they may become one");
        disk.leave_free(200 << 10);
        topic.compact().expect("each of them has room");
        assert_eq!(records(&partition).len(), 1000);
        assert_eq!(failing(&store), [0; 0]);
        topic.compact().expect("and then all together have");
        drop(store);
    }
}

#[test]
fn segments_of_which_nothing_stays_go_from_a_disk_without_a_free_byte() {
    let disk = SmallDisk::new(true);
    let store = open(&disk);
    let topic = store.create_topic(TOPIC, compacted(64 << 10)).expect("a topic");
    let partition = topic.partition(0).expect("one");
    (0..400).chain(0..400).for_each(|key| put(&partition, key, 1000).expect("room"));
    disk.leave_free(0);
    store.maintain().expect("what goes makes room for what stays");
    let found = records(&partition).len();
    assert!((400..500).contains(&found), "{found}");
    put(&partition, 7, 1000).expect("there is room now");
}

#[test]
fn what_a_deletion_has_left_was_written_in_vain_in_each_round() {
    for tells in [true, false] {
        let disk = SmallDisk::new(tells);
        let store = open(&disk);
        let partition =
            store.create_topic(TOPIC, TopicConfig::new()).expect("a topic").partition(0).expect("one");
        let others =
            store.create_topic("others", TopicConfig::new()).expect("a topic").partition(0).expect("one");
        (0..300).for_each(|key| put(&partition, key, 16 << 10).expect("there is room"));
        (0..300).for_each(|key| put(&others, key, 16 << 10).expect("there is room"));
        disk.leave_free(MIB);
        // Three of four stay, and have no room.
        assert!(!partition.delete_records(75).expect("the start has moved").is_freed);
        assert!(store.maintain().expect_err("there is no room").is_disk_full());
        let begun = disk.state().begun;
        assert_eq!(begun == 0, tells, "{begun}");
        for round in 0..ROUNDS {
            put(&partition, 1000 + round, 100).expect("who sends has what room there is");
            store.maintain().expect("it waits");
            assert_eq!((failing(&store), disk.state().begun), (vec![1], begun), "{tells}");
        }
        let used = disk.state().used();
        if tells {
            disk.leave_free(8 * MIB);
        } else {
            store.delete_topic("others").expect("it makes room");
        }
        store.maintain().expect("there is room");
        assert_eq!(failing(&store), [0; 0]);
        assert!(disk.state().used() < used - MIB, "it is freed");
        assert_eq!(records(&partition).len(), 225 + ROUNDS);
    }
}

#[test]
fn segments_of_which_nothing_stays_were_not_tried_behind_one_that_was_written_in_vain() {
    let disk = SmallDisk::new(false);
    let store = open(&disk);
    let topic = store.create_topic(TOPIC, compacted(64 << 10)).expect("a topic");
    let partition = topic.partition(0).expect("one");
    // Of the first segment most stays, of those behind it nothing, and all of the last ones.
    (0..50).chain([1000]).for_each(|key| put(&partition, key, 1000).expect("room"));
    (100..400).chain(100..400).chain([1000]).for_each(|key| put(&partition, key, 1000).expect("room"));
    disk.leave_free(32 << 10);
    let bytes = partition.bytes();
    topic.compact().expect("what goes makes room for what stays");
    assert_eq!(records(&partition).len(), 351);
    assert!(partition.bytes() < bytes * 2 / 3);
    assert!(disk.state().begun > 1, "one was written in vain");
}
