//! What takes effect together, and what does not.

use std::time::Duration;

use annals::{Durability, Error, Expected, Isolation, Record, Store, TopicConfig};

const DURABILITIES: [Durability; 3] = [Durability::Memory, Durability::Os, Durability::Disk];

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for topic in ["debits", "credits"] {
        store.create_topic(topic, TopicConfig::new().partitions(2)).unwrap();
    }
    (dir, store)
}

/// The values in a partition, in order.
pub(super) fn values(store: &Store, topic: &str, number: u32, isolation: Isolation) -> Vec<String> {
    let partition = store.topic(topic).unwrap().partition(number).unwrap();
    let reader = partition.read(..).unwrap().isolation(isolation);
    let value = |record: annals::Result<annals::OwnedRecord>| {
        String::from_utf8(record.unwrap().value.unwrap()).unwrap()
    };
    reader.into_iter().map(value).collect()
}

fn committed(store: &Store, topic: &str) -> Vec<String> {
    (0..2).flat_map(|number| values(store, topic, number, Isolation::ReadCommitted)).collect()
}

#[test]
fn records_in_several_topics_take_effect_together() {
    for durability in DURABILITIES {
        let (_dir, store) = store();
        let mut tx = store.transaction_builder("transfer").durability(durability).begin().unwrap();
        tx.send(Record::to("debits").partition(0).value("alice 5")).unwrap();
        tx.send(Record::to("credits").partition(1).value("bob 5")).unwrap();
        tx.send(Record::to("credits").partition(1).value("bob 6")).unwrap();
        assert!(committed(&store, "debits").is_empty() && committed(&store, "credits").is_empty());
        let placed = tx.commit().unwrap();
        let at: Vec<_> = placed.batches.iter().map(|batch| (batch.first_offset, batch.last_offset)).collect();
        assert_eq!(at.len(), 2);
        assert!(at.contains(&(0, 0)) && at.contains(&(0, 1)));
        assert_eq!(committed(&store, "debits"), ["alice 5"]);
        assert_eq!(committed(&store, "credits"), ["bob 5", "bob 6"]);
        if durability == Durability::Disk {
            let credits = store.topic("credits").unwrap().partition(1).unwrap();
            assert!(credits.durable() >= 2);
        }
        let again = store.producer().send(Record::to("debits").partition(0).value("later")).unwrap();
        assert!(again.offset >= 1);
        assert_eq!(committed(&store, "debits"), ["alice 5", "later"]);
    }
}

#[test]
fn what_is_dropped_or_aborted_leaves_nothing() {
    let (_dir, store) = store();
    let mut tx = store.transaction("transfer").unwrap();
    tx.send(Record::to("debits").partition(0).value("alice 5")).unwrap();
    drop(tx);
    let mut tx = store.transaction("transfer").unwrap();
    tx.send(Record::to("debits").partition(0).value("alice 6")).unwrap();
    tx.abort().unwrap();
    assert_eq!(store.topic("debits").unwrap().partition(0).unwrap().end(), 0, "it was never written");
    assert!(store.transaction("transfer").unwrap().commit().unwrap().batches.is_empty());
}

#[test]
fn records_of_one_partition_need_no_decision_elsewhere() {
    let (_dir, store) = store();
    let mut tx = store.transaction("transfer").unwrap();
    tx.send(Record::to("debits").partition(0).value("alice 5")).unwrap();
    tx.commit().unwrap();
    assert_eq!(committed(&store, "debits"), ["alice 5"]);
    assert!(store.topics().iter().all(|topic| topic.name() != "__transaction_state"));
}

