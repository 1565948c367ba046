//! Queues seen from outside: what is written of them, beside whoever works on them.

use std::sync::Arc;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{Record, Store, StoreReader, TopicConfig};
use annals_testing::Random;

use crate::common::{by_hand, fast_dir};

/// Topic, group, and whose letters.
type Name = (String, String, Option<String>);

/// What both say of each queue, and what only one of them can. Where letters are sent back, queues of other groups pass over them.
fn compare(store: &Store, reader: &StoreReader, (passed_over, what): (bool, &str)) {
    let (inner, outer) = (store.stats().unwrap().queues, reader.stats().unwrap().queues);
    let name = |topic: &str, group: &str, letters_of: &Option<String>| {
        (topic.to_owned(), group.to_owned(), letters_of.clone())
    };
    let own: Vec<_> = inner
        .iter()
        .map(|one| {
            let unfinished = one.waiting + one.locked + one.delayed;
            (name(&one.topic, &one.group, &one.letters_of), unfinished, one.oldest_age)
        })
        .collect();
    let seen: Vec<_> = outer
        .iter()
        .map(|one| (name(&one.topic, &one.group, &one.letters_of), one.unfinished, one.oldest_age))
        .collect();
    let names =
        |all: &[(Name, u64, Option<Duration>)]| all.iter().map(|one| one.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&seen), names(&own), "{what}");
    for (seen, own) in seen.iter().zip(&own) {
        // To the owner they are messages until a worker has come to them.
        let passed = if passed_over { own.1.saturating_sub(40) } else { own.1 };
        assert!((passed..=own.1).contains(&seen.1), "{what}: {seen:?}, {own:?}");
        assert!(passed_over || seen.2 == own.2, "{what}: {seen:?}, {own:?}");
    }
    for (one, own) in outer.iter().zip(&inner) {
        let out = own.locked + own.delayed;
        assert!((out..=one.unfinished).contains(&one.handed_out), "{what}: {one:?}, {own:?}");
    }
}

/// Does something with a queue, and with what it has taken.
fn work(store: &Store, clock: &ManualClock, (random, sends_back): (&mut Random, bool)) {
    let topic = if random.one_in(3) { "mails" } else { "orders" };
    for _ in 0..random.below(5) {
        store.producer().send(Record::to(topic).value("x")).unwrap();
    }
    let group = if random.one_in(2) { "a" } else { "b" };
    let mut worker = store.queue_builder(topic, group).delivery_limit(3).build().unwrap();
    let most = 1 + usize::try_from(random.below(4)).unwrap();
    for message in worker.take(most, Duration::ZERO).unwrap() {
        match random.below(6) {
            0 | 1 => message.ack().unwrap(),
            2 => message.reject("no").unwrap(),
            3 => message.release(Duration::from_secs(5)).unwrap(),
            4 => message.put_back().unwrap(),
            _ => drop(message),
        }
    }
    clock.advance(Duration::from_millis(random.below(3000)));
    match random.below(8) {
        0 => store.maintain().unwrap(),
        1 => drop(store.drop_done("mails").unwrap()),
        2 if sends_back => _ = store.dead_letters(topic, group).unwrap().redrive(1).unwrap(),
        _ => {}
    }
}

#[test]
fn a_reader_sees_of_queues_what_is_written_of_them() {
    for seed in 0..4 {
        let (dir, clock) = (fast_dir(), Arc::new(ManualClock::at(1_000_000)));
        let (mut random, sends_back) = (Random::new(seed), seed % 2 == 1);
        let builder = || by_hand(dir.path()).clock(Arc::clone(&clock) as _);
        let mut store = builder().open().unwrap();
        store.create_topic("orders", TopicConfig::new().partitions(3)).unwrap();
        store.create_topic("mails", TopicConfig::new().retention_until_consumed()).unwrap();
        // More than are looked at one by one.
        for _ in 0..if seed == 0 { 1200 } else { 0 } {
            store.producer().send(Record::to("mails").value("x")).unwrap();
        }
        let reader = Store::builder(dir.path()).clock(Arc::clone(&clock) as _).attach().unwrap();
        assert!(reader.stats().unwrap().queues.is_empty());
        for step in 0..80 {
            work(&store, &clock, (&mut random, sends_back));
            compare(&store, &reader, (sends_back, &format!("seed {seed}, step {step}")));
            if random.one_in(30) {
                store.close().unwrap();
                let read_only = Store::builder(dir.path()).clock(Arc::clone(&clock) as _).open_read_only();
                let (closed, read_only) = (reader.stats().unwrap().queues, read_only.unwrap());
                assert_eq!(read_only.stats().unwrap().queues, closed, "seed {seed}, step {step}");
                drop(read_only);
                store = builder().open().unwrap();
            }
        }
        store.delete_topic("orders").unwrap();
        compare(&store, &reader, (sends_back, "a topic is gone"));
        store.delete_group("a").unwrap();
        compare(&store, &reader, (sends_back, "a group is forgotten"));
    }
}

/// The oldest of what was written of states is deleted when there is much of it, after it was written anew.
#[test]
fn a_reader_goes_on_where_states_were_pruned() {
    let (dir, clock) = (fast_dir(), Arc::new(ManualClock::at(1_000_000)));
    let store = by_hand(dir.path()).clock(Arc::clone(&clock) as _).open().unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    (0..5).for_each(|_| _ = store.producer().send(Record::to("orders").value("x")).unwrap());
    let attach = || Store::builder(dir.path()).clock(Arc::clone(&clock) as _).attach().unwrap();
    let reader = attach();
    let mut idle = store.queue("orders", "idle").unwrap();
    idle.take(3, Duration::ZERO).unwrap().ack().unwrap();
    let mut worker = store.queue_builder("orders", "b").delivery_limit(u16::MAX).build().unwrap();
    let start = || store.topic("__share_group_state").unwrap().partition(0).unwrap().start();
    let unfinished = |reader: &StoreReader| {
        reader.stats().unwrap().queues.iter().map(|one| one.unfinished).collect::<Vec<_>>()
    };
    while start() == 0 {
        assert_eq!(unfinished(&reader), [5, 2]);
        for _ in 0..5000 {
            worker.take(1, Duration::ZERO).unwrap().into_iter().for_each(|one| one.put_back().unwrap());
        }
        store.maintain().unwrap();
    }
    worker.take(1, Duration::ZERO).unwrap().ack().unwrap();
    assert_eq!((unfinished(&reader), unfinished(&attach())), (vec![4, 2], vec![4, 2]));
}
