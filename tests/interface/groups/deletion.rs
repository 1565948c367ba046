//! Topics that go, and come back under the same name, beneath groups and consumers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use annals::{Consumer, Durability, Error, Record, StartFrom, Store, TopicConfig, TopicPartition};

use crate::common::{TOPIC, by_hand, copy_dir, fast_dir, kill_and_copy, on_faulty, spawn};
use crate::groups::{GROUP, committed, drain, member, numbers, place, send, store};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, Times};

const OTHER: &str = "payments";

fn send_other(store: &Store, count: i64) {
    for _ in 0..count {
        store.producer().send(Record::to(OTHER).value("x")).unwrap();
    }
}

/// Records of the other topic, and what else polls said, in so many polls.
fn poll_some(consumer: &mut Consumer, polls: usize) -> (Vec<(String, i64)>, Vec<Error>) {
    let (mut read, mut errors) = (Vec::new(), Vec::new());
    for _ in 0..polls {
        match consumer.poll(Duration::ZERO) {
            Ok(records) => {
                read.extend(records.iter().map(|record| (record.topic().to_owned(), record.offset())))
            }
            Err(error) => errors.push(error),
        }
    }
    (read, errors)
}

#[test]
fn a_position_is_not_lost_when_another_topic_is_deleted_during_a_rebalance() {
    for start in [StartFrom::Latest, StartFrom::Earliest] {
        let dir = fast_dir();
        let files = FaultyFileSystem::new();
        let store = on_faulty(dir.path(), &files).open().unwrap();
        store.create_topic(TOPIC, TopicConfig::new().partitions(2)).unwrap();
        store.create_topic(OTHER, TopicConfig::new()).unwrap();
        send_other(&store, 5);
        let builder = |name: &str| store.consumer_builder().group(GROUP).client_id(name).start_from(start);
        let mut a = builder("a").build().unwrap();
        a.subscribe([TOPIC, OTHER]).unwrap();
        let first = if start == StartFrom::Earliest { 5 } else { 0 };
        assert_eq!(drain(&mut a).len(), first);
        let mut b = builder("b").build().unwrap();
        b.subscribe([TOPIC]).unwrap();
        drain(&mut a);
        b.commit_offsets([(place(1), 0)]).unwrap();
        drop(b);
        // The deletion fails after the topic is gone from the list, and before members are told.
        files.fail_next(Call::Write, "__consumer_offsets-0", 28);
        drop(store.delete_topic(TOPIC));
        assert!(store.topic(TOPIC).is_err());
        send_other(&store, 10);
        let (read, _) = poll_some(&mut a, 6);
        let expected: Vec<_> = (5..15).map(|offset| (OTHER.to_owned(), offset)).collect();
        assert_eq!(read, expected, "{start:?}");
    }
}

#[test]
fn a_commit_at_disk_does_not_come_back_for_a_new_topic_of_the_name() {
    let (dir, copy, saved) = (fast_dir(), fast_dir(), fast_dir());
    let first = store(dir.path(), 1);
    send(&first, 0, 0..40);
    let mut a = first.consumer_builder().group(GROUP).commit_durability(Durability::Disk).build().unwrap();
    a.subscribe([TOPIC]).unwrap();
    assert_eq!(drain(&mut a).len(), 40);
    a.commit().unwrap();
    drop(a);
    copy_dir(&dir.path().join("__consumer_offsets-0"), saved.path());
    first.delete_topic(TOPIC).unwrap();
    first.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&first, 0, 0..100);
    first.producer().flush().unwrap();
    kill_and_copy(first, dir.path(), copy.path());
    // The power cut took what was written to the offsets' log at `Os`.
    let offsets = copy.path().join("__consumer_offsets-0");
    std::fs::remove_dir_all(&offsets).unwrap();
    copy_dir(saved.path(), &offsets);
    let again = by_hand(copy.path()).open().unwrap();
    assert_eq!(committed(&again), [].into());
    assert_eq!(drain(&mut member(&again, "a")), numbers(0, 0..100));
}

