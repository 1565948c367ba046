//! Who reads what as members come and go.

use super::*;

#[test]
fn two_members_in_two_threads_read_everything_exactly_once() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic(TOPIC, TopicConfig::new().partitions(5)).unwrap();
    let members = [member(&store, "a"), member(&store, "b")];
    let total = 5 * 400;
    let read = std::sync::Mutex::new(Vec::new());
    thread::scope(|scope| {
        for mut member in members {
            let read = &read;
            scope.spawn(move || {
                while read.lock().unwrap().len() < total {
                    let records = member.poll(Duration::from_millis(20)).unwrap();
                    read.lock()
                        .unwrap()
                        .extend(records.iter().map(|record| (record.partition(), record.offset())));
                    member.commit().unwrap();
                }
            });
        }
        for partition in 0..5 {
            let store = &store;
            scope.spawn(move || send(store, partition, 0..400));
        }
    });
    let read = read.into_inner().unwrap();
    assert_eq!(read.len(), total, "something was read twice");
    assert_eq!(read.iter().collect::<BTreeSet<_>>().len(), total);
    assert_eq!(committed(&store), (0..5).map(|partition| (partition, 400)).collect());
}

#[test]
fn every_partition_has_one_owner_through_all_changes() {
    let dir = fast_dir();
    let store = store(dir.path(), 7);
    let check = |members: &mut [&mut Consumer]| {
        let mut owned = Vec::new();
        for member in members.iter_mut() {
            member.poll(Duration::ZERO).unwrap();
            owned.extend(member.assignment().iter().map(TopicPartition::partition));
        }
        owned.sort_unstable();
        assert_eq!(owned, (0..7).collect::<Vec<_>>());
    };
    let mut a = member(&store, "a");
    check(&mut [&mut a]);
    let mut b = member(&store, "b");
    check(&mut [&mut a, &mut b]);
    let mut c = member(&store, "c");
    check(&mut [&mut a, &mut b, &mut c]);
    b.unsubscribe();
    check(&mut [&mut a, &mut c]);
    assert_eq!(b.assignment(), []);
    c.close().unwrap();
    check(&mut [&mut a]);
    // Another topic for one of them changes nothing about this one.
    store.create_topic("payments", TopicConfig::new()).unwrap();
    b.subscribe([TOPIC, "payments"]).unwrap();
    let mut owned: Vec<_> = [&mut a, &mut b]
        .into_iter()
        .flat_map(|one| {
            one.poll(Duration::ZERO).unwrap();
            one.assignment()
        })
        .collect();
    owned.sort();
    let mut expected: Vec<_> = (0..7).map(place).collect();
    expected.push(TopicPartition::new("payments", 0));
    assert_eq!(owned, expected);
    assert_eq!(store.groups(), [GROUP]);
}

#[test]
fn whoever_takes_over_continues_at_what_was_committed() {
    let dir = fast_dir();
    let store = store(dir.path(), 2);
    (0..2).for_each(|partition| send(&store, partition, 0..10));
    let mut a = member(&store, "a");
    assert_eq!(drain(&mut a).len(), 20);
    a.commit_offsets([(place(0), 4), (place(1), 10)]).unwrap();
    let mut b = member(&store, "b");
    assert_eq!(drain(&mut b), [], "partition 1 was done");
    drop(a);
    assert_eq!(drain(&mut b), numbers(0, 4..10));
    b.commit().unwrap();
    assert_eq!(committed(&store), [(0, 10), (1, 10)].into());
}

