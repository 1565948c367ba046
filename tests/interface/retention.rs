//! Retention through the public API: what goes, what stays, and what readers see of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![expect(clippy::disallowed_methods, reason = "a test looks at the files from outside")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use annals::io::{Clock, ManualClock};
use annals::{
    CleanupPolicy, Durability, Error, Record, StartFrom, Store, Topic, TopicConfig, WhenFull,
    report::RemovalReason,
};

const DAY: Duration = Duration::from_secs(86_400);
const DAY_MS: i64 = 86_400_000;
/// 2024-01-01, far from zero so that subtraction is no accident.
const NOW: i64 = 1_704_067_200_000;

struct Fixture {
    _dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    store: Store,
    topic: Topic,
}

fn fixture(config: TopicConfig) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(NOW));
    let store = Store::builder(dir.path()).clock(clock.clone()).maintain_by_hand().open().unwrap();
    let config = config.segment_bytes(1000).message_timestamp_after_max(Duration::from_secs(u64::MAX / 4000));
    let topic = store.create_topic("clicks", config).unwrap();
    Fixture { _dir: dir, clock, store, topic }
}

impl Fixture {
    /// One batch of about 150 bytes, so that a segment takes six.
    fn send(&self, timestamp: i64) -> i64 {
        let partition = self.topic.partition(0).unwrap();
        let value = [b'x'; 75];
        let sent = partition.append(&[Record::new().value(&value).timestamp(timestamp)], Durability::Os);
        sent.unwrap().first_offset
    }

    fn send_many(&self, timestamps: impl IntoIterator<Item = i64>) {
        timestamps.into_iter().for_each(|timestamp| _ = self.send(timestamp));
    }

    fn start(&self) -> i64 {
        self.topic.partition(0).unwrap().start()
    }
}

#[test]
fn records_older_than_the_limit_go_by_whole_segments() {
    let f = fixture(TopicConfig::new().retention(DAY));
    for n in 0..30 {
        f.clock.set(NOW + n);
        f.send(NOW + n);
    }
    assert!(f.store.apply_retention().unwrap().is_empty(), "nothing is old yet");
    f.clock.set(NOW + 15 + DAY_MS);
    let reports = f.store.apply_retention().unwrap();
    let removed = &reports[0].removed;
    assert!(removed.iter().all(|segment| segment.reason == RemovalReason::Age), "{removed:?}");
    // Segments whose latest record is from before NOW + 15: equal is kept.
    assert!((10..=15).contains(&f.start()), "{}", f.start());
    assert_eq!(f.start(), removed.last().unwrap().next_offset);
    f.clock.advance(DAY);
    f.store.apply_retention().unwrap();
    assert_eq!((f.start(), f.topic.partition(0).unwrap().end()), (30, 30), "the active segment goes too");
    assert_eq!(f.send(NOW + 2 * DAY_MS), 30, "offsets go on");
}

#[test]
fn a_stamp_from_the_future_pins_its_segment_no_longer_than_one_of_its_day() {
    let f = fixture(TopicConfig::new().retention(DAY));
    f.send(NOW + 1000 * DAY_MS);
    f.send_many((0..20).map(|n| NOW + n));
    f.clock.advance(2 * DAY);
    f.store.apply_retention().unwrap();
    assert_eq!(f.start(), 21);
}

#[test]
fn times_out_of_order_keep_a_segment_as_long_as_its_youngest_record() {
    let f = fixture(TopicConfig::new().retention(DAY));
    // The first segment has one young record among old ones; what lies behind it is old but may not go before it.
    f.send_many([NOW - 5 * DAY_MS, NOW, NOW - 5 * DAY_MS]);
    f.send_many((0..10).map(|_| NOW - 5 * DAY_MS));
    f.store.apply_retention().unwrap();
    assert_eq!(f.start(), 0);
}

