//! Groups whose consumers are in another process than the owner.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use annals::{
    Consumer, ConsumerBuilder, Durability, Error, Record, Store, StoreReader, TopicConfig, TopicPartition,
};

use crate::common::{by_hand, copy_dir, fast_dir};
use crate::hooked::{FailingShared, Hook, Hooked};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

const ORDERS: &str = "orders";

fn open(dir: &Path) -> Store {
    let store = by_hand(dir).open().unwrap();
    store.ensure_topic(ORDERS, TopicConfig::new().partitions(2)).unwrap();
    store
}

fn send(store: &Store, count: i64) {
    for number in 0..count {
        let partition = u32::from(number % 2 != 0);
        store.producer().send(Record::to(ORDERS).partition(partition).value("2 apples")).unwrap();
    }
}

fn member(builder: ConsumerBuilder) -> Result<Consumer, Error> {
    let mut consumer = builder.group("billing").build()?;
    consumer.subscribe([ORDERS])?;
    Ok(consumer)
}

/// Reads what there is.
fn read(consumer: &mut Consumer) -> usize {
    let mut records = 0;
    loop {
        match consumer.poll(Duration::from_millis(1)).unwrap().len() {
            0 => return records,
            more => records += more,
        }
    }
}

fn committed(offsets: impl IntoIterator<Item = (TopicPartition, annals::CommittedOffset)>) -> Vec<i64> {
    offsets.into_iter().map(|(_, at)| at.offset).collect()
}

#[test]
fn a_group_is_one_processes_at_a_time_and_goes_on_where_it_has_committed() {
    let dir = fast_dir();
    let store = open(dir.path());
    let (one, other) = (StoreReader::attach(dir.path()).unwrap(), StoreReader::attach(dir.path()).unwrap());
    send(&store, 20);
    let mut here = member(one.consumer_builder()).unwrap();
    assert_eq!(read(&mut here), 20);
    here.commit().unwrap();
    // A second member in the same process is welcome, in others nobody is.
    let second = member(one.consumer_builder()).unwrap();
    assert!(matches!(member(other.consumer_builder()), Err(Error::GroupInUse { .. })));
    assert!(matches!(store.consumer("billing"), Err(Error::GroupInUse { .. })));
    assert!(matches!(store.delete_group("billing"), Err(Error::GroupInUse { .. })));
    assert!(store.consumer("other").is_ok());
    for seen in [one.committed("billing"), other.committed("billing"), store.committed("billing")] {
        assert_eq!(committed(seen), [10, 10]);
    }
    drop((here, second));
    // From hand to hand: each begins where the one before has committed, whether that was folded or not.
    send(&store, 6);
    let mut there = member(other.consumer_builder()).unwrap();
    assert_eq!(read(&mut there), 6);
    there.commit().unwrap();
    drop(there);
    send(&store, 4);
    let mut again = member(one.consumer_builder()).unwrap();
    assert_eq!(read(&mut again), 4);
    again.commit().unwrap();
    drop(again);
    send(&store, 2);
    let mut home = store.consumer("billing").unwrap();
    home.subscribe([ORDERS]).unwrap();
    assert_eq!(read(&mut home), 2);
    home.commit().unwrap();
    assert_eq!(committed(one.committed("billing")), [16, 16]);
    drop(home);
    assert_eq!(read(&mut member(one.consumer_builder()).unwrap()), 0);
    assert_eq!(other.lag("billing").lag(), 0);
}

/// Offsets of a consumer that chose its partitions, which is gone by now.
fn with_offsets(store: &Store) -> annals::Transaction {
    let mut consumer = store.consumer("billing").unwrap();
    consumer.assign([(ORDERS, 0)]).unwrap();
    assert!(read(&mut consumer) > 0);
    let mut tx = store.transaction("billing").unwrap();
    tx.commit_offsets(&consumer).unwrap();
    tx.send(Record::to("invoices").value("12.50")).unwrap();
    tx
}