#[test]
fn a_second_one_of_the_name_fences_the_first() {
    let (_dir, store) = store();
    let mut first = store.transaction_builder("transfer").buffer_bytes(0).begin().unwrap();
    first.send(Record::to("debits").partition(0).value("alice 5")).unwrap();
    let debits = store.topic("debits").unwrap().partition(0).unwrap();
    assert_eq!((debits.stable(), debits.end()), (0, 1), "written at once, and not decided");
    let mut second = store.transaction("transfer").unwrap();
    assert_eq!(debits.stable(), debits.end(), "aborted by the second");
    second.send(Record::to("debits").partition(0).value("alice 6")).unwrap();
    let refused = first.send(Record::to("debits").partition(0).value("late"));
    assert!(matches!(refused, Err(Error::Fenced { .. })), "{refused:?}");
    assert!(matches!(first.commit(), Err(Error::Fenced { .. })));
    second.commit().unwrap();
    assert_eq!(committed(&store, "debits"), ["alice 6"]);
    let uncommitted = values(&store, "debits", 0, Isolation::ReadUncommitted);
    assert_eq!(uncommitted, ["alice 5", "alice 6"]);
}

/// Nothing has told it so before.
#[test]
fn the_first_of_a_name_learns_from_its_commit_that_there_is_a_second() {
    for buffer_bytes in [0, 1 << 20] {
        let (_dir, store) = store();
        let mut first = store.transaction_builder("transfer").buffer_bytes(buffer_bytes).begin().unwrap();
        first.send(Record::to("debits").partition(0).value("alice 5")).unwrap();
        let second = store.transaction("transfer").unwrap();
        let committed_first = first.commit();
        assert!(matches!(committed_first, Err(Error::Fenced { .. })), "{committed_first:?}");
        second.commit().unwrap();
        assert_eq!(committed(&store, "debits"), [""; 0]);
    }
}

#[test]
fn what_is_written_before_the_decision_is_seen_after_it() {
    let (_dir, store) = store();
    for ending in ["commit", "abort"] {
        let mut tx = store.transaction_builder("large").buffer_bytes(100).begin().unwrap();
        for number in 0..20 {
            let (topic, value) = (["debits", "credits"][number % 2], format!("{ending} {number}"));
            tx.send(Record::to(topic).partition(0).value(&value)).unwrap();
        }
        assert!(
            values(&store, "debits", 0, Isolation::ReadUncommitted).iter().any(|v| v.starts_with(ending))
        );
        assert!(!committed(&store, "debits").iter().any(|value| value.starts_with(ending)));
        match ending {
            "commit" => assert!(tx.commit().unwrap().batches.len() > 2),
            _ => tx.abort().unwrap(),
        }
        for topic in ["debits", "credits"] {
            let all = committed(&store, topic);
            assert_eq!(all.len(), 10);
            assert!(all.iter().all(|value| value.starts_with("commit")));
        }
    }
}

#[test]
fn conditions_on_several_partitions_hold_all_or_nothing_is_appended() {
    let (_dir, store) = store();
    let partition = |topic: &str| store.topic(topic).unwrap().partition(0).unwrap();
    let (debits, credits) = (partition("debits"), partition("credits"));
    for is_overtaken in [false, true] {
        let (debit, credit) = (debits.end(), credits.end());
        let mut tx = store.transaction("transfer").unwrap();
        tx.expect_end(&debits, debit);
        tx.expect_end(&credits, credit);
        tx.send(Record::to("debits").partition(0).value("alice 5")).unwrap();
        tx.send(Record::to("credits").partition(0).value("bob 5")).unwrap();
        if is_overtaken {
            store.producer().send(Record::to("credits").partition(0).value("carol")).unwrap();
        }
        match tx.commit() {
            Err(Error::UnexpectedEnd { expected, .. }) if is_overtaken => assert_eq!(expected, credit),
            outcome => assert!(outcome.is_ok() && !is_overtaken, "{outcome:?}"),
        }
        assert_eq!(debits.end() == debit, is_overtaken);
    }
    assert_eq!(committed(&store, "credits"), ["bob 5", "carol"]);
    assert_eq!(committed(&store, "debits"), ["alice 5"]);
}