/// One segment. Its time index has an entry at the fourth batch, which is old; the young one behind has none of its own.
fn young_behind_the_last_time_entry() -> Fixture {
    let config = TopicConfig::new().retention(DAY).index_interval_bytes(320);
    let f = fixture(config);
    f.send_many([NOW - 5 * DAY_MS; 4]);
    f.send(NOW);
    f
}

#[test]
fn a_young_record_that_no_time_entry_tells_of_keeps_its_segment() {
    let f = young_behind_the_last_time_entry();
    f.store.apply_retention().unwrap();
    assert_eq!(f.start(), 0);
}

#[test]
fn a_young_record_that_no_time_entry_tells_of_keeps_its_segment_after_a_kill() {
    let Fixture { _dir: dir, clock, store, .. } = young_behind_the_last_time_entry();
    let path = dir.path().join("as it was left");
    let left = path.join("clicks-0");
    std::fs::create_dir_all(&left).unwrap();
    for name in ["annals.topics", "clicks-0/annals.state", "clicks-0/00000000000000000000.log"] {
        std::fs::copy(dir.path().join(name), path.join(name)).unwrap();
    }
    drop(store);
    let store = Store::builder(&path).clock(clock).maintain_by_hand().open().unwrap();
    let partition = store.topic("clicks").unwrap().partition(0).unwrap();
    assert_eq!((partition.start(), partition.end()), (0, 5));
    store.apply_retention().unwrap();
    assert_eq!(partition.start(), 0);
}

#[test]
fn a_clock_that_jumps_deletes_nothing_it_should_not() {
    let f = fixture(TopicConfig::new().retention(DAY));
    f.send_many((0..20).map(|n| NOW + n));
    f.store.apply_retention().unwrap();
    f.clock.set(NOW - 365 * DAY_MS);
    f.store.apply_retention().unwrap();
    assert_eq!(f.start(), 0, "a year back");
    f.clock.set(NOW + 100 * 365 * DAY_MS);
    let reports = f.store.apply_retention().unwrap();
    assert_eq!(f.start(), 0, "a century ahead");
    assert!(reports[0].clock_leapt, "and it is told");
    f.clock.set(NOW + 1000);
    f.store.apply_retention().unwrap();
    assert_eq!(f.start(), 0, "back again");
}

#[test]
fn a_look_at_sizes_does_not_make_a_leap_of_the_clock_believed() {
    let f = fixture(TopicConfig::new().retention(DAY).retention_until_consumed());
    f.send_many((0..20).map(|n| NOW + n));
    f.store.apply_retention().unwrap();
    f.clock.set(NOW + 100 * 365 * DAY_MS);
    let mut consumer = f.store.consumer("reader").unwrap();
    consumer.subscribe(["clicks"]).unwrap();
    consumer.commit_offsets([(("clicks", 0).into(), 1)]).unwrap();
    f.store.apply_retention().unwrap();
    assert_eq!(f.start(), 0);
}

#[test]
fn the_log_ends_within_a_segment_above_the_size_limit() {
    let f = fixture(TopicConfig::new().retention_bytes(3000));
    f.send_many((0..200).map(|n| NOW + n));
    f.store.maintain().unwrap();
    let bytes = f.topic.partition(0).unwrap().bytes();
    assert!((3000..4000).contains(&bytes), "{bytes}");
    let f = fixture(TopicConfig::new().retention_records(50));
    f.send_many((0..200).map(|n| NOW + n));
    let reports = f.topic.apply_retention().unwrap();
    assert!((50..57).contains(&(200 - f.start())), "{}", f.start());
    assert_eq!(reports[0].records(), u64::try_from(f.start()).unwrap());
}