#[test]
fn a_group_went_to_another_process_while_a_transaction_held_its_offsets() {
    let dir = fast_dir();
    let store = open(dir.path());
    store.create_topic("invoices", TopicConfig::new()).unwrap();
    send(&store, 20);
    let other = StoreReader::attach(dir.path()).unwrap();
    let there = || member(other.consumer_builder());
    let tx = with_offsets(&store);
    assert!(matches!(there(), Err(Error::GroupInUse { .. })), "it commits here");
    drop(tx);
    assert_eq!(read(&mut there().unwrap()), 20, "nothing was committed");
    with_offsets(&store).commit().unwrap();
    assert_eq!(read(&mut there().unwrap()), 10);
}

#[test]
fn a_group_of_which_nobody_knows_what_it_has_committed_went_to_another_process() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = by_hand(dir.path()).file_system(Arc::new(FailingShared(files.clone()))).open().unwrap();
    store.create_topic(ORDERS, TopicConfig::new().partitions(2)).unwrap();
    store.create_topic("invoices", TopicConfig::new()).unwrap();
    send(&store, 20);
    with_offsets(&store).commit().unwrap();
    send(&store, 2);
    let other = StoreReader::attach(dir.path()).unwrap();
    files.fail(&[Call::Sync], "invoices-0", (0, Times::ForEver), Fault::Error(5));
    let ended = smol::block_on(with_offsets(&store).commit_async());
    assert!(matches!(ended, Err(Error::Undecided { .. })), "{ended:?}");
    assert!(matches!(member(other.consumer_builder()), Err(Error::GroupInUse { .. })));
    // Whoever comes and goes here leaves it here.
    drop(store.consumer("billing").unwrap());
    assert!(matches!(member(other.consumer_builder()), Err(Error::GroupInUse { .. })));
    drop(store);
    assert!(member(other.consumer_builder()).is_ok());
}

#[test]
fn a_commit_is_kept_whoever_dies_and_folding_twice_changes_nothing() {
    let dir = fast_dir();
    let store = open(dir.path());
    send(&store, 20);
    let reader = StoreReader::attach(dir.path()).unwrap();
    let durable =
        |reader: &StoreReader| member(reader.consumer_builder().commit_durability(Durability::Disk));
    let mut billing = durable(&reader).unwrap();
    billing.commit_offsets([((ORDERS, 0).into(), 3), ((ORDERS, 1).into(), 4)]).unwrap();
    // The owner dies, and commits go on.
    let (killed, spool) = (fast_dir(), "annals.spool");
    copy_dir(dir.path(), killed.path());
    std::mem::forget(store);
    billing.commit_offsets([((ORDERS, 0).into(), 5)]).unwrap();
    assert_eq!(committed(reader.committed("billing")), [5, 4]);
    // What the next owner finds, before and after it has folded.
    let before = std::fs::read(dir.path().join(spool)).unwrap();
    let copy = fast_dir();
    copy_dir(dir.path(), copy.path());
    let next = open(copy.path());
    assert_eq!(committed(next.committed("billing")), [5, 4]);
    assert!(!copy.path().join(spool).exists(), "it was folded");
    let mut home = next.consumer("billing").unwrap();
    home.subscribe([ORDERS]).unwrap();
    home.commit_offsets([((ORDERS, 1).into(), 7)]).unwrap();
    drop(home);
    next.close().unwrap();
    // A crash between the two steps of a fold leaves the commits in both places.
    let twice = fast_dir();
    copy_dir(dir.path(), twice.path());
    let folded = open(twice.path());
    folded.close().unwrap();
    std::fs::write(twice.path().join(spool), &before).unwrap();
    assert_eq!(committed(open(twice.path()).committed("billing")), [5, 4]);
    // What was cut off in the middle of a commit is that commit alone.
    let torn = fast_dir();
    copy_dir(dir.path(), torn.path());
    let began = before[before.len() - 60..].iter().take(30).copied();
    std::fs::write(torn.path().join(spool), before.iter().copied().chain(began).collect::<Vec<_>>()).unwrap();
    assert_eq!(committed(open(torn.path()).committed("billing")), [5, 4]);
    assert_eq!(committed(open(killed.path()).committed("billing")), [3, 4]);
}

