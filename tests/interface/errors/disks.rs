//! What the system refuses: full disks, read-only directories, errors of calls; the message names the file and what was tried.

use super::*;

#[test]
fn an_io_error_names_the_file_and_what_was_tried() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    match Store::open(&file) {
        Err(Error::Io { path, operation, source }) => {
            assert!(path.starts_with(&file), "{path:?}");
            assert!(!operation.is_empty());
            assert_eq!(source.kind(), std::io::ErrorKind::NotADirectory);
        }
        other => panic!("{other:?}"),
    }
    // A failed read is no damage and no end of the log.
    let files = FaultyFileSystem::watching_order();
    let store =
        on_faulty(&dir.path().join("store"), &files).read_mode(annals::ReadMode::Positional).open().unwrap();
    let partition = store.create_topic(TOPIC, TopicConfig::new()).unwrap().partition(0).unwrap();
    store.producer().send(Record::to(TOPIC).value("x")).unwrap();
    files.fail_next(Call::Read, ".log", EIO);
    let mut consumer = assigned(&store, StartFrom::Earliest);
    let error = consumer.poll(Duration::ZERO).unwrap_err();
    assert!(matches!(error, Error::Io { operation: "read", .. }) && !error.is_corruption());
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    files.fail_next(Call::Read, ".log", EIO);
    let mut skipping = store.consumer_builder().on_damage(OnDamage::Skip).build().unwrap();
    skipping.assign([(TOPIC, 0)]).unwrap();
    assert!(
        matches!(skipping.poll(Duration::ZERO), Err(Error::Io { .. })),
        "an unreadable file is not skipped as damaged"
    );
    assert_eq!((records(&partition).len(), skipping.poll(Duration::ZERO).unwrap().len()), (1, 1));
}

#[test]
fn a_full_disk_gives_way_through_the_seam() {
    let dir = tempfile::tempdir().unwrap();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    let partition = store.create_topic(TOPIC, small_segments()).unwrap().partition(0).unwrap();
    let os = store.producer();
    os.send(Record::to(TOPIC).value("first")).unwrap();
    files.fail(&[Call::Write, Call::Allocate, Call::Create], "", (0, Times::ForEver), Fault::Error(ENOSPC));
    for _ in 0..3 {
        let error = os.send(Record::to(TOPIC).value("refused")).unwrap_err();
        assert!(error.is_disk_full() && error.is_retriable(), "{error:?}");
        assert_eq!(records(&partition).len(), 1, "what is there stays readable");
    }
    files.heal();
    assert_eq!(os.send(Record::to(TOPIC).value("second")).unwrap().offset, 1);
    store.close().unwrap();
}

/// A store of which three partitions have lost one record each, for the disk was full.
fn lost_in_three(files: &Arc<FaultyFileSystem>, dir: &Path) -> Store {
    let store = on_faulty(dir, files).open().unwrap();
    let topic = store.create_topic(TOPIC, TopicConfig::new().partitions(3)).unwrap();
    let memory = store.producer_builder().durability(Durability::Memory).linger(Duration::from_secs(60));
    let memory = memory.build().unwrap();
    for partition in topic.partitions() {
        partition.append(&[Record::new().value("kept")], Durability::Disk).unwrap();
        memory.send(Record::to(TOPIC).partition(partition.number()).value("lost")).unwrap();
    }
    files.fail(&[Call::Write, Call::Allocate, Call::Create], "", (0, Times::ForEver), Fault::Error(ENOSPC));
    store
}

#[track_caller]
fn partition_of(lost: annals::Result<()>) -> u32 {
    match lost {
        Err(Error::Lost { partition, first: 1, last: 1, .. }) => partition.partition(),
        other => panic!("{other:?}"),
    }
}

/// Polls until it is ready.
fn ready(future: annals::Durable) -> annals::Result<()> {
    let mut waiting = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(outcome) = waiting.as_mut().poll(&mut context) {
            return outcome;
        }
    }
}

#[test]
fn each_loss_is_told_by_some_flush_of_all() {
    let dir = tempfile::tempdir().unwrap();
    let files = FaultyFileSystem::watching_order();
    let store = lost_in_three(&files, dir.path());
    let producer = store.producer();
    let mut told = vec![partition_of(producer.flush())];
    files.heal();
    told.push(partition_of(ready(producer.flush_async())));
    told.push(partition_of(store.topic(TOPIC).unwrap().flush()));
    told.sort_unstable();
    assert_eq!(told, [0, 1, 2]);
    producer.flush().unwrap();
    store.close().unwrap();
}

#[test]
fn a_close_on_a_full_disk_says_that_records_are_lost() {
    let dir = tempfile::tempdir().unwrap();
    let files = FaultyFileSystem::watching_order();
    let store = lost_in_three(&files, dir.path());
    partition_of(store.close());
}

