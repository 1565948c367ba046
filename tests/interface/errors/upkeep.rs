//! One failure in the upkeep of a partition keeps nothing else from being done: what expired goes, files go, compaction runs.

use annals::Partition;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTES_50: Duration = Duration::from_secs(3000);

struct Kept {
    dir: tempfile::TempDir,
    files: Arc<FaultyFileSystem>,
    clock: Arc<ManualClock>,
    store: Store,
    partition: Partition,
}

impl Kept {
    /// Twenty records of two keys, three in a segment.
    fn new(config: TopicConfig) -> Self {
        let dir = crate::common::fast_dir();
        let (files, clock) = (FaultyFileSystem::new(), Arc::new(ManualClock::at(1_704_067_200_000)));
        let store = on_faulty(dir.path(), &files).clock(Arc::clone(&clock) as _).open().expect("a new store");
        let config = config.segment_bytes(1250).segment_age(HOUR).min_cleanable_dirty_ratio(0.0);
        let partition = store.create_topic(TOPIC, config).expect("a topic").partition(0).expect("one");
        let kept = Self { dir, files, clock, store, partition };
        kept.append(20);
        kept
    }

    fn append(&self, count: i64) {
        let end = self.partition.end();
        for number in end..end + count {
            let key = if number % 2 == 0 { "a" } else { "b" };
            let record = Record::new().key(key).value(&[7; 300]);
            self.partition.append(&[record], Durability::Os).expect("an append");
        }
    }

    /// Where its segments on the disk begin.
    fn logs(&self) -> Vec<i64> {
        let base = |path: std::path::PathBuf| path.file_stem()?.to_str()?.parse().ok();
        files_of(self.dir.path(), "orders-0", ".log").into_iter().filter_map(base).collect()
    }

    /// No segment can be begun behind the last record.
    fn fill_up(&self) {
        let next = format!("{:020}.log", self.partition.end());
        self.files.fail(&[Call::Create], &next, (0, Times::ForEver), Fault::Error(ENOSPC));
    }

    fn keep_file(&self, base: i64) {
        let file = format!("{base:020}.log");
        self.files.fail(&[Call::Remove], &file, (0, Times::ForEver), Fault::Error(EIO));
    }

    fn failing(&self) -> Vec<u32> {
        let failures = self.store.stats().expect("stats").maintenance_failures;
        failures.iter().map(|one| one.failures).collect()
    }
}

#[test]
fn a_roll_that_has_no_room_keeps_no_expired_segment() {
    for (by_maintenance, is_young) in [(false, false), (false, true), (true, false), (true, true)] {
        let kept = Kept::new(TopicConfig::new().retention(HOUR));
        let active = kept.logs().into_iter().max().expect("a segment");
        kept.clock.advance(MINUTES_50);
        if is_young {
            kept.append(1);
        }
        let end = kept.partition.end();
        kept.clock.advance(MINUTES_50);
        kept.fill_up();
        let outcome =
            if by_maintenance { kept.store.maintain() } else { kept.store.apply_retention().map(drop) };
        assert!(outcome.expect_err("it did not roll").is_disk_full());
        assert_eq!((kept.partition.start(), kept.logs()), (active, vec![active]), "young: {is_young}");
        kept.files.heal();
        kept.store.maintain().expect("there is room");
        let (start, logs) = if is_young { (active, vec![active, end]) } else { (end, vec![end]) };
        assert_eq!((kept.partition.start(), kept.logs()), (start, logs));
        assert_eq!(kept.failing(), [0; 0]);
    }
}

#[test]
fn a_roll_that_has_no_room_keeps_nothing_from_compaction() {
    let kept = Kept::new(TopicConfig::new().cleanup_policy(CleanupPolicy::Compact));
    kept.clock.advance(2 * HOUR);
    kept.fill_up();
    assert!(kept.store.maintain().expect_err("it did not roll").is_disk_full());
    let left = records(&kept.partition).len();
    assert!(left < 8, "{left} are left");
}

#[test]
fn a_file_that_cannot_be_removed_keeps_no_other_on_the_disk() {
    let kept = Kept::new(TopicConfig::new());
    kept.store.maintain().expect("nothing is owed");
    kept.keep_file(0);
    for count in [20, 40, 60] {
        assert!(!kept.partition.delete_records(kept.partition.end()).expect("a deletion").is_freed);
        assert_eq!(kept.logs(), [0, count]);
        kept.store.maintain().expect_err("one stays");
        kept.append(20);
    }
    assert_eq!(kept.failing(), [3]);
}

/// What it has left goes with the first append, and what does not go then is owed.
#[test]
fn a_file_that_cannot_be_removed_keeps_no_other_in_the_next_life() {
    for is_listed in [true, false] {
        let kept = Kept::new(TopicConfig::new());
        let first = files_of(kept.dir.path(), "orders-0", ".log")[0].clone();
        let bytes = std::fs::read(&first).expect("a segment");
        if is_listed {
            kept.logs().into_iter().for_each(|base| kept.keep_file(base));
        }
        let deleted = kept.partition.delete_records(kept.partition.end()).expect("a deletion");
        assert_eq!(deleted.is_freed, !is_listed);
        let copy = crate::common::fast_dir();
        if is_listed {
            kill_and_copy(kept.store, kept.dir.path(), copy.path());
        } else {
            kept.store.close().expect("a close");
            std::fs::write(first, bytes).expect("as a power cut may bring it back");
            copy_dir(kept.dir.path(), copy.path());
        }
        let logs = || files_of(copy.path(), "orders-0", ".log").len();
        kept.files.heal();
        let store = on_faulty(copy.path(), &kept.files).open().expect("it opens");
        kept.files.fail(&[Call::Remove], "/00000000000000000000.log", (0, Times::ForEver), Fault::Error(EIO));
        assert_eq!(store.maintain().is_err(), is_listed);
        store.producer().send(Record::to(TOPIC).value("x")).expect("a send");
        assert_eq!(logs(), 2);
        kept.files.heal();
        store.maintain().expect("it can be removed");
        assert_eq!(logs(), 1, "listed: {is_listed}");
    }
}

#[test]
fn a_file_that_cannot_be_removed_keeps_nothing_from_compaction() {
    let kept = Kept::new(TopicConfig::new().cleanup_policy(CleanupPolicy::Compact));
    let second = kept.logs()[1];
    kept.keep_file(0);
    assert!(!kept.partition.delete_records(second).expect("a deletion").is_freed);
    // However long it has failed: what waits longer each time is its own.
    for round in 1..8 {
        kept.store.maintain().expect_err("a file stays");
        assert_eq!(kept.failing(), [round]);
        let left = records(&kept.partition).len();
        assert!(left < 8, "{left} are left in round {round}");
        kept.append(20);
    }
}

#[test]
fn a_file_of_a_deleted_topic_that_cannot_be_removed_keeps_no_other_of_its_partition() {
    let kept = Kept::new(TopicConfig::new());
    let before = kept.logs().len();
    kept.keep_file(3);
    kept.store.delete_topic(TOPIC).expect("it is gone");
    assert!(before > 5);
    assert_eq!(kept.logs(), [3]);
    assert_eq!(files_of(kept.dir.path(), "orders-0", "").len(), 2, "it says yet whose it is");
    kept.files.heal();
    kept.store.maintain().expect("it can be removed");
    assert!(!kept.dir.path().join("orders-0").exists());
}