/// What a power cut leaves of commits at `Os`: the length without the bytes, or some of the bytes, in any order.
#[test]
fn commits_at_os_that_a_power_cut_takes_leave_those_at_disk() {
    let dir = fast_dir();
    let store = open(dir.path());
    send(&store, 20);
    store.close().unwrap();
    let reader = StoreReader::attach(dir.path()).unwrap();
    let spool = || std::fs::read(dir.path().join("annals.spool")).unwrap();
    let mut ends = Vec::new();
    for offset in 3..8 {
        let durability = if offset == 3 { Durability::Disk } else { Durability::Os };
        let mut billing = member(reader.consumer_builder().commit_durability(durability)).unwrap();
        billing.commit_offsets([((ORDERS, 0).into(), offset)]).unwrap();
        ends.push(spool().len());
    }
    let whole = spool();
    let zeros = |from: usize, until: usize| {
        let mut bytes = whole.clone();
        bytes[from..until].fill(0);
        bytes
    };
    // All of them; one in the middle; the header of one.
    let cases = [
        (zeros(ends[0], ends[4]), 3),
        (zeros(ends[1], ends[2]), 4),
        (zeros(ends[2], ends[2] + 8), 5),
        (zeros(ends[3] + 9, ends[4]), 6),
    ];
    for (bytes, expected) in cases {
        let cut = fast_dir();
        copy_dir(dir.path(), cut.path());
        std::fs::write(cut.path().join("annals.spool"), bytes).unwrap();
        let read_only = Store::open_read_only(cut.path()).unwrap();
        assert_eq!(committed(read_only.committed("billing")), [expected]);
        drop(read_only);
        let attached = StoreReader::attach(cut.path()).unwrap();
        assert_eq!(committed(attached.committed("billing")), [expected]);
        let mut billing = member(attached.consumer_builder()).unwrap();
        billing.commit_offsets([((ORDERS, 1).into(), 2)]).unwrap();
        drop(billing);
        let store = open(cut.path());
        assert_eq!(committed(store.committed("billing")), [expected, 2]);
        assert!(store.consumer("billing").is_ok());
    }
    // What was synced is not lost unnoticed.
    let mut damaged = whole.clone();
    damaged[ends[0] - 3] ^= 1;
    std::fs::write(dir.path().join("annals.spool"), damaged).unwrap();
    let store = open(dir.path());
    assert!(matches!(store.consumer("billing"), Err(Error::Corrupt { .. })));
    // It is a matter of groups alone.
    let attached = StoreReader::attach(dir.path()).unwrap();
    assert!(matches!(attached.consumer("billing"), Err(Error::Corrupt { .. })));
    assert_eq!(attached.topic(ORDERS).unwrap().partition(1).unwrap().end(), 10);
    drop(attached);
    store.close().unwrap();
    Store::open_read_only(dir.path()).unwrap();
}