/// It could hold for no other topic, and would be kept for ever.
#[test]
fn what_was_committed_for_a_deleted_topic_is_taken_back_with_it() {
    let dir = fast_dir();
    let store = store(dir.path(), 2);
    store.create_topic(OTHER, TopicConfig::new()).unwrap();
    let mut alone = store.consumer_builder().group(GROUP).build().unwrap();
    let places = [place(0), place(1), TopicPartition::from((OTHER, 0))];
    alone.assign(places.clone()).unwrap();
    alone.commit_offsets(places.map(|place| (place, 0))).unwrap();
    let commits = store.topic("__consumer_offsets").unwrap().partition(0).unwrap();
    // The last record of each.
    let left = || {
        let records = commits.read(..).unwrap().into_iter().map(Result::unwrap);
        let last: BTreeMap<_, _> = records.map(|record| (record.key, record.value.is_some())).collect();
        let there = last.values().filter(|is_there| **is_there).count();
        (last.len(), there)
    };
    assert_eq!(left(), (3, 3));
    store.delete_topic(TOPIC).unwrap();
    assert_eq!(left(), (3, 1));
}

#[test]
fn a_deleted_group_does_not_come_back_after_a_power_cut() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&store, 0, 0..5);
    let mut a = store.consumer_builder().group(GROUP).commit_durability(Durability::Disk).build().unwrap();
    a.assign([place(0)]).unwrap();
    drain(&mut a);
    a.commit().unwrap();
    files.forget();
    store.delete_group(GROUP).unwrap();
    let trace = files.trace();
    let is_offsets = |path: &std::path::Path| path.ends_with("__consumer_offsets-0/00000000000000000000.log");
    let written = trace.iter().rposition(|done| done.call == Call::Write && is_offsets(&done.path));
    let synced = trace.iter().rposition(|done| done.call == Call::Sync && is_offsets(&done.path));
    assert!(written.is_some() && written < synced, "the deletion is not durable: {trace:?}");
}

#[test]
fn a_self_assigned_consumer_commits_no_old_position_for_a_new_topic_of_the_name() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    send(&store, 0, 0..10);
    let automatic = || {
        let builder = store.consumer_builder().group(GROUP).auto_commit(Duration::ZERO);
        let mut consumer = builder.build().unwrap();
        consumer.assign([place(0)]).unwrap();
        consumer
    };
    let mut alone = store.consumer_builder().group(GROUP).build().unwrap();
    alone.assign([place(0)]).unwrap();
    let mut closing = automatic();
    let mut polling = automatic();
    for consumer in [&mut alone, &mut closing, &mut polling] {
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 10);
    }
    store.delete_topic(TOPIC).unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&store, 0, 0..20);
    alone.commit().unwrap();
    assert!(matches!(alone.commit_offsets([(place(0), 7)]), Err(Error::UnknownTopic { .. })));
    drop(polling.poll(Duration::ZERO));
    closing.close().unwrap();
    assert_eq!(committed(&store), [].into());
    // Once it assigns itself the new one, that is what it reads and commits.
    alone.assign([place(0)]).unwrap();
    assert_eq!(drain(&mut alone), numbers(0, 0..20));
    alone.commit().unwrap();
    assert_eq!(committed(&store), [(0, 20)].into());
}

#[test]
fn one_deleted_topic_does_not_block_the_commits_of_the_others() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    store.create_topic(OTHER, TopicConfig::new()).unwrap();
    send(&store, 0, 0..3);
    send_other(&store, 4);
    let automatic = |builder: annals::ConsumerBuilder| {
        let mut consumer = builder.group(GROUP).build().unwrap();
        consumer.assign([place(0), TopicPartition::new(OTHER, 0)]).unwrap();
        assert_eq!(drain(&mut consumer).len(), 7);
        consumer
    };
    let mut by_hand = automatic(store.consumer_builder());
    let closing = automatic(store.consumer_builder().auto_commit(Duration::from_secs(3600)));
    store.delete_topic(TOPIC).unwrap();
    closing.close().unwrap();
    let all = || {
        store
            .committed(GROUP)
            .into_iter()
            .map(|(place, at)| (place.to_string(), at.offset))
            .collect::<Vec<_>>()
    };
    assert_eq!(all(), [("payments-0".to_owned(), 4)]);
    store.delete_group(GROUP).unwrap();
    by_hand.commit().unwrap();
    assert_eq!(all(), [("payments-0".to_owned(), 4)]);
}