#[test]
fn a_flush_of_several_partitions_said_lost_of_one_that_is_poisoned() {
    let dir = tempfile::tempdir().unwrap();
    let files = FaultyFileSystem::watching_order();
    let store = lost_in_three(&files, dir.path());
    let topic = store.topic(TOPIC).unwrap();
    assert_eq!(partition_of(topic.flush()), 0);
    files.heal();
    files.fail_next(Call::Sync, "orders-1/", EIO);
    let poisoned = topic.partition(1).unwrap();
    let append = || poisoned.append(&[Record::new().value("not synced")], Durability::Disk);
    assert!(matches!(append(), Err(Error::Lost { .. })), "a sender is told, too");
    let refused = append();
    assert!(matches!(refused, Err(Error::Io { operation: "sync", .. })), "{refused:?}");
    let is_poisoned = |outcome| match outcome {
        Err(Error::Poisoned { partition: Some(place), .. }) => assert_eq!(place.partition(), 1),
        other => panic!("{other:?}"),
    };
    is_poisoned(poisoned.flush());
    assert_eq!(partition_of(topic.flush()), 2, "the loss that nothing else is said of");
    is_poisoned(topic.flush());
    is_poisoned(store.producer().flush());
    is_poisoned(store.close());
}

#[test]
fn a_flush_said_lost_of_a_topic_that_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let files = FaultyFileSystem::watching_order();
    let store = lost_in_three(&files, dir.path());
    let topic = store.topic(TOPIC).unwrap();
    let (of_one, of_all) = (topic.partition(0).unwrap().flush_async(), store.producer().flush_async());
    for partition in topic.partitions() {
        assert_eq!(
            partition.read(..).unwrap().fetch().unwrap().len(),
            1,
            "the reader has them written, in vain"
        );
    }
    files.heal();
    store.delete_topic(TOPIC).unwrap();
    for outcome in [topic.partition(0).unwrap().flush(), topic.flush(), ready(of_one)] {
        assert!(matches!(outcome, Err(Error::UnknownTopic { was_deleted: true, .. })), "{outcome:?}");
    }
    store.producer().flush().unwrap();
    ready(of_all).unwrap();
    store.close().unwrap();
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A mount that goes with the value.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(arguments: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let target = dir.path().to_str().expect("UTF-8").to_owned();
        run("mount", &[arguments, &[target.as_str()]].concat()).then_some(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &["-l", self.path().to_str().unwrap_or_default()]);
    }
}

#[test]
fn a_full_disk_gives_way_on_a_small_file_system() {
    let Some(mount) = Mount::new(&["-t", "tmpfs", "-o", "size=512k", "tmpfs"]) else {
        println!("SKIPPED: a tmpfs cannot be mounted here, a full disk was only simulated");
        return;
    };
    let root = mount.path().join("store");
    let store = by_hand(&root).open().unwrap();
    let partition =
        store.create_topic(TOPIC, TopicConfig::new().segment_bytes(64 << 10)).unwrap().partition(0).unwrap();
    let ballast = mount.path().join("ballast");
    std::fs::write(&ballast, vec![1; 128 << 10]).unwrap();
    let mut full = 0;
    let mut accepted = 0;
    for number in 0..2000 {
        let value = format!("{}{}", value_of(number), "x".repeat(700));
        match store.producer().send(Record::to(TOPIC).value(&value)) {
            Ok(at) => {
                assert_eq!(at.offset, accepted);
                accepted += 1;
            }
            Err(error) => {
                assert!(error.is_disk_full(), "{error:?}");
                full += 1;
                if full == 3 {
                    std::fs::remove_file(&ballast).unwrap();
                }
                if full > 20 {
                    break;
                }
            }
        }
    }
    assert!(full > 20, "the disk never filled");
    assert_eq!(records(&partition).len() as i64, accepted);
    // Full to the brim: opening needs no room, and room is all that appending needs.
    drop(store.close());
    let filler = mount.path().join("filler");
    drop(std::fs::write(&filler, vec![1; 512 << 10]));
    let store = by_hand(&root).open().unwrap();
    let partition = store.topic(TOPIC).unwrap().partition(0).unwrap();
    assert_eq!(records(&partition).len() as i64, accepted);
    std::fs::remove_file(&filler).unwrap();
    std::fs::remove_file(&ballast).unwrap_or_default();
    println!("a tmpfs of 512 KiB took {accepted} records");
}

