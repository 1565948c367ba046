//! A consumer that turns to other partitions in the middle of a transaction.

use std::time::Duration;

use annals::{Consumer, Error, Record, Store, TopicConfig};

const WAIT: Duration = Duration::from_secs(5);

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    for topic in ["others", "invoices"] {
        store.create_topic(topic, TopicConfig::new()).unwrap();
    }
    for value in ["2 apples", "1 pear"] {
        store.producer().send(Record::to("orders").partition(0).value(value)).unwrap();
    }
    (dir, store)
}

/// Reads one record at a time.
fn consumer(store: &Store) -> Consumer {
    store.consumer_builder().group("billing").max_poll_records(1).build().unwrap()
}

fn poll(consumer: &mut Consumer) {
    assert_eq!(consumer.poll(WAIT).unwrap().len(), 1);
}

fn invoices(store: &Store) -> usize {
    store.topic("invoices").unwrap().partition(0).unwrap().read(..).unwrap().into_iter().count()
}

type Turn = (&'static str, fn(&mut Consumer));

const TURNS: [Turn; 4] = [
    ("unsubscribe", Consumer::unsubscribe),
    ("assign", |consumer| consumer.assign([("orders", 1)]).unwrap()),
    ("unsubscribe and assign", |consumer| {
        consumer.unsubscribe();
        consumer.assign([("orders", 1)]).unwrap();
    }),
    ("subscribe", |consumer| consumer.subscribe(["others"]).unwrap()),
];

#[test]
fn what_was_handed_out_before_a_consumer_turned_to_something_else_took_effect_without_its_offsets() {
    for (assigns, is_told_first) in [(false, false), (false, true), (true, false), (true, true)] {
        for (turn, act) in TURNS {
            let what = format!("{turn}, assigns: {assigns}, told first: {is_told_first}");
            let (_dir, store) = store();
            let mut billing = consumer(&store);
            match assigns {
                true => billing.assign([("orders", 0)]).unwrap(),
                false => billing.subscribe(["orders"]).unwrap(),
            }
            poll(&mut billing);
            let mut tx = store.transaction("billing").unwrap();
            tx.send(Record::to("invoices").value("12.50")).unwrap();
            if is_told_first {
                tx.commit_offsets(&billing).unwrap();
            }
            act(&mut billing);
            assert!(billing.poll(Duration::ZERO).unwrap().is_empty());
            tx.commit_offsets(&billing).unwrap();
            match tx.commit() {
                Err(Error::NotAssigned { partition, member, .. }) => {
                    assert_eq!((partition, &*member), (("orders", 0).into(), billing.member_id()), "{what}");
                }
                other => panic!("{what}: {other:?}"),
            }
            assert!(invoices(&store) == 0 && store.committed("billing").is_empty(), "{what}");
            // It comes again, and nothing is owed any more.
            billing.assign([("orders", 0)]).unwrap();
            poll(&mut billing);
            let mut tx = store.transaction("billing").unwrap();
            tx.send(Record::to("invoices").value("12.50")).unwrap();
            tx.commit_offsets(&billing).unwrap();
            tx.commit().unwrap();
            assert_eq!((invoices(&store), billing.committed(("orders", 0))), (1, Some(1)), "{what}");
        }
    }
}

/// Neither before the transaction is committed that has its position nor after it.
#[test]
fn a_partition_that_was_let_go_is_owed_as_far_as_no_transaction_has_committed_it() {
    for (is_committed_first, reads_on) in [(true, false), (false, false), (true, true), (false, true)] {
        let (_dir, store) = store();
        let mut billing = consumer(&store);
        billing.assign([("orders", 0)]).unwrap();
        poll(&mut billing);
        let mut tx = store.transaction("billing").unwrap();
        tx.commit_offsets(&billing).unwrap();
        if reads_on {
            poll(&mut billing);
        }
        if is_committed_first {
            tx.commit().unwrap();
            billing.unsubscribe();
        } else {
            billing.unsubscribe();
            tx.commit().unwrap();
        }
        billing.assign([("orders", 1)]).unwrap();
        let mut next = store.transaction("next").unwrap();
        next.commit_offsets(&billing).unwrap();
        let outcome = next.commit();
        assert_eq!(outcome.is_ok(), !reads_on, "committed first: {is_committed_first}: {outcome:?}");
        // Who commits by hand takes all of it for done.
        billing.poll(Duration::ZERO).unwrap();
        billing.commit().unwrap();
        let mut last = store.transaction("last").unwrap();
        last.commit_offsets(&billing).unwrap();
        last.commit().unwrap();
    }
}

/// It was read once more since, from another place: what the transaction had was the first time.
#[test]
fn what_was_read_again_of_a_partition_that_was_let_go_twice_is_owed() {
    let (_dir, store) = store();
    let mut billing = consumer(&store);
    billing.assign([("orders", 0)]).unwrap();
    poll(&mut billing);
    let mut tx = store.transaction("billing").unwrap();
    tx.commit_offsets(&billing).unwrap();
    billing.unsubscribe();
    billing.assign([("orders", 0)]).unwrap();
    poll(&mut billing);
    billing.unsubscribe();
    tx.commit().unwrap();
    let mut next = store.transaction("next").unwrap();
    next.commit_offsets(&billing).unwrap();
    assert!(matches!(next.commit(), Err(Error::NotAssigned { .. })));
}