#[test]
fn a_record_that_cannot_be_appended_is_refused_and_the_rest_stands() {
    let (_dir, store) = store();
    store.create_topic("states", TopicConfig::new().cleanup_policy(annals::CleanupPolicy::Compact)).unwrap();
    let mut tx = store.transaction("transfer").unwrap();
    tx.send(Record::to("debits").partition(0).value("alice 5")).unwrap();
    assert!(matches!(tx.send(Record::to("states").value("no key")), Err(Error::KeyRequired { .. })));
    assert!(matches!(tx.send(Record::to("nowhere").value("v")), Err(Error::UnknownTopic { .. })));
    assert!(tx.send(Record::to("__consumer_offsets").value("v")).is_err());
    assert!(tx.send(Record::to("__transaction_state").value("v")).is_err());
    tx.send(Record::to("credits").partition(0).value("bob 5")).unwrap();
    tx.commit().unwrap();
    assert_eq!(
        (committed(&store, "debits"), committed(&store, "credits")),
        (vec!["alice 5".into()], vec!["bob 5".into()])
    );
}

#[test]
fn committed_offsets_take_effect_with_the_records() {
    for durability in DURABILITIES {
        let (_dir, store) = store();
        for number in 0..5 {
            store.producer().send(Record::to("debits").partition(0).value(&format!("{number}"))).unwrap();
        }
        let mut consumer = store.consumer("billing").unwrap();
        consumer.subscribe(["debits"]).unwrap();
        assert_eq!(consumer.poll(Duration::from_secs(5)).unwrap().len(), 5);
        let mut tx = store.transaction_builder("billing").durability(durability).begin().unwrap();
        tx.send(Record::to("credits").partition(0).value("paid")).unwrap();
        tx.commit_offsets(&consumer).unwrap();
        drop(tx);
        assert!(store.committed("billing").is_empty());
        assert_eq!(consumer.poll(Duration::from_secs(5)).unwrap().len(), 5, "they come again");
        let mut tx = store.transaction_builder("billing").durability(durability).begin().unwrap();
        tx.send(Record::to("credits").partition(0).value("paid")).unwrap();
        tx.commit_offsets(&consumer).unwrap();
        tx.commit().unwrap();
        assert_eq!(store.committed("billing")[&("debits", 0).into()].offset, 5);
        assert_eq!(committed(&store, "credits"), ["paid"]);
        consumer.commit().unwrap();
        assert_eq!(store.committed("billing")[&("debits", 0).into()].offset, 5);
    }
}

/// A second poll noticed that the partition was another's, and its records took effect without their offsets: the other one did them again.
#[test]
fn what_was_handed_out_before_a_rebalance_in_the_middle_of_a_transaction_took_effect_without_its_offsets() {
    let poll = |consumer: &mut annals::Consumer| {
        let mut places = Vec::new();
        while let records = consumer.poll(Duration::from_millis(50)).unwrap()
            && !records.is_empty()
        {
            places.extend(records.iter().map(|record| record.partition()));
        }
        places.sort_unstable();
        places
    };
    for is_told_first in [true, false] {
        let (_dir, store) = store();
        for (partition, value) in [(0, "a"), (1, "b")] {
            store.producer().send(Record::to("debits").partition(partition).value(value)).unwrap();
        }
        let mut first = store.consumer("billing").unwrap();
        first.subscribe(["debits"]).unwrap();
        let mut tx = store.transaction("billing").unwrap();
        assert_eq!(poll(&mut first), [0, 1]);
        tx.send(Record::to("credits").partition(0).value("paid")).unwrap();
        if is_told_first {
            tx.commit_offsets(&first).unwrap();
        }
        let mut second = store.consumer("billing").unwrap();
        second.subscribe(["debits"]).unwrap();
        assert!(poll(&mut first).is_empty(), "it notices that one is the second one's");
        tx.commit_offsets(&first).unwrap();
        assert!(matches!(tx.commit(), Err(Error::NotAssigned { .. })));
        assert!(committed(&store, "credits").is_empty() && store.committed("billing").is_empty());
        // Each does what it has now, and nothing is owed any more.
        for member in [&mut first, &mut second] {
            let mut tx = store.transaction("billing").unwrap();
            assert_eq!(poll(member).len(), 1);
            tx.commit_offsets(member).unwrap();
            tx.commit().unwrap();
        }
    }
}

