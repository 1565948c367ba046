//! What is committed, over reopens, kills, deletions and failures.

use super::*;

#[test]
fn commits_survive_a_reopen_and_a_kill() {
    let (dir, copy) = (fast_dir(), fast_dir());
    let first = store(dir.path(), 2);
    send(&first, 0, 0..10);
    let mut a = member(&first, "a");
    drain(&mut a);
    a.commit().unwrap();
    drop(a);
    first.close().unwrap();
    let again = by_hand(dir.path()).open().unwrap();
    assert_eq!(committed(&again), [(0, 10), (1, 0)].into());
    send(&again, 0, 10..15);
    let mut a = member(&again, "a");
    assert_eq!(drain(&mut a), numbers(0, 10..15));
    a.commit_with_metadata([(place(0), 13)], "three to go\u{1f34e}").unwrap();
    std::mem::forget(a);
    kill_and_copy(again, dir.path(), copy.path());
    let after = by_hand(copy.path()).open().unwrap();
    let all = after.committed(GROUP);
    let at = &all[&place(0)];
    assert_eq!((at.offset, at.metadata.as_str()), (13, "three to go\u{1f34e}"));
    assert_eq!(drain(&mut member(&after, "a")), numbers(0, 13..15));
}

#[test]
fn a_committed_offset_above_the_recovered_end_is_set_back_durably_and_reported() {
    let (dir, copy) = (fast_dir(), fast_dir());
    let before = store(dir.path(), 1);
    send(&before, 0, 0..5);
    before.producer().flush().unwrap();
    send(&before, 0, 5..10);
    let mut a = store_consumer_at_disk(&before);
    assert_eq!(drain(&mut a).len(), 10);
    a.commit().unwrap();
    std::mem::forget(a);
    kill_and_copy(before, dir.path(), copy.path());
    // The power cut took what was not synced: half of the tail.
    let log = &files_of(copy.path(), "orders-0", ".log")[0];
    let bytes = std::fs::read(log).unwrap();
    let kept = batch_ends(&bytes).iter().find(|(_, next)| *next == 7).unwrap().0;
    std::fs::write(log, &bytes[..usize::try_from(kept).unwrap()]).unwrap();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(copy.path(), &files).open().unwrap();
    let back: Vec<_> = store
        .offset_resets()
        .iter()
        .map(|back| (back.group.as_str(), back.topic_partition.clone(), back.committed, back.end))
        .collect();
    assert_eq!(back, [(GROUP, place(0), 10, 7)]);
    assert_eq!(committed(&store), [(0, 7)].into());
    let trace = files.trace();
    let written = trace.iter().rposition(|done| {
        done.call == Call::Write && done.path.ends_with("__consumer_offsets-0/00000000000000000000.log")
    });
    let synced = trace.iter().rposition(|done| {
        done.call == Call::Sync && done.path.ends_with("__consumer_offsets-0/00000000000000000000.log")
    });
    assert!(written.is_some() && written < synced, "it was not stored durably");
    // New records take the lost offsets; the group must see them.
    send(&store, 0, 100..103);
    assert_eq!(drain(&mut member(&store, "a")), numbers(0, 7..10));
    let last = fast_dir();
    kill_and_copy(store, copy.path(), last.path());
    let store = by_hand(last.path()).open().unwrap();
    assert_eq!((store.offset_resets().len(), committed(&store)), (0, [(0, 7)].into()), "once is enough");
}

#[test]
fn deleting_a_topic_forgets_its_offsets() {
    let (dir, copy) = (fast_dir(), fast_dir());
    let store = store(dir.path(), 2);
    store.create_topic("payments", TopicConfig::new()).unwrap();
    send(&store, 0, 0..5);
    let mut a = store.consumer(GROUP).unwrap();
    a.subscribe([TOPIC, "payments"]).unwrap();
    drain(&mut a);
    a.commit_offsets([(place(0), 5), (TopicPartition::new("payments", 0), 0)]).unwrap();
    store.delete_topic(TOPIC).unwrap();
    let payments: Vec<_> = store.committed(GROUP).into_keys().collect();
    assert_eq!(payments, [TopicPartition::new("payments", 0)]);
    assert!(matches!(a.poll(Duration::ZERO), Err(Error::UnknownTopic { topic, .. }) if topic == TOPIC));
    assert_eq!(drain(&mut a), []);
    assert_eq!(a.assignment(), payments);
    // Another topic of the name begins at its beginning, for a member that polls in between and for one that does not.
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&store, 0, 0..2);
    assert_eq!(drain(&mut a), numbers(0, 0..2));
    store.delete_topic(TOPIC).unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&store, 0, 0..3);
    assert!(matches!(a.poll(Duration::ZERO), Err(Error::UnknownTopic { topic, .. }) if topic == TOPIC));
    assert_eq!(drain(&mut a), numbers(0, 0..3));
    std::mem::forget(a);
    kill_and_copy(store, dir.path(), copy.path());
    let store = by_hand(copy.path()).open().unwrap();
    assert_eq!(store.committed(GROUP).into_keys().collect::<Vec<_>>(), payments);
    store.delete_group(GROUP).unwrap();
    assert!(store.committed(GROUP).is_empty() && store.groups().is_empty());
}

#[test]
fn automatic_commits_take_what_earlier_polls_handed_out() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    send(&store, 0, 0..6);
    let automatic = |every: Duration| {
        let builder = store.consumer_builder().group(GROUP).auto_commit(every).max_poll_records(2);
        let mut consumer = builder.build().unwrap();
        consumer.subscribe([TOPIC]).unwrap();
        consumer
    };
    let mut a = automatic(Duration::ZERO);
    assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 2);
    assert_eq!(committed(&store), BTreeMap::new(), "what is being worked on is not done");
    assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 2);
    assert_eq!(committed(&store), [(0, 2)].into());
    drop(a);
    assert_eq!(committed(&store), [(0, 2)].into(), "dropping commits nothing");
    let mut a = automatic(Duration::from_secs(3600));
    assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 2);
    assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 2);
    assert_eq!(committed(&store), [(0, 2)].into(), "it is not yet time");
    a.close().unwrap();
    assert_eq!(committed(&store), [(0, 6)].into(), "closing commits");
}