#[test]
fn a_half_failed_deletion_leaves_neither_commits_nor_members_behind() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&store, 0, 0..10);
    let mut a = member(&store, "a");
    assert_eq!(drain(&mut a).len(), 10);
    a.commit().unwrap();
    files.fail_next(Call::Write, "__consumer_offsets-0", 28);
    drop(store.delete_topic(TOPIC));
    files.heal();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    assert_eq!(committed(&store), [].into());
    send(&store, 0, 0..4);
    // A member that did not poll in between has the new topic, from its beginning.
    let (read, _) = poll_some(&mut a, 4);
    assert_eq!(read, (0..4).map(|offset| (TOPIC.to_owned(), offset)).collect::<Vec<_>>());
    drop(a);
    assert_eq!(drain(&mut member(&store, "b")), numbers(0, 0..4));
}

#[test]
fn a_member_is_told_once_of_a_topic_that_was_deleted() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    let mut a = member(&store, "a");
    assert_eq!(drain(&mut a), []);
    store.delete_topic(TOPIC).unwrap();
    let unknown = |error: &Error| matches!(error, Error::UnknownTopic { topic, .. } if topic == TOPIC);
    assert!(a.poll(Duration::ZERO).is_err_and(|error| unknown(&error)));
    assert_eq!(drain(&mut a), [], "it goes on with what there is");
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&store, 0, 0..2);
    assert_eq!(drain(&mut a), numbers(0, 0..2));
}

#[test]
fn assigning_again_takes_the_new_topic_of_the_name() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    send(&store, 0, 0..5);
    let mut alone = store.consumer_builder().build().unwrap();
    alone.assign([place(0)]).unwrap();
    assert_eq!(drain(&mut alone).len(), 5);
    store.delete_topic(TOPIC).unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&store, 0, 0..3);
    assert!(matches!(alone.poll(Duration::ZERO), Err(Error::UnknownTopic { .. })));
    alone.assign([place(0)]).unwrap();
    assert_eq!(drain(&mut alone), numbers(0, 0..3));
}

#[test]
fn commits_go_on_after_the_group_was_deleted() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    send(&store, 0, 0..5);
    let mut alone = store.consumer_builder().group(GROUP).build().unwrap();
    alone.assign([place(0)]).unwrap();
    drain(&mut alone);
    alone.commit().unwrap();
    store.delete_group(GROUP).unwrap();
    alone.commit().unwrap();
    assert_eq!(committed(&store), [(0, 5)].into());
    // Nor is another's commit in the way.
    let mut other = store.consumer_builder().group(GROUP).build().unwrap();
    other.assign([place(0)]).unwrap();
    other.commit_offsets([(place(0), 2)]).unwrap();
    alone.commit().unwrap();
    assert_eq!(committed(&store), [(0, 5)].into());
}

#[test]
fn an_open_takes_commits_back_only_after_the_list_of_topics_is_durable() {
    let (dir, copy) = (fast_dir(), fast_dir());
    let files = FaultyFileSystem::new();
    let first = on_faulty(dir.path(), &files).open().unwrap();
    first.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&first, 0, 0..5);
    let mut a = member(&first, "a");
    drain(&mut a);
    a.commit().unwrap();
    std::mem::forget(a);
    files.fail_next(Call::Write, "__consumer_offsets-0", 28);
    first.delete_topic(TOPIC).unwrap();
    kill_and_copy(first, dir.path(), copy.path());
    let files = FaultyFileSystem::new();
    let again = on_faulty(copy.path(), &files).open().unwrap();
    assert_eq!(again.groups(), [""; 0]);
    let trace = files.trace();
    let written = trace.iter().position(|done| {
        done.call == Call::Write && done.path.ends_with("__consumer_offsets-0/00000000000000000000.log")
    });
    let synced = trace.iter().position(|done| done.call == Call::SyncDir && done.path == copy.path());
    assert!(written.is_some(), "{trace:?}");
    assert!(synced.is_some() && synced < written, "{trace:?}");
}