#[test]
fn what_every_group_has_read_goes_and_what_one_has_not_stays() {
    let f = fixture(TopicConfig::new().retention_until_consumed());
    f.send_many((0..100).map(|n| NOW + n));
    f.store.apply_retention().unwrap();
    assert_eq!(f.start(), 0, "no group has read anything");
    let commit = |group: &str, offset: i64| {
        let mut consumer = f.store.consumer(group).unwrap();
        consumer.subscribe(["clicks"]).unwrap();
        consumer.commit_offsets([(("clicks", 0).into(), offset)]).unwrap();
    };
    commit("slow", 50);
    commit("fast", 100);
    assert!((45..=50).contains(&f.start()), "{}", f.start());
    let mut idle = f.store.consumer("idle").unwrap();
    idle.subscribe(["clicks"]).unwrap();
    commit("slow", 100);
    assert!((45..=50).contains(&f.start()), "a third group reads it and has committed nothing");
    drop(idle);
    f.store.apply_retention().unwrap();
    assert_eq!(f.start(), 100);
}

#[test]
fn a_full_queue_errs_drops_or_blocks_as_configured() {
    let limit = |when_full| TopicConfig::new().size_limit(5000, when_full).retention_until_consumed();
    let record = [Record::new().value(&[b'x'; 75]).timestamp(NOW)];

    let f = fixture(limit(WhenFull::Fail));
    let partition = f.topic.partition(0).unwrap();
    let refused = (0..100).find_map(|_| partition.append(&record, Durability::Os).err()).unwrap();
    assert!(matches!(&refused, Error::Full { limit: 5000, bytes, .. } if *bytes > 4800), "{refused}");
    assert!(refused.is_retriable());

    let f = fixture(limit(WhenFull::DropOldest));
    let partition = f.topic.partition(0).unwrap();
    for n in 0..100 {
        assert_eq!(partition.append(&record, Durability::Os).unwrap().first_offset, n);
        assert!(partition.bytes() <= 5000);
    }
    assert!(partition.start() > 50 && partition.bytes() > 3500, "no more than needed went");
    assert!(partition.stats().unwrap().reclaimed_bytes > 5000);

    let f = fixture(limit(WhenFull::Block).size_limit_max_block(Duration::from_secs(20)));
    let partition = f.topic.partition(0).unwrap();
    let mut consumer = f.store.consumer("workers").unwrap();
    consumer.subscribe(["clicks"]).unwrap();
    std::thread::scope(|scope| {
        let producer =
            scope.spawn(|| (0..500).try_for_each(|_| partition.append(&record, Durability::Os).map(drop)));
        let mut read = 0;
        while read < 500 {
            read += consumer.poll(Duration::from_secs(10)).unwrap().len();
            assert!(f.topic.partition(0).unwrap().bytes() <= 5000);
            consumer.commit().unwrap();
        }
        producer.join().unwrap().unwrap();
    });

    let f = fixture(limit(WhenFull::Block).size_limit_max_block(Duration::from_millis(10)));
    let partition = f.topic.partition(0).unwrap();
    let refused = (0..100).find_map(|_| partition.append(&record, Durability::Os).err()).unwrap();
    assert!(matches!(refused, Error::Full { .. }), "nobody made room in time: {refused}");
}

#[test]
fn an_idle_segment_is_sealed_by_wall_clock_so_that_retention_reaches_it() {
    let f = fixture(TopicConfig::new().retention(DAY).segment_age(Duration::from_secs(60)));
    f.send_many([NOW, NOW]);
    f.clock.advance(Duration::from_secs(61));
    f.store.apply_retention().unwrap();
    let logs = std::fs::read_dir(f.store.path().join("clicks-0")).unwrap();
    let logs =
        logs.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "log"));
    assert_eq!(logs.count(), 2, "a new segment was begun");
    assert_eq!(f.start(), 0);
}