/// A position that is known may be in the cache alone: committed at `Os`, or with a sync that failed.
#[test]
fn a_commit_at_disk_of_what_is_committed_already_is_synced_too() {
    let dir = fast_dir();
    let store = open(dir.path());
    send(&store, 20);
    let (hooked, syncs) = (Hooked::new(), Arc::new(AtomicU32::new(0)));
    let reader = Store::builder(dir.path()).file_system(hooked.files()).attach().unwrap();
    let (counted, fails) = (Arc::clone(&syncs), Arc::new(AtomicBool::new(false)));
    let failing = Arc::clone(&fails);
    hooked.at_sync(move |path| {
        if !path.to_string_lossy().contains("annals.spool") {
            return Ok(());
        }
        counted.fetch_add(1, Ordering::SeqCst);
        if failing.swap(false, Ordering::SeqCst) { Err(std::io::Error::from_raw_os_error(5)) } else { Ok(()) }
    });
    let synced = || syncs.swap(0, Ordering::SeqCst) > 0;
    let mut at_os = member(reader.consumer_builder()).unwrap();
    assert_eq!(read(&mut at_os), 20);
    at_os.commit().unwrap();
    _ = synced();
    smol::block_on(at_os.commit_async()).unwrap();
    assert!(synced(), "it was committed at Os, and then for the disk");
    smol::block_on(at_os.commit_async()).unwrap();
    assert!(!synced(), "this process has synced it");
    at_os.commit_offsets([((ORDERS, 0).into(), 3)]).unwrap();
    at_os.commit_offsets([((ORDERS, 0).into(), 10)]).unwrap();
    smol::block_on(at_os.commit_async()).unwrap();
    assert!(synced(), "a power cut could have left 3");
    drop(at_os);
    send(&store, 2);
    let mut at_disk = member(reader.consumer_builder().commit_durability(Durability::Disk)).unwrap();
    assert_eq!(read(&mut at_disk), 2);
    fails.store(true, Ordering::SeqCst);
    assert!(at_disk.commit().is_err());
    assert_eq!(at_disk.committed((ORDERS, 0)), Some(11));
    _ = synced();
    at_disk.commit().unwrap();
    assert!(synced(), "the sync that failed was the only one");
}

/// Whatever keeps a process from seeing the commits: it has seen them, and no member of it begins elsewhere.
#[test]
fn a_look_that_fails_forgets_no_commit_and_no_member_begins_without() {
    let dir = fast_dir();
    let store = open(dir.path());
    send(&store, 20);
    let hooked = Hooked::new();
    let reader = Store::builder(dir.path()).file_system(hooked.files()).attach().unwrap();
    let mut first = member(reader.consumer_builder()).unwrap();
    first.commit_offsets([((ORDERS, 0).into(), 5), ((ORDERS, 1).into(), 5)]).unwrap();
    assert_eq!(committed(store.committed("billing")), [5, 5], "folded");
    assert_eq!(committed(reader.committed("billing")), [5, 5]);
    first.commit_offsets([((ORDERS, 1).into(), 6)]).unwrap();
    // It has to read the topic of commits anew, and cannot.
    store.topic("__consumer_offsets").unwrap().compact().unwrap();
    let failing = Arc::new(AtomicU32::new(0));
    let failed = Arc::clone(&failing);
    hooked.at_open(move |path| {
        if !path.to_string_lossy().contains("__consumer_offsets") {
            return Ok(Hook::Stays);
        }
        failed.fetch_add(1, Ordering::SeqCst);
        Err(std::io::Error::from_raw_os_error(5))
    });
    assert_eq!(committed(reader.committed("billing")), [5, 6]);
    assert!(failing.load(Ordering::SeqCst) > 0, "it was not reached");
    let mut second = reader.consumer("billing").unwrap();
    assert!(matches!(second.subscribe([ORDERS]), Err(Error::Io { .. })));
    assert!(matches!(second.poll(Duration::ZERO), Err(Error::Io { .. })));
    let mut alone = reader.consumer("billing").unwrap();
    assert!(matches!(alone.assign([(ORDERS, 0)]), Err(Error::Io { .. })));
    assert!(alone.assignment().is_empty());
    hooked.at_open(|_| Ok(Hook::IsOver));
    drop(first);
    assert_eq!(read(&mut second), 9);
    assert_eq!(second.assignment().len(), 2);
    alone.assign([(ORDERS, 0)]).unwrap();
    assert_eq!(alone.position((ORDERS, 0)).unwrap(), 5);
}