/// A member of the group, which is before those with later names where partitions are shared out.
fn member(store: &Store, name: &str, topics: &[&'static str]) -> annals::Consumer {
    let mut member = store.consumer_builder().group("billing").client_id(name).build().unwrap();
    member.subscribe(topics.iter().copied()).unwrap();
    member
}

/// It had no other partition then, so there was nothing to refuse.
#[test]
fn what_was_handed_out_of_the_only_partition_before_it_was_taken_took_effect_without_its_offsets() {
    let (_dir, store) = store();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    store.producer().send(Record::to("orders").value("a")).unwrap();
    let mut later = member(&store, "b", &["orders"]);
    assert_eq!(later.poll(Duration::from_secs(5)).unwrap().len(), 1);
    let mut tx = store.transaction("later").unwrap();
    tx.send(Record::to("credits").partition(0).value("paid")).unwrap();
    let mut earlier = member(&store, "a", &["orders"]);
    assert!(later.poll(Duration::ZERO).unwrap().is_empty() && later.assignment().is_empty());
    tx.commit_offsets(&later).unwrap();
    let refused = tx.commit().unwrap_err();
    assert!(matches!(refused, Error::NotAssigned { .. }), "{refused:?}");
    assert!(committed(&store, "credits").is_empty());
    // The one whose it is does it, and the other has nothing to do with it any more.
    assert_eq!(earlier.poll(Duration::from_secs(5)).unwrap().len(), 1);
    for consumer in [&mut earlier, &mut later] {
        consumer.poll(Duration::ZERO).unwrap();
        let mut tx = store.transaction("next").unwrap();
        tx.commit_offsets(consumer).unwrap();
        tx.commit().unwrap();
    }
}

/// It was known by its name alone.
#[test]
fn a_partition_that_was_taken_and_then_deleted_refused_the_offsets_of_others_for_its_successor() {
    for is_there_again in [false, true] {
        let (_dir, store) = store();
        store.create_topic("orders", TopicConfig::new()).unwrap();
        for topic in ["orders", "debits"] {
            store.producer().send(Record::to(topic).partition(0).value("a")).unwrap();
        }
        let mut first = member(&store, "b", &["orders", "debits"]);
        let mut polled = 0;
        while polled < 2 {
            polled += first.poll(Duration::from_secs(5)).unwrap().len();
        }
        let _second = member(&store, "a", &["orders"]);
        first.poll(Duration::ZERO).unwrap();
        assert_eq!(first.assignment(), [("debits", 0).into(), ("debits", 1).into()]);
        store.delete_topic("orders").unwrap();
        if is_there_again {
            store.create_topic("orders", TopicConfig::new()).unwrap();
        }
        let mut tx = store.transaction("billing").unwrap();
        tx.commit_offsets(&first).unwrap();
        tx.commit().unwrap();
        assert_eq!(first.committed(("debits", 0)), Some(1));
    }
}

#[test]
fn offsets_of_a_partition_that_another_member_has_are_refused_with_all_the_rest() {
    let (_dir, store) = store();
    store.producer().send(Record::to("debits").partition(0).value("a")).unwrap();
    store.producer().send(Record::to("debits").partition(1).value("b")).unwrap();
    let mut first = store.consumer("billing").unwrap();
    first.subscribe(["debits"]).unwrap();
    while !first.poll(Duration::from_millis(50)).unwrap().is_empty() {}
    let mut second = store.consumer("billing").unwrap();
    second.subscribe(["debits"]).unwrap();
    let mut tx = store.transaction("billing").unwrap();
    tx.send(Record::to("credits").partition(0).value("paid")).unwrap();
    tx.commit_offsets(&first).unwrap();
    assert!(matches!(tx.commit(), Err(Error::NotAssigned { .. })));
    assert!(committed(&store, "credits").is_empty() && store.committed("billing").is_empty());
}

#[test]
fn many_threads_and_names_at_once() {
    let (_dir, store) = store();
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..50 {
                    let mut tx = store.transaction(&format!("thread {thread}")).unwrap();
                    let value = format!("{thread} {number}");
                    let topics = if thread % 2 == 0 { ["debits", "credits"] } else { ["credits", "debits"] };
                    for topic in topics {
                        tx.send(Record::to(topic).partition(0).value(&value)).unwrap();
                    }
                    if number % 5 == 4 { drop(tx) } else { drop(tx.commit().unwrap()) }
                }
            });
        }
    });
    let mut debits = committed(&store, "debits");
    let mut credits = committed(&store, "credits");
    debits.sort();
    credits.sort();
    assert_eq!((debits.len(), debits), (160, credits));
}

