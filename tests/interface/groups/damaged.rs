//! Commits that cannot be read: groups stand still, and nothing else does.

use std::fs;

use super::*;

const OFFSETS: &str = "__consumer_offsets";

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damaged {
    /// A batch in the middle.
    Batch,
    /// The file without which the topic does not open.
    State,
}

fn damage(dir: &Path, damaged: Damaged) {
    let file = match damaged {
        Damaged::Batch => files_of(dir, &format!("{OFFSETS}-0"), ".log").remove(0),
        Damaged::State => dir.join(format!("{OFFSETS}-0")).join("annals.state"),
    };
    let mut bytes = fs::read(&file).expect("the file");
    let at = match damaged {
        Damaged::Batch => 80,
        Damaged::State => 20,
    };
    bytes[at] ^= 1;
    fs::write(&file, bytes).expect("a write");
}

/// Ten records, all of which the group has read and committed at `Disk`, and four more.
fn with_commits(dir: &Path) -> Store {
    let store = by_hand(dir).open().expect("a new store");
    let config = TopicConfig::new().segment_bytes(300).retention_until_consumed();
    store.create_topic(TOPIC, config).expect("a topic");
    store.create_topic("others", TopicConfig::new()).expect("a topic");
    for upto in [3, 7] {
        send(&store, 0, 0..upto);
        let mut consumer = store_consumer_at_disk(&store);
        drain(&mut consumer);
        consumer.commit().expect("a commit");
    }
    send(&store, 0, 30..34);
    store
}

fn assert_is_of_commits<T: std::fmt::Debug>(outcome: annals::Result<T>) {
    match outcome {
        Err(Error::Corrupt { partition: Some(partition), .. }) => assert_eq!(partition.topic(), OFFSETS),
        other => panic!("{other:?}"),
    }
}

fn assert_groups_stand_still(store: &Store) {
    let named = store.recovery().iter().filter(|report| report.failure.is_some());
    assert_eq!(named.map(|report| report.topic_partition.topic()).collect::<Vec<_>>(), [OFFSETS]);
    assert_is_of_commits(store.consumer(GROUP));
    assert_is_of_commits(store.delete_group(GROUP));
    assert!(store.committed(GROUP).is_empty() && store.groups().is_empty());
    assert!(store.offset_resets().is_empty());
}

#[test]
fn damaged_commits_stop_groups_and_nothing_else() {
    for damaged in [Damaged::Batch, Damaged::State] {
        let dir = fast_dir();
        let store = with_commits(dir.path());
        let kept = store.topic(TOPIC).expect("it").partition(0).expect("it").start();
        store.close().expect("a close");
        damage(dir.path(), damaged);
        for _ in 0..2 {
            let store = by_hand(dir.path()).open().expect("the store opens");
            assert_groups_stand_still(&store);
            send(&store, 0, 20..23);
            assert_eq!(drain(&mut reader(&store, StartFrom::Earliest)).first(), Some(&(0, kept)));
            // What is consumed is not known, so nothing of it goes.
            store.apply_retention().expect("retention");
            assert_eq!(store.topic(TOPIC).expect("it").partition(0).expect("it").start(), kept);
            store.ensure_topic("new", TopicConfig::new()).expect("a topic");
            store.delete_topic("new").expect("a deletion");
            store.close().expect("a close");
        }
        assert!(!Store::verify(dir.path()).expect("a look").is_sound());
        let copies = fast_dir();
        let repaired = by_hand(dir.path()).repair(copies.path()).expect("a repair");
        assert!(!repaired.repairs.is_empty(), "{repaired:?}");
        let store = by_hand(dir.path()).open().expect("the store opens");
        assert!(store.recovery().iter().all(|report| report.failure.is_none()), "{:?}", store.recovery());
        let mut consumer = store.consumer(GROUP).expect("a consumer");
        consumer.assign([(TOPIC, 0)]).expect("a partition");
        drain(&mut consumer);
        consumer.commit().expect("a commit");
        assert_eq!(committed(&store), [(0, 20)].into());
    }
}

/// A group may have committed more than a crash has left. What is sent in the place of what is gone would count as read.
#[test]
fn nothing_is_appended_where_a_crash_may_have_left_less_than_was_committed() {
    let (dir, copy) = (fast_dir(), fast_dir());
    let store = with_commits(dir.path());
    store.topic("others").expect("it").partition(0).expect("it").flush().expect("a flush");
    kill_and_copy(store, dir.path(), copy.path());
    damage(copy.path(), Damaged::State);
    let store = by_hand(copy.path()).open().expect("the store opens");
    assert_groups_stand_still(&store);
    let there = drain(&mut reader(&store, StartFrom::Earliest));
    assert!(!there.is_empty(), "it can be read");
    let sent = store.producer().send(Record::to(TOPIC).value("in the place of another"));
    assert_is_of_commits(sent);
    // Never appended to, so that nobody can have committed more than there is.
    store.producer().send(Record::to("others").value("another")).expect("a send");
    store.create_topic("new", TopicConfig::new()).expect("a topic");
    store.producer().send(Record::to("new").value("another")).expect("a send");
    drop(store);
    let copies = fast_dir();
    by_hand(copy.path()).repair(copies.path()).expect("a repair");
    let store = by_hand(copy.path()).open().expect("the store opens");
    store.producer().send(Record::to(TOPIC).value("next")).expect("a send");
    assert_eq!(drain(&mut reader(&store, StartFrom::Earliest)).len(), there.len() + 1);
}