/// What a group elsewhere has not read stays, though its commits wait for the owner.
#[test]
fn a_commit_of_the_owner_takes_no_record_that_a_group_elsewhere_has_not_read() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    let config = TopicConfig::new().segment_bytes(500).retention_until_consumed();
    let partition = store.create_topic(ORDERS, config).unwrap().partition(0).unwrap();
    for _ in 0..100 {
        store.producer().send(Record::to(ORDERS).value("2 apples")).unwrap();
    }
    let mut home = store.consumer("home").unwrap();
    home.subscribe([ORDERS]).unwrap();
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut billing = member(reader.consumer_builder()).unwrap();
    billing.commit_offsets([((ORDERS, 0).into(), 3)]).unwrap();
    assert_eq!(read(&mut home), 100);
    home.commit().unwrap();
    assert_eq!(partition.start(), 0, "the records of the other group are gone");
    assert_eq!(read(&mut billing), 100);
    billing.commit_offsets([((ORDERS, 0).into(), 100)]).unwrap();
    store.maintain().unwrap();
    assert_eq!(committed(store.committed("billing")), [100]);
    assert!(partition.start() > 50);
}

/// A process that is stopped in the middle of a commit keeps the lock of the spool. What it has committed waits; nobody else does.
#[test]
fn a_process_that_is_stopped_in_a_commit_holds_up_no_other_group_and_no_backup() {
    use annals::io::FileSystem;
    let dir = fast_dir();
    let store = open(&dir.path().join("store"));
    send(&store, 20);
    let reader = StoreReader::attach(store.path()).unwrap();
    let mut billing = member(reader.consumer_builder()).unwrap();
    billing.commit_offsets([((ORDERS, 0).into(), 7)]).unwrap();
    drop(billing);
    let page = annals::io::OsFileSystem
        .open(&store.path().join("annals.live"), annals::io::OpenMode::ReadWrite)
        .unwrap();
    assert!(page.try_lock_byte(1).unwrap());
    assert!(store.consumer("other").is_ok());
    store.backup(dir.path().join("monday")).unwrap();
    assert_eq!(committed(store.committed("billing")), [7]);
    let commits = store.topic("__consumer_offsets").unwrap().partition(0).unwrap();
    let end = commits.end();
    assert!(
        matches!(store.consumer("billing"), Err(Error::Io { .. })),
        "the next fold would take back what it commits"
    );
    assert!(store.maintain().is_err());
    assert_eq!(commits.end(), end, "the same commits are written again and again");
    page.unlock_byte(1).unwrap();
    let mut home = store.consumer("billing").unwrap();
    home.subscribe([ORDERS]).unwrap();
    assert_eq!(read(&mut home), 13);
    annals::backup::restore(dir.path().join("monday"), dir.path().join("again")).unwrap();
    assert_eq!(committed(open(&dir.path().join("again")).committed("billing")), [7]);
}

/// It can do nothing any more.
#[test]
fn a_consumer_that_outlives_its_reader_keeps_nobody_out_of_its_group() {
    let dir = fast_dir();
    let store = open(dir.path());
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut kept = member(reader.consumer_builder()).unwrap();
    drop(reader);
    assert!(matches!(kept.poll(Duration::ZERO), Err(Error::StoreClosed { .. })));
    assert!(store.consumer("billing").is_ok());
    drop(kept);
}

#[test]
fn a_backup_holds_what_was_committed_elsewhere_before_it_began() {
    let dir = fast_dir();
    let store = open(&dir.path().join("store"));
    send(&store, 20);
    let reader = StoreReader::attach(store.path()).unwrap();
    let mut billing = member(reader.consumer_builder()).unwrap();
    billing.commit_offsets([((ORDERS, 0).into(), 7)]).unwrap();
    store.backup(dir.path().join("monday")).unwrap();
    annals::backup::restore(dir.path().join("monday"), dir.path().join("again")).unwrap();
    assert_eq!(committed(open(&dir.path().join("again")).committed("billing")), [7]);
}