#[test]
fn a_member_that_lost_a_partition_cannot_commit_it() {
    let dir = fast_dir();
    let store = store(dir.path(), 2);
    (0..2).for_each(|partition| send(&store, partition, 0..10));
    let mut a = member(&store, "a");
    assert_eq!(drain(&mut a).len(), 20);
    let mut b = member(&store, "b");
    b.poll(Duration::ZERO).unwrap();
    let lost = b.assignment()[0].clone();
    match a.commit() {
        Err(Error::NotAssigned { partition, group, member }) => {
            assert_eq!((partition, group.as_str(), member.as_str()), (lost, GROUP, a.member_id()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(committed(&store), BTreeMap::new(), "all or nothing");
    a.poll(Duration::ZERO).unwrap();
    a.commit().unwrap();
    assert_eq!(committed(&store).len(), 1);
    // A zombie: it left, and still thinks it owns something.
    a.unsubscribe();
    assert!(matches!(a.commit_offsets([(place(0), 1)]), Err(Error::NotAssigned { .. })));
    assert_eq!(committed(&store).values().collect::<Vec<_>>(), [&10]);
}

#[test]
fn a_partition_lost_and_regained_goes_on_at_what_was_committed_meanwhile() {
    let dir = fast_dir();
    let store = store(dir.path(), 2);
    send(&store, 1, 0..10);
    let mut a = store.consumer_builder().group(GROUP).client_id("a").max_poll_records(3).build().unwrap();
    a.subscribe([TOPIC]).unwrap();
    assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 3);
    let mut b = member(&store, "b");
    assert_eq!(drain(&mut b), numbers(1, 0..10), "what was not committed is handed out again");
    b.commit().unwrap();
    drop(b);
    // It has not polled since, and knows of nothing.
    drop(a.commit());
    assert_eq!(committed(&store), [(1, 10)].into(), "a commit went backwards");
    assert_eq!(drain(&mut a), []);
    a.commit().unwrap();
    assert_eq!(committed(&store), [(0, 0), (1, 10)].into());
}

#[test]
fn new_partitions_are_shared_out() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    let (mut a, mut b) = (member(&store, "a"), member(&store, "b"));
    assert_eq!((a.assignment().len(), b.assignment().len()), (1, 0));
    store.add_partitions(TOPIC, 4).unwrap();
    (0..4).for_each(|partition| send(&store, partition, 0..3));
    let mut read = drain(&mut a);
    read.extend(drain(&mut b));
    read.sort_unstable();
    assert_eq!(read, (0..4).flat_map(|partition| numbers(partition, 0..3)).collect::<Vec<_>>());
    assert_eq!((a.assignment().len(), b.assignment().len()), (2, 2));
}

#[test]
fn consumers_that_assign_themselves_do_not_disturb_each_other() {
    let dir = fast_dir();
    let store = store(dir.path(), 2);
    (0..2).for_each(|partition| send(&store, partition, 0..4));
    let mut alone = store.consumer_builder().build().unwrap();
    alone.assign([(TOPIC, 1)]).unwrap();
    let mut also = store.consumer_builder().group(GROUP).build().unwrap();
    also.assign([(TOPIC, 1), (TOPIC, 0)]).unwrap();
    assert_eq!(drain(&mut alone), numbers(1, 0..4));
    assert_eq!(drain(&mut also).len(), 8);
    also.commit().unwrap();
    assert_eq!(committed(&store), [(0, 4), (1, 4)].into());
    assert!(store.consumer_builder().build().unwrap().committed((TOPIC, 0)).is_none());
    // A later one of the group begins there, one without a group at the beginning.
    also.assign([(TOPIC, 0)]).unwrap();
    assert_eq!(drain(&mut also), []);
    alone.assign([(TOPIC, 0)]).unwrap();
    assert_eq!(drain(&mut alone), numbers(0, 0..4));
    // A refused assignment changes nothing.
    assert!(alone.assign([(TOPIC, 1), (TOPIC, 9)]).is_err());
    assert_eq!(alone.assignment(), [place(0)]);
    // From assigned to subscribed and back.
    also.subscribe([TOPIC]).unwrap();
    assert_eq!(also.assignment(), [place(0), place(1)]);
    also.assign([(TOPIC, 1)]).unwrap();
    assert_eq!(member(&store, "a").assignment().len(), 2, "it is a member no more");
}
