//! More in the topic of committed offsets than one batch takes, and records there that are not understood.

use std::fs;
use std::path::Path;

use annals::{TopicConfig, TopicPartition};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

use crate::common::{TOPIC, by_hand, fast_dir, files_of, kill_and_copy, on_faulty};
use crate::groups::{GROUP, committed, place, send, store};

/// Groups whose names are as long as a name may be.
fn commit_with_long_names(store: &annals::Store, groups: usize) {
    for number in 0..groups {
        let name = format!("{number:032000}");
        let mut consumer = store.consumer(&name).unwrap();
        consumer.assign([place(0)]).unwrap();
        consumer.commit_offsets([(place(0), 0)]).unwrap();
    }
}

#[test]
fn a_topic_with_more_commits_than_a_batch_takes_can_be_deleted() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    commit_with_long_names(&store, 700);
    store.delete_topic(TOPIC).unwrap();
    assert_eq!(store.groups(), [""; 0]);
    store.close().unwrap();
    let again = by_hand(dir.path()).open().unwrap();
    assert_eq!(again.groups(), [""; 0]);
    again.create_topic(TOPIC, TopicConfig::new()).unwrap();
}

#[test]
fn a_power_cut_with_more_commits_ahead_of_the_log_than_a_batch_takes_does_not_close_the_store() {
    let (dir, copy) = (fast_dir(), fast_dir());
    let before = store(dir.path(), 1);
    send(&before, 0, 0..2);
    for number in 0..700 {
        let mut consumer = before.consumer(&format!("{number:032000}")).unwrap();
        consumer.assign([place(0)]).unwrap();
        consumer.commit_offsets([(place(0), 2)]).unwrap();
    }
    kill_and_copy(before, dir.path(), copy.path());
    fs::write(&files_of(copy.path(), "orders-0", ".log")[0], []).unwrap();
    let again = by_hand(copy.path()).open().unwrap();
    assert_eq!(again.offset_resets().len(), 700);
    again.close().unwrap();
    let again = by_hand(copy.path()).open().unwrap();
    assert_eq!((again.offset_resets().len(), again.groups().len()), (0, 700));
}

#[test]
fn one_commit_of_more_than_a_mebibyte_is_whole() {
    let dir = fast_dir();
    let before = store(dir.path(), 300);
    let note = "n".repeat(4096);
    let mut consumer = before.consumer(GROUP).unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    consumer.commit_with_metadata((0..300).map(|number| (place(number), 0)), &note).unwrap();
    assert_eq!(committed(&before).len(), 300);
    drop(consumer);
    before.close().unwrap();
    let log = fs::read(&files_of(dir.path(), "__consumer_offsets-0", ".log")[0]).unwrap();
    assert_eq!(crate::common::batch_ends(&log).len(), 1, "one batch, all or nothing");
    let again = by_hand(dir.path()).open().unwrap();
    assert_eq!(again.committed(GROUP)[&place(299)].metadata, note);
}

/// Changes bytes of the last batch of commits of a store that was closed.
fn rewrite_last_commit(dir: &Path, change: impl FnOnce(&mut [u8])) {
    let log = &files_of(dir, "__consumer_offsets-0", ".log")[0];
    let mut bytes = fs::read(log).unwrap();
    let ends = crate::common::batch_ends(&bytes);
    let before = ends.len().checked_sub(2).and_then(|at| ends.get(at)).map_or(0, |end| end.0);
    let batch = &mut bytes[usize::try_from(before).unwrap()..];
    change(batch);
    let crc = crc32c::crc32c(&batch[21..]).to_be_bytes();
    batch[17..21].copy_from_slice(&crc);
    fs::write(log, bytes).unwrap();
    // What guards the header would tell of the change: that file is a broker's now.
    fs::remove_file(dir.join("__consumer_offsets-0").join("annals.state")).unwrap();
    let copies = fast_dir();
    by_hand(dir).repair(copies.path().join("kept")).unwrap();
}

#[test]
fn an_old_commit_without_a_topics_id_holds_for_no_topic_that_is_made_with_others() {
    let (dir, copy) = (fast_dir(), fast_dir());
    let before = store(dir.path(), 1);
    send(&before, 0, 0..5);
    let mut consumer = before.consumer(GROUP).unwrap();
    consumer.assign([place(0)]).unwrap();
    consumer.commit_offsets([(place(0), 3)]).unwrap();
    drop(consumer);
    before.close().unwrap();
    rewrite_last_commit(dir.path(), |batch| {
        // One tagged field, the id, of sixteen bytes: of a tag that nobody knows.
        let tagged = batch.windows(3).rposition(|window| window == [1, 0, 16]).unwrap();
        batch[tagged + 1] = 1;
    });
    let files = FaultyFileSystem::new();
    let again = on_faulty(dir.path(), &files).open().unwrap();
    assert_eq!(committed(&again), [(0, 3)].into());
    files.fail(&[Call::Write], "__consumer_offsets-0", (0, Times::ForEver), Fault::Error(28));
    again.delete_topic(TOPIC).unwrap();
    files.heal();
    again.create_topics([(TOPIC, TopicConfig::new()), ("others", TopicConfig::new())]).unwrap();
    send(&again, 0, 0..5);
    kill_and_copy(again, dir.path(), copy.path());
    let again = by_hand(copy.path()).open().unwrap();
    assert_eq!(committed(&again), [].into(), "its first records would be passed over");
}

#[test]
fn a_commit_record_of_a_later_version_does_not_close_the_store() {
    let dir = fast_dir();
    let before = store(dir.path(), 2);
    (0..2).for_each(|partition| send(&before, partition, 0..5));
    for partition in 0..2 {
        let mut consumer = before.consumer(GROUP).unwrap();
        consumer.assign([place(partition)]).unwrap();
        consumer.commit_offsets([(place(partition), 3)]).unwrap();
    }
    before.close().unwrap();
    // The second batch says of its value that it is of a version to come.
    let key = [&b"\0\x01\0\x07billing\0\x06orders\0\0\0\x01"[..]].concat();
    rewrite_last_commit(dir.path(), |batch| {
        let found = batch.windows(key.len()).position(|window| window == key).unwrap();
        // After the key comes the length of the value, then its version.
        let value = found + key.len() + 1;
        assert_eq!(batch[value], 0);
        batch[value + 1] = 9;
    });
    let again = by_hand(dir.path()).open().unwrap();
    assert_eq!(committed(&again), [(0, 3)].into());
    // Compaction keeps what it does not understand.
    let last = |store: &annals::Store| {
        let offsets = store.topic("__consumer_offsets").unwrap();
        let read = offsets.partition(0).unwrap().read(..).unwrap();
        read.into_iter()
            .filter(|record| record.as_ref().is_ok_and(|one| one.key.as_ref() == Some(&key)))
            .count()
    };
    assert_eq!(last(&again), 1);
    again.topic("__consumer_offsets").unwrap().compact().unwrap();
    assert_eq!(last(&again), 1);
    assert_eq!(again.committed(GROUP).get(&TopicPartition::new(TOPIC, 1)), None);
}