#[test]
fn only_the_members_of_the_process_that_has_the_group_may_commit_and_only_what_is_there() {
    let dir = fast_dir();
    let store = open(dir.path());
    send(&store, 4);
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut billing = member(reader.consumer_builder()).unwrap();
    let beyond = billing.commit_offsets([((ORDERS, 0).into(), 3)]);
    assert!(matches!(beyond, Err(Error::OffsetOutOfRange { .. })), "{beyond:?}");
    let mut second = member(reader.consumer_builder()).unwrap();
    billing.poll(Duration::ZERO).unwrap();
    let lost = billing.commit_offsets([((ORDERS, 1).into(), 1)]);
    assert!(matches!(lost, Err(Error::NotAssigned { .. })), "{lost:?}");
    second.commit_offsets([((ORDERS, 1).into(), 1)]).unwrap();
    let read_only = store.close().and_then(|()| Store::open_read_only(dir.path())).unwrap();
    assert!(matches!(read_only.consumer("billing"), Err(Error::InvalidConfig { .. })));
}

/// A topic that grows, or goes and comes back, reaches the members of a group elsewhere.
#[test]
fn members_elsewhere_follow_the_list_of_topics() {
    let dir = fast_dir();
    let store = open(dir.path());
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut billing = member(reader.consumer_builder()).unwrap();
    store.add_partitions(ORDERS, 3).unwrap();
    store.producer().send(Record::to(ORDERS).partition(2).value("new")).unwrap();
    assert_eq!(read(&mut billing), 1);
    assert_eq!(billing.assignment().len(), 3);
    store.delete_topic(ORDERS).unwrap();
    assert!(matches!(billing.poll(Duration::ZERO), Err(Error::UnknownTopic { was_deleted: true, .. })));
    store.create_topic(ORDERS, TopicConfig::new()).unwrap();
    send(&store, 1);
    assert_eq!(read(&mut billing), 1);
}

#[test]
fn a_consumer_elsewhere_learned_from_a_poll_alone_that_its_topic_was_deleted() {
    let dir = fast_dir();
    let store = open(dir.path());
    send(&store, 4);
    let reader = StoreReader::attach(dir.path()).unwrap();
    let alone = || {
        let mut alone = reader.consumer_builder().group("billing").build().unwrap();
        alone.assign([(ORDERS, 0)]).unwrap();
        alone.seek((ORDERS, 0), 1).unwrap();
        alone
    };
    let (mut seeking, mut asking, mut counting, mut committing) = (alone(), alone(), alone(), alone());
    let gone = |call: &str, outcome: Result<(), Error>| {
        assert!(matches!(outcome, Err(Error::UnknownTopic { was_deleted: true, .. })), "{call}: {outcome:?}");
    };
    let delete = || {
        store.delete_topic(ORDERS).unwrap();
        store.create_topic(ORDERS, TopicConfig::new()).unwrap();
    };
    delete();
    gone("seek", seeking.seek((ORDERS, 0), 2));
    assert_eq!(counting.lag().unwrap(), 0);
    // What one has seen all see: each call is the first after another deletion.
    seeking.assign([(ORDERS, 0)]).unwrap();
    asking.assign([(ORDERS, 0)]).unwrap();
    delete();
    gone("position", asking.position((ORDERS, 0)).map(drop));
    committing.assign([(ORDERS, 0)]).unwrap();
    delete();
    gone("commit_offsets", committing.commit_offsets([((ORDERS, 0).into(), 0)]));
    seeking.assign([(ORDERS, 0)]).unwrap();
    seeking.seek((ORDERS, 0), 0).unwrap();
    delete();
    seeking.commit().unwrap();
    assert!(store.committed("billing").is_empty());
}