#[test]
fn a_member_is_told_once_of_a_topic_that_was_deleted_and_created_again_between_two_polls() {
    for start in [StartFrom::Earliest, StartFrom::Latest] {
        let dir = fast_dir();
        let store = store(dir.path(), 2);
        send(&store, 0, 0..3);
        let mut a = store.consumer_builder().group(GROUP).start_from(start).build().unwrap();
        a.subscribe([TOPIC]).unwrap();
        drain(&mut a);
        store.delete_topic(TOPIC).unwrap();
        store.create_topic(TOPIC, TopicConfig::new()).unwrap();
        // It does not know yet: what it commits is of the topic that was deleted.
        let given = a.commit_offsets([(place(1), 0)]);
        assert!(matches!(given, Err(Error::UnknownTopic { was_deleted: true, .. })), "{given:?}");
        a.commit().unwrap();
        send(&store, 0, 0..7);
        let (read, errors) = poll_some(&mut a, 5);
        assert!(matches!(&errors[..], [Error::UnknownTopic { was_deleted: true, .. }]), "{errors:?}");
        assert_eq!(read, (0..7).map(|offset| (TOPIC.to_owned(), offset)).collect::<Vec<_>>(), "{start:?}");
        assert_eq!(committed(&store), [].into());
    }
}

#[test]
fn a_handle_of_a_deleted_topic_says_so_though_another_has_the_name() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    let (topic, bound) = (store.topic(TOPIC).unwrap(), store.producer().bind(TOPIC).unwrap());
    let partition = topic.partition(0).unwrap();
    let unknown = store.topic(OTHER).unwrap_err();
    assert!(matches!(&unknown, Error::UnknownTopic { was_deleted: false, .. }), "{unknown:?}");
    store.delete_topic(TOPIC).unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let errors = [
        bound.send(Record::new().value("x")).unwrap_err(),
        partition.append(&[Record::new().value("x")], Durability::Os).unwrap_err(),
        topic.flush().unwrap_err(),
        partition.get(0).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("was deleted"), "{error}");
        assert!(!error.to_string().contains("create"), "{error}");
    }
}

#[test]
fn latest_passes_over_nothing_that_was_sent_after_the_member_had_subscribed() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    send(&store, 0, 0..4);
    store.create_topic(OTHER, TopicConfig::new()).unwrap();
    let builder = || store.consumer_builder().group(GROUP).start_from(StartFrom::Latest);
    let mut a = builder().client_id("a").build().unwrap();
    a.subscribe([TOPIC, OTHER]).unwrap();
    assert_eq!(drain(&mut a), [], "what was there before");
    store.add_partitions(TOPIC, 2).unwrap();
    send(&store, 1, 0..5);
    // Another topic of a subscription that was deleted, and created while the member looks elsewhere.
    store.delete_topic(OTHER).unwrap();
    store.create_topic(OTHER, TopicConfig::new()).unwrap();
    send_other(&store, 3);
    let (read, errors) = poll_some(&mut a, 5);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(read.iter().filter(|(topic, _)| topic == TOPIC).count(), 5);
    assert_eq!(read.iter().filter(|(topic, _)| topic == OTHER).count(), 3);
    // For who joins now, and for who subscribes to it now, these were there before.
    drop(a);
    let mut b = builder().client_id("b").build().unwrap();
    b.subscribe([OTHER]).unwrap();
    b.subscribe([TOPIC, OTHER]).unwrap();
    assert_eq!(drain(&mut b), []);
    send(&store, 1, 5..6);
    assert_eq!(drain(&mut b), numbers(1, 5..6));
}

/// It may be there in the next life; in this one it is for nobody.
#[test]
fn a_topic_of_whose_deletion_nobody_knows_kept_a_consumer_from_committing_what_it_has_of_others() {
    for is_automatic in [false, true] {
        let dir = fast_dir();
        let files = FaultyFileSystem::new();
        let store = on_faulty(dir.path(), &files).open().unwrap();
        for topic in [TOPIC, OTHER] {
            store.create_topic(topic, TopicConfig::new()).unwrap();
            store.producer().send(Record::to(topic).value("x")).unwrap();
        }
        // The topic of commits is there.
        let mut another = store.consumer("another").unwrap();
        another.assign([(OTHER, 0)]).unwrap();
        another.commit_offsets([((OTHER, 0).into(), 1)]).unwrap();
        let builder = store.consumer_builder().group(GROUP);
        let builder = if is_automatic { builder.auto_commit(Duration::from_secs(3600)) } else { builder };
        let mut consumer = builder.build().unwrap();
        consumer.assign([(TOPIC, 0), (OTHER, 0)]).unwrap();
        assert_eq!(poll_some(&mut consumer, 3).0.len(), 2);
        files.fail(&[Call::Rename], "annals.topics", (0, Times::Once), Fault::Error(5));
        store.delete_topic(TOPIC).unwrap_err();
        consumer.lag().unwrap();
        if is_automatic {
            consumer.close().unwrap();
        } else {
            consumer.commit().unwrap();
        }
        let committed: Vec<_> =
            store.committed(GROUP).into_iter().map(|(place, at)| (place, at.offset)).collect();
        assert_eq!(committed, [((OTHER, 0).into(), 1)]);
    }
}

