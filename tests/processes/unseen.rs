//! A process that cannot see what the owner shows: it says so, and takes nothing for an answer.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use annals::{Error, PartitionView, Query, Record, Result, StartFrom, Store, TopicConfig, TopicView};

use crate::common::{by_hand, fast_dir};
use crate::groups;
use crate::hooked::{Hook, Hooked};
use crate::world::{ORDERS, attach_hooked, attach_on, owned};

const EVENTS: &str = "events";
const COUNT: i64 = 20;

/// A call, and how much it has found.
type Call = (&'static str, fn(&TopicView, &PartitionView) -> Result<usize>);

/// Each is to find all of what is asked for, or to say that it cannot see.
const CALLS: [Call; 10] = [
    ("get", |topic, _| Ok(topic.get("key")?.iter().count() * 20)),
    ("version", |topic, _| Ok(topic.stream("key")?.version()?.iter().count() * 20)),
    ("backwards", |topic, _| count(topic.stream("key")?.backwards()?)),
    ("read", |topic, _| count(topic.stream("key")?.read(..)?)),
    ("read from", |topic, _| Ok(count(topic.stream("key")?.read(5..)?)? + 5)),
    ("select of all partitions", |topic, _| count(topic.select(&Query::of_type("placed"))?)),
    ("select", |_, partition| count(partition.select(&Query::of_type("placed"), ..)?)),
    ("select backwards", |_, partition| count(partition.select_backwards(&Query::of_type("placed"))?)),
    ("read of the partition", |_, partition| Ok(count(partition.read(5..)?)? + 5)),
    ("latest", |topic, _| Ok(count(topic.latest())? * 20)),
];

fn count<T>(events: impl IntoIterator<Item = Result<T>>) -> Result<usize> {
    events.into_iter().try_fold(0, |count, event| event.map(|_| count + 1))
}

/// For longer than one look tries it again, and shorter than two do.
const UNSEEN: Duration = Duration::from_millis(150);

/// The table of a partition cannot be read for so long, from the first time on.
fn hide(hooked: &Hooked, unseen: Duration) {
    let mut first = None;
    hooked.at_open(move |path| {
        if !path.ends_with("annals.state") {
            return Ok(Hook::Stays);
        }
        let is_over = first.get_or_insert_with(Instant::now).elapsed() > unseen;
        if is_over { Ok(Hook::IsOver) } else { Err(io::Error::from_raw_os_error(5)) }
    });
}

fn write_events(dir: &Path) -> Store {
    let store = by_hand(dir).open().unwrap();
    let topic = store.create_topic(EVENTS, TopicConfig::new().key_index(true)).unwrap();
    let event = Record::new().header("type", "placed").value("2 apples");
    for _ in 0..COUNT {
        topic.append_to("key", annals::Expected::Any, std::slice::from_ref(&event)).unwrap();
    }
    store
}

#[test]
fn a_call_that_could_not_look_says_so_and_finds_nothing_missing() {
    let dir = fast_dir();
    let _store = write_events(dir.path());
    for (what, call) in CALLS {
        let (hooked, reader) = attach_hooked(dir.path());
        let seen = reader.topic(EVENTS).unwrap();
        let partition = seen.partition(0).unwrap();
        hide(&hooked, UNSEEN);
        match call(&seen, &partition) {
            Ok(found) => assert_eq!(i64::try_from(found).unwrap(), COUNT, "{what}"),
            Err(Error::Io { source, .. }) => assert_eq!(source.raw_os_error(), Some(5), "{what}"),
            Err(error) => panic!("{what}: {error}"),
        }
        thread::sleep(UNSEEN);
        assert_eq!(i64::try_from(call(&seen, &partition).unwrap()).unwrap(), COUNT, "{what}, when it sees");
    }
}

/// Where the end cannot be seen it is not taken for the beginning.
#[test]
fn a_consumer_that_begins_at_the_end_begins_at_no_other_place_where_it_cannot_see() {
    let dir = fast_dir();
    let store = write_events(dir.path());
    for seeks in [false, true] {
        let (hooked, reader) = attach_hooked(dir.path());
        let mut consumer = reader.consumer_builder().start_from(StartFrom::Latest).build().unwrap();
        consumer.assign([(EVENTS, 0)]).unwrap();
        hide(&hooked, UNSEEN * 2);
        if seeks {
            while consumer.seek_to_time(i64::MAX).is_err() {}
        }
        let begin = Instant::now();
        while begin.elapsed() < UNSEEN * 3 {
            if let Ok(records) = consumer.poll(Duration::ZERO) {
                assert_eq!(records.len(), 0, "it has sought: {seeks}");
            }
        }
        store.producer().send(Record::to(EVENTS)).unwrap();
        assert_eq!(consumer.poll(Duration::from_secs(10)).unwrap().len(), 1);
    }
}

/// It was refused as a whole, again and again.
#[test]
fn one_partition_that_cannot_be_seen_kept_a_consumer_elsewhere_from_committing_any_other() {
    for by_a_task in [false, true] {
        let (dir, store) = owned(0);
        groups::send(&store, 2);
        let (hooked, reader) = attach_hooked(dir.path());
        let mut billing = groups::member(reader.consumer_builder()).unwrap();
        assert_eq!(groups::read(&mut billing), 2);
        // Whoever looks at it next has to read its table.
        store.topic(ORDERS).unwrap().partition(0).unwrap().delete_records(1).unwrap();
        hooked.at_open(|path| match path.ends_with("orders-0/annals.state") {
            true => Err(io::Error::from_raw_os_error(5)),
            false => Ok(Hook::Stays),
        });
        let is_told = |outcome: Result<()>| assert!(matches!(outcome, Err(Error::Io { .. })), "{outcome:?}");
        is_told(billing.commit_offsets([((ORDERS, 1).into(), 1), ((ORDERS, 0).into(), 1)]));
        assert!(store.committed("billing").is_empty(), "given offsets are one commit");
        is_told(if by_a_task { smol::block_on(billing.commit_async()) } else { billing.commit() });
        let committed: Vec<_> = store.committed("billing").into_keys().collect();
        assert_eq!(committed, [(ORDERS, 1).into()], "by a task: {by_a_task}");
        hooked.at_open(|_| Ok(Hook::IsOver));
        billing.commit().unwrap();
        assert_eq!(store.committed("billing").len(), 2);
    }
}

#[test]
fn tasks_are_woken_after_a_panic_of_the_file_system_on_the_thread_that_listens() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic(EVENTS, TopicConfig::new()).unwrap();
    let (hooked, panics) = (Hooked::new(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&panics);
    hooked.at_look_for_lock(move || {
        if thread::current().name() == Some("annals-listens") && counted.fetch_add(1, Ordering::SeqCst) < 2 {
            panic!("the file system panics");
        }
    });
    let reader = attach_on(dir.path(), hooked.files());
    let partition = reader.topic(EVENTS).unwrap().partition(0).unwrap();
    let woken = Arc::new(Mutex::new(0));
    let task = thread::spawn({
        let woken = Arc::clone(&woken);
        move || {
            let mut records = partition.read_from(0).unwrap();
            while *woken.lock().unwrap() < 2 {
                let next = smol::block_on(records.next()).unwrap();
                *woken.lock().unwrap() += next.map_or(0, |records| records.len());
            }
        }
    });
    let begin = Instant::now();
    let in_time = || {
        thread::sleep(Duration::from_millis(5));
        begin.elapsed() < Duration::from_secs(20)
    };
    for sent in 1..=2 {
        // It has waited for a while, and asked whether the owner lives.
        while panics.load(Ordering::SeqCst) < sent && in_time() {}
        store.producer().send(Record::to(EVENTS)).unwrap();
        while *woken.lock().unwrap() < sent && in_time() {}
        assert_eq!(*woken.lock().unwrap(), sent, "{} panics", panics.load(Ordering::SeqCst));
    }
    task.join().unwrap();
}