#[test]
fn a_partition_of_another_store_is_not_told_to_be_deleted() {
    let ((_dir, store), (_other_dir, other)) = (self::store(), self::store());
    other.create_topic("elsewhere", TopicConfig::new()).unwrap();
    let sensor = store.named_producer("sensor").unwrap();
    for topic in ["debits", "elsewhere"] {
        let partition = other.topic(topic).unwrap().partition(0).unwrap();
        let mut tx = store.transaction("name").unwrap();
        tx.send(Record::to("credits").value("refused")).unwrap();
        tx.expect_end(&partition, 0);
        let refused = tx.commit().unwrap_err();
        assert!(matches!(refused, Error::InvalidArgument { .. }), "{refused:?}");
        assert!(refused.to_string().contains("of another store"), "{refused}");
        let refused = sensor.append(&partition, 0, &[Record::new()], Durability::Os).unwrap_err();
        assert!(matches!(refused, Error::InvalidArgument { .. }), "{refused:?}");
    }
    let gone = store.topic("debits").unwrap().partition(0).unwrap();
    store.delete_topic("debits").unwrap();
    store.create_topic("debits", TopicConfig::new()).unwrap();
    let mut tx = store.transaction("name").unwrap();
    tx.send(Record::to("credits").value("refused")).unwrap();
    tx.expect_end(&gone, 0);
    let refused = tx.commit().unwrap_err();
    assert!(matches!(refused, Error::UnknownTopic { was_deleted: true, .. }), "{refused:?}");
    assert!(committed(&store, "credits").is_empty());
}

#[test]
fn what_stands_behind_anothers_open_transaction_is_seen_by_guards_and_not_by_readers() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let table = store.create_topic("table", TopicConfig::new().key_index(true)).unwrap();
    let row = |value: &'static str| [Record::new().value(value)];
    let first = table.append_to("mine", Expected::NoStream, &row("1")).unwrap().last_offset;
    let mut other = store.transaction_builder("other").buffer_bytes(0).begin().unwrap();
    other.send(Record::to("table").key("other").value("x")).unwrap();
    let mut own = store.transaction("own").unwrap();
    own.send(Record::to("table").key("mine").value("2")).unwrap();
    let placed = own.commit().unwrap().batches[0].last_offset;

    let stream = table.stream("mine").unwrap();
    assert_eq!(stream.version().unwrap(), Some(first), "the own commit is not seen yet");
    assert_eq!(table.get("mine").unwrap().map(|row| row.offset), Some(first));
    assert_eq!(table.latest().map(|row| row.unwrap().offset).collect::<Vec<_>>(), [first]);
    let again = table.append_to("mine", Expected::Version(first), &row("3"));
    assert!(again.unwrap_err().is_conflict(), "and yet nothing is overwritten");
    table.append_to("mine", Expected::Version(placed), &row("3")).unwrap();
    let mut late = store.transaction("late").unwrap();
    late.expect_end(&table.partition(0).unwrap(), table.partition(0).unwrap().stable());
    late.send(Record::to("table").key("mine").value("4")).unwrap();
    assert!(late.commit().unwrap_err().is_conflict());
    drop(other);
    assert_eq!(
        stream.version().unwrap(),
        Some(table.partition(0).unwrap().end() - 2),
        "the abort has an end, too"
    );
}
