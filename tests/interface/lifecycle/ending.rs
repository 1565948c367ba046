//! Nothing of a store or a topic works on in its directory when a close or a deletion has returned, whichever thread had begun
//! to: each call that such work makes is held, and the end comes there.

use std::sync::Arc;
use std::time::Duration;

use annals::{Durability, Error, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, MemoryFileSystem, Times};

use crate::common::{on_faulty, spawn};

/// What a thread of the program is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Compaction,
    Erasure,
    Retention,
    RetentionOfAll,
    DeletionOfRecords,
    Maintenance,
    Append,
    KeyIndex,
}

const ALL: [Work; 7] = [
    Work::Compaction,
    Work::Erasure,
    Work::Retention,
    Work::RetentionOfAll,
    Work::DeletionOfRecords,
    Work::Maintenance,
    Work::Append,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Deletion,
}

impl Work {
    fn config(self) -> TopicConfig {
        let config = TopicConfig::new().segment_bytes(400).index_interval_bytes(100);
        match self {
            Self::Compaction => config.cleanup_policy(annals::CleanupPolicy::Compact),
            Self::Retention | Self::RetentionOfAll | Self::Maintenance => config.retention_bytes(1000),
            Self::Erasure | Self::DeletionOfRecords | Self::Append => config,
            Self::KeyIndex => config.key_index(true),
        }
    }

    fn run(self, store: &Store, topic: &annals::Topic) -> annals::Result<()> {
        let partition = topic.partition(0)?;
        match self {
            Self::Compaction => topic.compact().map(drop),
            Self::Erasure => topic.erase("3").map(drop),
            Self::Retention => topic.apply_retention().map(drop),
            Self::RetentionOfAll => store.apply_retention().map(drop),
            Self::DeletionOfRecords => partition.delete_records(33).map(drop),
            Self::Maintenance | Self::KeyIndex => store.maintain(),
            Self::Append => partition
                .append(&[Record::new().key("1").value(&*"y".repeat(200))], Durability::Disk)
                .map(drop),
        }
    }
}

impl Work {
    /// The calls at which the end has to wait. A sync of an append holds the file and not its name: it changes nothing, and what
    /// it syncs may be gone.
    fn holds(self, call: Call) -> bool {
        Call::MUTATING.contains(&call) && (self, call) != (Self::Append, Call::Sync)
    }

    /// The files that it changes.
    fn files(self) -> &'static str {
        if self == Self::KeyIndex { ".keyindex" } else { "orders-0" }
    }

    fn changes(self, files: &FaultyFileSystem) -> usize {
        files.trace().iter().filter(|done| self.holds(done.call)).count()
    }
}