#[test]
fn a_reader_in_a_deleted_segment_keeps_what_it_has_and_is_then_told_or_goes_on_at_the_start() {
    for start_from in [StartFrom::Fail, StartFrom::Earliest] {
        let f = fixture(TopicConfig::new().retention_bytes(2000));
        f.send_many((0..100).map(|n| NOW + n));
        let builder = f.store.consumer_builder().max_poll_records(3).start_from(start_from);
        let mut consumer = builder.build().unwrap();
        consumer.assign([("clicks", 0)]).unwrap();
        consumer.seek(("clicks", 0), 0).unwrap();
        let held = consumer.poll(Duration::ZERO).unwrap();
        f.store.apply_retention().unwrap();
        assert!(f.start() > 50);
        assert!(held.iter().all(|record| record.value() == Some(&[b'x'; 75][..])), "still readable");
        match (start_from, consumer.poll(Duration::ZERO)) {
            (StartFrom::Fail, Err(Error::OffsetOutOfRange { requested: 3, start, end: 100, .. })) => {
                assert_eq!(start, f.start());
            }
            (StartFrom::Earliest, Ok(records)) => {
                assert_eq!(records.iter().next().unwrap().offset(), f.start());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn deleted_records_never_come_back() {
    let f = fixture(TopicConfig::new());
    f.send_many((0..100).map(|n| NOW + n));
    let partition = f.topic.partition(0).unwrap();
    let bytes = partition.bytes();
    let deleted = partition.delete_records(55).unwrap();
    assert_eq!((deleted.start, partition.start()), (55, 55));
    assert_eq!(bytes - partition.bytes(), deleted.bytes);
    assert!(matches!(partition.read_from(54), Err(Error::OffsetOutOfRange { start: 55, .. })));
    assert!(matches!(partition.delete_records(101), Err(Error::OffsetOutOfRange { requested: 101, .. })));
    let path = f.store.path().to_path_buf();
    let copy = tempfile::tempdir().unwrap();
    copy_dir(&path, copy.path());
    // The copy is the store as a crash would leave it.
    let reopened = Store::open(copy.path()).unwrap();
    let partition = reopened.topic("clicks").unwrap().partition(0).unwrap();
    assert_eq!((partition.start(), partition.end()), (55, 100));
    let offsets: Vec<_> =
        partition.read(..).unwrap().into_iter().map(|record| record.unwrap().offset).collect();
    assert_eq!(offsets, (55..100).collect::<Vec<_>>());
}

/// A clock at which one thread is stopped.
#[derive(Debug)]
struct Stopping {
    /// What it shows.
    shows: ManualClock,
    /// Who is stopped, at which of its looks at the clock.
    stops: Mutex<Option<(ThreadId, usize)>>,
    looks: AtomicUsize,
    arrived: Mutex<mpsc::Sender<()>>,
    goes_on: Mutex<mpsc::Receiver<()>>,
}

impl Clock for Stopping {
    fn now(&self) -> i64 {
        let stops = *self.stops.lock().unwrap();
        if let Some((thread, nth)) = stops
            && thread == thread::current().id()
            && self.looks.fetch_add(1, Ordering::SeqCst) == nth
        {
            self.arrived.lock().unwrap().send(()).unwrap();
            self.goes_on.lock().unwrap().recv().unwrap();
        }
        self.shows.now()
    }
}

/// `nth`: at which look at the clock the round is stopped. False when it has fewer.
fn alter_while_a_round_is_stopped(nth: usize) -> bool {
    let (arrived, arrival) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel();
    let clock = Arc::new(Stopping {
        shows: ManualClock::at(NOW),
        stops: Mutex::default(),
        looks: AtomicUsize::new(0),
        arrived: Mutex::new(arrived),
        goes_on: Mutex::new(goes_on),
    });
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).clock(clock.clone()).maintain_by_hand().open().unwrap();
    let config = TopicConfig::new().partitions(3).segment_bytes(1000).retention(DAY);
    let topic = store.create_topic("clicks", config).unwrap();
    for _ in 0..30 {
        for partition in topic.partitions() {
            partition.append(&[Record::new().value(&[b'x'; 75])], Durability::Os).unwrap();
        }
    }
    clock.shows.set(NOW + 3 * DAY_MS);
    let (store, topic) = (&store, &topic);
    let starts = || topic.partitions().iter().map(annals::Partition::start).collect::<Vec<_>>();
    thread::scope(|scope| {
        let round = scope.spawn(|| {
            *clock.stops.lock().unwrap() = Some((thread::current().id(), nth));
            store.apply_retention().unwrap();
            // For whoever waits for an arrival.
            _ = clock.arrived.lock().unwrap().send(());
        });
        arrival.recv().unwrap();
        let (done, is_done) = mpsc::channel();
        let altering = scope.spawn(move || {
            store.alter_topic("clicks", TopicConfig::new().set("retention.ms", "-1")).unwrap();
            let kept = starts();
            done.send(()).unwrap();
            kept
        });
        // Where the round holds a lock while it looks at the clock, the settings change after it.
        _ = is_done.recv_timeout(Duration::from_millis(300));
        _ = go_on.send(());
        round.join().unwrap();
        let kept = altering.join().unwrap();
        assert_eq!(starts(), kept, "stopped at look {nth}: what the new settings keep was deleted");
    });
    clock.looks.load(Ordering::SeqCst) > nth
}

#[test]
fn a_round_that_is_under_way_deletes_nothing_by_settings_that_were_replaced() {
    let stops = (0..1000).take_while(|nth| alter_while_a_round_is_stopped(*nth)).count();
    assert!(stops >= 3, "a round looks at the clock for each partition: {stops}");
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

#[test]
fn the_latest_values_hand_out_what_is_left_when_the_start_passes_the_walk() {
    type Removal = fn(&Store, &Topic);
    let removals: [(&str, Removal); 2] = [
        ("delete_records", |_, topic| _ = topic.partition(0).unwrap().delete_records(1990).unwrap()),
        ("retention", |store, _| assert!(!store.apply_retention().unwrap().is_empty())),
    ];
    for (name, removal) in removals {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
        let config = TopicConfig::new().cleanup_policy(CleanupPolicy::CompactDelete);
        let topic = store.create_topic("prices", config.segment_bytes(2000).retention_bytes(3000)).unwrap();
        let producer = store.producer();
        for key in 0..2000_u32 {
            producer.send(Record::to("prices").key(&key.to_be_bytes()).value(&[0; 200])).unwrap();
        }
        let mut latest = topic.latest();
        assert_eq!(latest.next().unwrap().unwrap().offset, 0);
        removal(&store, &topic);
        let start = topic.partition(0).unwrap().start();
        assert!(start > 1900, "{name}: {start}");
        let rest: Vec<_> = latest.map(|record| record.unwrap().offset).collect();
        assert!(rest.ends_with(&(start..2000).collect::<Vec<_>>()), "{name}: {start}, {rest:?}");
    }
}

#[test]
fn a_range_without_a_beginning_goes_on_where_the_log_begins_when_records_are_deleted_beneath_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("orders", TopicConfig::new().segment_bytes(64 << 10)).unwrap();
    let partition = topic.partition(0).unwrap();
    let producer = store.producer();
    for number in 0..3000 {
        producer.send(Record::to("orders").value(&format!("{number}"))).unwrap();
    }
    let mut all = partition.read(..).unwrap().into_iter();
    let mut named = partition.read(0..).unwrap().into_iter();
    let mut sought = partition.read(..).unwrap();
    assert_eq!(all.next().unwrap().unwrap().offset, 0);
    assert_eq!(named.next().unwrap().unwrap().offset, 0);
    partition.delete_records(2000).unwrap();
    let read: Vec<_> = all.map(|record| record.unwrap().offset).collect();
    // What it had copied by then it hands out all the same.
    assert!(read.is_sorted() && read.iter().filter(|offset| **offset >= 2000).copied().eq(2000..3000));
    assert!(!read.contains(&1999));
    let error = named.find_map(Result::err);
    assert!(matches!(error, Some(annals::Error::OffsetOutOfRange { start: 2000, .. })), "{error:?}");
    sought.seek(1000);
    assert!(matches!(sought.fetch(), Err(annals::Error::OffsetOutOfRange { requested: 1000, .. })));
}