#[test]
fn a_commit_that_was_folded_during_a_look_does_not_give_way_to_an_older_one() {
    let dir = fast_dir();
    let store = open(dir.path());
    send(&store, 20);
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut billing = member(reader.consumer_builder()).unwrap();
    let hooked = Hooked::new();
    let other = Store::builder(dir.path()).file_system(hooked.files()).attach().unwrap();
    billing.commit_offsets([((ORDERS, 0).into(), 5)]).unwrap();
    assert_eq!(committed(other.committed("billing")), [5]);
    // The next look reads the list of topics behind the spool: in between there is a commit, and a fold.
    store.create_topic("another", TopicConfig::new()).unwrap();
    let folding = store.clone();
    hooked.at_open(move |path| {
        if !path.ends_with("annals.topics") {
            return Ok(Hook::Stays);
        }
        billing.commit_offsets([((ORDERS, 0).into(), 6)]).unwrap();
        assert_eq!(committed(folding.committed("billing")), [6]);
        Ok(Hook::IsOver)
    });
    let during = committed(other.committed("billing"));
    assert!(during == [5] || during == [6], "{during:?}");
    assert!(hooked.is_over(), "it was not reached");
    assert_eq!(committed(other.committed("billing")), [6]);
}

const DIR: &str = "ANNALS_TEST_GROUPS_DIR";

/// The process to be killed: every line it has written was true before it was written.
#[test]
fn commits_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let reader = StoreReader::attach(dir).unwrap();
    let mut billing = member(reader.consumer_builder()).unwrap();
    loop {
        for record in &billing.poll(Duration::from_millis(1)).unwrap() {
            let next = record.offset() + 1;
            billing.commit_offsets([((ORDERS, record.partition()).into(), next)]).unwrap();
            println!("c {} {next}", record.partition());
        }
    }
}

/// Consumers elsewhere are killed in the middle of their commits, while the owner folds; now and then the owner is another one.
#[test]
fn no_commit_is_lost_or_taken_back_when_its_process_is_killed() {
    use std::io::{BufRead, BufReader};
    let kills = crate::common::count_from_env("ANNALS_PROCESS_KILLS", 12);
    let seed = crate::common::count_from_env("ANNALS_SEED", std::process::id() as usize);
    let mut random = annals_testing::Random::new(seed as u64);
    let dir = fast_dir();
    let mut store = open(dir.path());
    let mut told = [0, 0];
    for life in 0..kills {
        let what = format!("ANNALS_SEED={seed}, life {life}");
        send(&store, 300);
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "groups::commits_until_it_is_killed", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut take = |line: String| {
            let mut words = line.split(' ');
            let (Some("c"), Some(partition), Some(next)) = (words.next(), words.next(), words.next()) else {
                return;
            };
            let (partition, next): (usize, i64) = (partition.parse().unwrap(), next.parse().unwrap());
            assert!(next > told[partition], "{what}: {next} after {}", told[partition]);
            told[partition] = next;
        };
        for _ in 0..random.below(200) + 10 {
            lines.next().into_iter().for_each(&mut take);
            if random.below(20) == 0 {
                drop(store.committed("billing"));
            }
        }
        child.kill().unwrap();
        assert!(child.wait().unwrap().code().is_none(), "{what}: it ended by itself");
        // The last line may be cut off.
        lines.filter(|line| line.split(' ').count() == 3).for_each(take);
        if random.below(3) == 0 {
            store.close().unwrap();
            store = open(dir.path());
        }
        if life % 8 == 7 {
            // Or each life would read the commits of all before it.
            store.topic("__consumer_offsets").unwrap().compact().unwrap();
            let orders = store.topic(ORDERS).unwrap();
            for (partition, told) in orders.partitions().iter().zip(told) {
                partition.delete_records(told).unwrap();
            }
        }
        let mut home = store.consumer("billing").unwrap();
        home.subscribe([ORDERS]).unwrap();
        for (partition, told) in (0..).zip(told) {
            let found = home.committed((ORDERS, partition)).unwrap_or(0);
            // One commit may have been made and not told.
            assert!(found == told || found == told + 1, "{what}: {found}, told {told}");
        }
        read(&mut home);
        home.commit().unwrap();
        told = [0, 1].map(|partition| home.committed((ORDERS, partition)).unwrap());
    }
}