#[test]
fn a_failed_commit_commits_nothing() {
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new().partitions(2)).unwrap();
    (0..2).for_each(|partition| send(&store, partition, 0..5));
    let mut a = member(&store, "a");
    assert_eq!(drain(&mut a).len(), 10);
    a.commit_offsets([(place(0), 1), (place(1), 1)]).unwrap();
    files.fail_next(Call::Write, "__consumer_offsets-0", 28);
    let error = a.commit().unwrap_err();
    assert!(error.is_disk_full(), "{error:?}");
    assert_eq!((committed(&store), a.committed((TOPIC, 0))), ([(0, 1), (1, 1)].into(), Some(1)));
    // One offset out of range refuses both.
    assert!(matches!(a.commit_offsets([(place(0), 2), (place(1), 6)]), Err(Error::OffsetOutOfRange { .. })));
    assert_eq!(committed(&store), [(0, 1), (1, 1)].into());
    a.commit().unwrap();
    assert_eq!(committed(&store), [(0, 5), (1, 5)].into());
}

#[test]
fn one_partition_sought_beyond_its_end_kept_the_group_from_committing_any_other() {
    let dir = fast_dir();
    let store = store(dir.path(), 3);
    let beyond = |failed: annals::Result<()>| match failed {
        Err(Error::OffsetOutOfRange { partition, requested: 100, .. }) => assert_eq!(partition, place(1)),
        other => panic!("{other:?}"),
    };
    // What commits, and after how many records of each partition.
    type Commit = fn(Consumer) -> annals::Result<()>;
    let commits: [(i64, Commit); 4] = [
        (1, |mut consumer| consumer.commit()),
        (2, |mut consumer| smol::block_on(consumer.commit_async())),
        (3, Consumer::close),
        // It polls on, and commits by itself: what is out of range is in nobody's way.
        (4, |mut consumer| {
            consumer.pause([(TOPIC, 1)])?;
            drop(consumer.poll(Duration::ZERO)?);
            Err(consumer.auto_commit_failure().expect("one is left out").clone())
        }),
    ];
    for (count, commit) in commits {
        (0..3).for_each(|partition| send(&store, partition, count - 1..count));
        let every = if count == 4 { Duration::ZERO } else { Duration::from_secs(3600) };
        let mut consumer = store.consumer_builder().group(GROUP).auto_commit(every).build().unwrap();
        consumer.subscribe([TOPIC]).unwrap();
        let mut read = 0;
        while read < if count == 1 { 3 } else { 2 + count } {
            read += i64::try_from(consumer.poll(WAIT).unwrap().len()).unwrap();
        }
        consumer.seek((TOPIC, 1), 100).unwrap();
        beyond(commit(consumer));
        let expected = BTreeMap::from([(0, count), (2, count)]);
        assert_eq!(committed(&store), expected, "{count}");
    }
    // Given offsets are one commit, all of them or none.
    let mut consumer = member(&store, "a");
    beyond(consumer.commit_offsets([(place(0), 1), (place(1), 100)]));
    assert_eq!(committed(&store), [(0, 4), (2, 4)].into());
}

/// What a consumer does next.
type Turn = (&'static str, fn(&mut Consumer));

/// What an automatic commit would have to go over is the next reader's to begin after.
#[test]
fn what_was_handed_out_was_not_committed_where_a_consumer_turned_to_something_else() {
    let turns: [Turn; 4] = [
        ("subscribe", |consumer| consumer.subscribe(["payments"]).unwrap()),
        ("assign", |consumer| consumer.assign([("payments", 0)]).unwrap()),
        ("assign the same", |consumer| consumer.assign([(TOPIC, 0)]).unwrap()),
        ("unsubscribe", Consumer::unsubscribe),
    ];
    for (by_itself, (turn, act)) in [false, true].into_iter().flat_map(|by| turns.map(|turn| (by, turn))) {
        let dir = fast_dir();
        let store = store(dir.path(), 1);
        store.create_topic("payments", TopicConfig::new()).unwrap();
        send(&store, 0, 0..10);
        let builder = store.consumer_builder().group(GROUP).auto_commit(Duration::from_secs(3600));
        let mut consumer = builder.build().unwrap();
        match by_itself {
            true => consumer.assign([(TOPIC, 0)]).unwrap(),
            false => consumer.subscribe([TOPIC]).unwrap(),
        }
        assert_eq!(drain(&mut consumer), numbers(0, 0..10));
        act(&mut consumer);
        assert_eq!(committed(&store), [(0, 10)].into(), "{turn}");
        assert!(consumer.auto_commit_failure().is_none());
        assert_eq!(drain(&mut consumer), [], "{turn}: it is not handed out again");
        consumer.close().unwrap();
    }
}

#[test]
fn an_automatic_commit_that_failed_as_its_partitions_went_was_told_by_nobody() {
    let (dir, files) = (fast_dir(), FaultyFileSystem::new());
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&store, 0, 0..10);
    let builder = store.consumer_builder().group(GROUP).auto_commit(Duration::from_secs(3600));
    let mut consumer = builder.build().unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    assert_eq!(drain(&mut consumer).len(), 10);
    files.fail_next(Call::Write, "__consumer_offsets", 5);
    consumer.unsubscribe();
    assert!(consumer.auto_commit_failure().is_some());
}