/// The end comes while the change of that number, which the work makes, is held; false when it makes fewer.
fn ends_at(work: Work, end: End, number: usize) -> bool {
    let what = format!("{work:?}, {end:?} at its change {number}");
    let disk = Arc::new(MemoryFileSystem::new());
    let files = FaultyFileSystem::over(Arc::clone(&disk) as _);
    let store = on_faulty("/store".as_ref(), &files).open().expect("a store");
    let topic = store.create_topic("orders", work.config()).expect("a topic");
    let partition = topic.partition(0).expect("one");
    for n in 0..40 {
        let (key, value) = ((n % 5).to_string(), format!("value {n}"));
        partition.append(&[Record::new().key(&key).value(&value)], Durability::Os).expect("an append");
    }
    let gate = Arc::new(Gate::default());
    let held: Vec<_> = Call::MUTATING.into_iter().filter(|call| work.holds(*call)).collect();
    files.fail(&held, work.files(), (number, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let worker = spawn({
        let (store, topic) = (store.clone(), topic.clone());
        move || work.run(&store, &topic)
    });
    while gate.waiting() == 0 && !worker.is_finished() {
        std::thread::yield_now();
    }
    if worker.is_finished() {
        files.heal();
        worker.join().expect("no panic").expect("undisturbed work");
        return false;
    }
    let ender = spawn({
        let (store, files) = (store.clone(), Arc::clone(&files));
        move || {
            match end {
                End::Close => store.close(),
                End::Deletion => store.delete_topic("orders"),
            }
            .map(|()| work.changes(&files))
        }
    });
    // No wait makes this certain; it fails only where somebody did not wait.
    std::thread::sleep(Duration::from_millis(3));
    assert!(!ender.is_finished(), "{what}: over while the work goes on");
    gate.open();
    let changed = ender.join().expect("no panic").unwrap_or_else(|error| panic!("{what}: {error}"));
    match worker.join().expect("no panic") {
        Ok(()) | Err(Error::StoreClosed { .. } | Error::UnknownTopic { .. }) => {}
        Err(error) => panic!("{what}: {error}"),
    }
    assert_eq!(work.changes(&files), changed, "{what}: changed something afterwards");
    go_on(&disk, (store, work, end), &what);
    true
}

/// The next life, or the next topic of the name, has nothing of the one before in its way.
fn go_on(disk: &Arc<MemoryFileSystem>, (store, work, end): (Store, Work, End), what: &str) {
    let (store, left) = match end {
        End::Close => {
            let store = Store::builder("/store").file_system(Arc::clone(disk) as _).maintain_by_hand().open();
            let store = store.unwrap_or_else(|error| panic!("{what}: {error}"));
            let end = store.topic("orders").and_then(|topic| topic.partition(0)).map(|one| one.end());
            (store, end.unwrap_or_else(|error| panic!("{what}: {error}")))
        }
        End::Deletion => {
            store.create_topic("orders", work.config()).unwrap_or_else(|error| panic!("{what}: {error}"));
            (store, 0)
        }
    };
    let topic = store.topic("orders").expect("the topic");
    let partition = topic.partition(0).expect("one");
    let sent = partition.append(&[Record::new().key("9").value("next")], Durability::Disk);
    assert_eq!(sent.unwrap_or_else(|error| panic!("{what}: {error}")).first_offset, left, "{what}");
    work.run(&store, &topic).map_or_else(
        // There are fewer records now.
        |error| assert!(matches!(error, Error::OffsetOutOfRange { .. }), "{what}: {error}"),
        |()| {},
    );
    let found = crate::common::records(&partition);
    assert!(
        found.iter().any(|(_, value)| value == b"next") || work == Work::DeletionOfRecords,
        "{what}: {found:?}"
    );
    store.close().unwrap_or_else(|error| panic!("{what}: {error}"));
}

fn ends_everywhere(end: End) {
    // Every third; `ANNALS_FAULTS=all` for each of them.
    let step = if std::env::var("ANNALS_FAULTS").is_ok_and(|faults| faults == "all") { 1 } else { 3 };
    for work in ALL {
        let changes = (0..).step_by(step).take_while(|number| ends_at(work, end, *number)).count();
        assert!(changes > 2, "{work:?}: {changes} changes");
    }
}

#[test]
fn nothing_works_on_in_a_store_that_was_closed() {
    ends_everywhere(End::Close);
}

#[test]
fn nothing_works_on_in_a_topic_that_was_deleted() {
    ends_everywhere(End::Deletion);
}

/// Whoever made the file of a topic that was deleted meanwhile put it into the directory of the next one of its name, which could not be
/// opened then.
#[test]
fn a_key_index_comes_into_no_other_topics_directory() {
    for end in [End::Close, End::Deletion] {
        let changes = (0..).take_while(|number| ends_at(Work::KeyIndex, end, *number)).count();
        assert!(changes >= 2, "{changes} changes");
    }
}

/// What an earlier version has left there, or a kill, is in nobody's way.
#[test]
fn a_key_index_without_a_name_is_in_nobodys_way() {
    let disk = Arc::new(MemoryFileSystem::new());
    let open = |disk: &Arc<MemoryFileSystem>| {
        Store::builder("/store")
            .file_system(Arc::clone(disk) as _)
            .maintain_by_hand()
            .open()
            .expect("a store")
    };
    let store = open(&disk);
    store.create_topic("orders", TopicConfig::new().key_index(true)).expect("a topic");
    store.close().expect("a close");
    let mut files = disk.files();
    let path = files.keys().find(|path| path.contains("orders-0")).expect("its directory").clone();
    let directory = path.split_inclusive("orders-0").next().expect("a path").to_owned();
    files.insert(format!("{directory}/00000000000000000062.keyindex.new"), vec![7; 100].into());
    let store = open(&Arc::new(MemoryFileSystem::over(&annals_testing::Image::new(files))));
    let partition = store.topic("orders").expect("the topic").partition(0).expect("one");
    partition.append(&[Record::new().key("a").value("first")], Durability::Disk).expect("an append");
    store.close().expect("a close");
}