/// The group has had a member all the time, which had not read them.
#[test]
fn a_member_that_joined_passed_over_what_a_new_partition_had_got_since_the_group_subscribed() {
    for deletes in [false, true] {
        let dir = fast_dir();
        let store = store(dir.path(), if deletes { 2 } else { 1 });
        let join = |name: &str| {
            let builder = store.consumer_builder().group(GROUP).start_from(StartFrom::Latest).client_id(name);
            let mut member = builder.build().unwrap();
            member.subscribe([TOPIC]).unwrap();
            member
        };
        let mut a = join("a");
        assert_eq!(drain(&mut a), []);
        if deletes {
            store.delete_topic(TOPIC).unwrap();
            store.create_topic(TOPIC, TopicConfig::new().partitions(2)).unwrap();
        } else {
            store.add_partitions(TOPIC, 2).unwrap();
        }
        send(&store, 1, 0..3);
        // One that comes and goes, and one that stays.
        drop(join("b"));
        let mut c = join("c");
        assert_eq!(drain(&mut c), numbers(1, 0..3), "deletes: {deletes}");
        // What is committed is not handed out again.
        c.commit().unwrap();
        drop(c);
        let (read, _) = poll_some(&mut a, 3);
        assert!(read.is_empty(), "{read:?}");
    }
}

/// A member that joins while the group is forgotten keeps what it commits: the deletion is over, or refused.
#[test]
fn what_a_member_commits_that_joined_beside_a_deletion_is_not_forgotten() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&store, 0, 0..40);
    // What the deletion has to forget first.
    let mut worker = store.queue(TOPIC, GROUP).unwrap();
    worker.take(1, Duration::ZERO).unwrap().into_iter().for_each(|message| message.ack().unwrap());
    drop(worker);
    let mut joins = store.consumer(GROUP).unwrap();
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Write], "__share_group_state", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let deletes = store.clone();
    let deletion = spawn(move || deletes.delete_group(GROUP));
    gate.await_arrival();
    let member = spawn(move || {
        joins.subscribe([TOPIC]).unwrap();
        joins.commit_offsets([(place(0), 7)]).unwrap();
        joins
    });
    std::thread::sleep(Duration::from_millis(300));
    gate.open();
    deletion.join().unwrap().unwrap();
    let joined = member.join().unwrap();
    assert_eq!(joined.committed(place(0)), Some(7));
    assert!(matches!(store.delete_group(GROUP), Err(Error::InvalidArgument { .. })));
}

#[test]
fn a_deletion_was_told_to_who_had_turned_to_other_partitions_by_then() {
    let turns: [fn(&mut Consumer); 3] = [
        |consumer| consumer.assign([(TOPIC, 0)]).unwrap(),
        |consumer| consumer.subscribe([TOPIC]).unwrap(),
        Consumer::unsubscribe,
    ];
    for (turn, is_seen) in turns.into_iter().flat_map(|turn| [(turn, true), (turn, false)]) {
        let dir = fast_dir();
        let store = store(dir.path(), 1);
        store.create_topic(OTHER, TopicConfig::new()).unwrap();
        let mut consumer = store.consumer(GROUP).unwrap();
        consumer.subscribe([TOPIC, OTHER]).unwrap();
        drain(&mut consumer);
        store.delete_topic(OTHER).unwrap();
        if is_seen {
            // No poll has told of it.
            drop(consumer.position(place(0)));
        }
        turn(&mut consumer);
        assert_eq!(drain(&mut consumer), []);
    }
}