#[test]
fn a_read_only_directory_is_an_error_and_nothing_worse() {
    // As root, permission bits are no obstacle: the directory is mounted read-only where that is possible.
    let (dir, store) = store();
    store.producer().send(Record::to(TOPIC).value("x")).unwrap();
    store.close().unwrap();
    let before = tree(dir.path());
    match Mount::new(&["--bind", dir.path().to_str().unwrap()]) {
        Some(mount) if run("mount", &["-o", "remount,ro,bind", mount.path().to_str().unwrap()]) => {
            match Store::open(mount.path()) {
                Err(Error::Io { source, .. }) => {
                    assert_eq!(source.kind(), std::io::ErrorKind::ReadOnlyFilesystem)
                }
                other => panic!("{other:?}"),
            }
        }
        _ => println!("SKIPPED: nothing can be mounted here, a read-only directory is only simulated"),
    }
    assert_eq!(before, tree(dir.path()));
    let files = FaultyFileSystem::watching_order();
    let all = [&Call::MUTATING[..], &[Call::Lock]].concat();
    files.fail(&all, "", (0, Times::ForEver), Fault::Error(EROFS));
    assert!(matches!(on_faulty(dir.path(), &files).open(), Err(Error::Io { operation: "lock", .. })));
    files.heal();
    // Read-only from some moment on: reading goes on, sending fails, nothing panics on the way out.
    let store = on_faulty(dir.path(), &files).open().unwrap();
    files.fail(&Call::MUTATING, "", (0, Times::ForEver), Fault::Error(EROFS));
    let error = store.producer().send(Record::to(TOPIC).value("y")).unwrap_err();
    assert!(matches!(&error, Error::Io { source, .. } if source.raw_os_error() == Some(EROFS)), "{error:?}");
    assert_eq!(records(&store.topic(TOPIC).unwrap().partition(0).unwrap()).len(), 1);
    drop(store);
    assert_eq!(before, tree(dir.path()));
}

/// A transaction of eight batches in one topic, and one in another if it is of two partitions.
fn refused_by_a_full_disk(store: &Store, partitions: usize, buffer_bytes: usize) -> annals::Result<()> {
    let mut tx = store.transaction_builder("name").buffer_bytes(buffer_bytes).begin()?;
    for _ in 0..8 {
        tx.send(Record::to("a").value(&[b'x'; 40_000]))?;
    }
    if partitions == 2 {
        tx.send(Record::to("b").value("x"))?;
    }
    tx.commit().map(drop)
}

#[test]
fn a_commit_that_a_full_disk_stops_between_two_batches_never_takes_effect() {
    let Some(mount) = Mount::new(&["-t", "tmpfs", "-o", "size=4m", "tmpfs"]) else {
        println!("SKIPPED: a tmpfs cannot be mounted here");
        return;
    };
    let (root, ballast) = (mount.path().join("store"), mount.path().join("ballast"));
    let topics = ["a", "b"];
    let values = |store: &Store| {
        let first = |(_, value): (_, Vec<u8>)| char::from(value[0]);
        topics.map(|topic| {
            let partition = store.topic(topic).unwrap().partition(0).unwrap();
            assert_eq!(partition.stable(), partition.end(), "readers of {topic} wait");
            records(&partition).into_iter().map(first).collect::<String>()
        })
    };
    let commit = |store: &Store, value: &str| {
        let mut tx = store.transaction("name").unwrap();
        topics.iter().try_for_each(|topic| tx.send(Record::to(topic).value(value))).unwrap();
        tx.commit().unwrap();
    };
    let mut in_the_middle = 0;
    for (number, left) in (0..480_u64).step_by(24).enumerate() {
        let store = by_hand(&root).open().unwrap();
        for topic in topics {
            store.create_topic(topic, TopicConfig::new().max_message_bytes(50_000)).unwrap();
        }
        commit(&store, "first");
        store.maintain().unwrap();
        drop(std::fs::write(&ballast, vec![1; 4 << 20]));
        let file = std::fs::OpenOptions::new().write(true).open(&ballast).unwrap();
        file.set_len(file.metadata().unwrap().len().saturating_sub(left << 10)).unwrap();
        drop(file);
        let a = store.topic("a").unwrap().partition(0).unwrap();
        let before = a.end();
        let buffer = if number % 3 == 2 { 300_000 } else { 16 << 20 };
        let told = refused_by_a_full_disk(&store, 1 + number % 2, buffer);
        let is_refused = told.is_err();
        assert!(told.map_or_else(|error| error.is_disk_full(), |()| true));
        if is_refused {
            in_the_middle += usize::from(a.end() > before + 1);
            assert_eq!(values(&store), ["f", "f"], "{left} KiB were left");
            std::fs::remove_file(&ballast).unwrap();
            commit(&store, "next");
            store.maintain().unwrap();
            assert_eq!(values(&store), ["fn", "fn"], "{left} KiB were left");
            store.close().unwrap();
            let store = by_hand(&root).open().unwrap();
            assert_eq!(values(&store), ["fn", "fn"], "{left} KiB were left, in the next life");
            store.close().unwrap();
        } else {
            drop(store.close());
        }
        drop(std::fs::remove_file(&ballast));
        std::fs::remove_dir_all(&root).unwrap();
    }
    println!("{in_the_middle} commits were stopped in the middle");
    assert!(in_the_middle > 3, "{in_the_middle}");
}

/// Its lock that others may hold at a time was not handed on: who read the store was in nobody's way, and nobody in his.
#[test]
fn a_store_on_a_disk_that_fails_was_read_beside_its_writer() {
    let dir = tempfile::tempdir().unwrap();
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    let read = || on_faulty(dir.path(), &files).open_read_only();
    assert!(matches!(read(), Err(Error::StoreInUse { .. })));
    store.close().unwrap();
    let reader = read().unwrap();
    assert!(matches!(on_faulty(dir.path(), &files).open(), Err(Error::StoreLocked { .. })));
    drop(reader);
    on_faulty(dir.path(), &files).open().unwrap();
}
