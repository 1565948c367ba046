//! Groups whose consumers are in another process than the owner.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use annals::{
    Consumer, ConsumerBuilder, Durability, Error, Record, Store, StoreReader, TopicConfig, TopicPartition,
};
use tempfile::TempDir;

use crate::common::{by_hand, fast_dir, now};
use crate::hooked::Hook;
use crate::world::{
    EMFILE, ORDERS, attach, attach_hooked, attached, failing, make_room, open, open_on, owned,
};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

pub(crate) fn send(store: &Store, count: i64) {
    for number in 0..count {
        let partition = u32::from(number % 2 != 0);
        store.producer().send(Record::to(ORDERS).partition(partition).value("2 apples")).unwrap();
    }
}

pub(crate) fn member(builder: ConsumerBuilder) -> Result<Consumer, Error> {
    let mut consumer = builder.group("billing").build()?;
    consumer.subscribe([ORDERS])?;
    Ok(consumer)
}

/// A store with room for backups beside it, and a member elsewhere that has committed 7.
pub(crate) fn committed_beside() -> (TempDir, Store, StoreReader, Consumer) {
    let dir = fast_dir();
    let store = open(&dir.path().join("store"));
    send(&store, 20);
    let reader = attach(store.path());
    let mut billing = member(reader.consumer_builder()).unwrap();
    billing.commit_offsets([((ORDERS, 0).into(), 7)]).unwrap();
    (dir, store, reader, billing)
}

/// Reads what there is.
pub(crate) fn read(consumer: &mut Consumer) -> usize {
    let mut records = 0;
    loop {
        match consumer.poll(Duration::from_millis(1)).unwrap().len() {
            0 => return records,
            more => records += more,
        }
    }
}

pub(crate) fn committed(
    offsets: impl IntoIterator<Item = (TopicPartition, annals::CommittedOffset)>,
) -> Vec<i64> {
    offsets.into_iter().map(|(_, at)| at.offset).collect()
}

#[test]
fn a_group_is_one_processes_at_a_time_and_goes_on_where_it_has_committed() {
    let (dir, store) = owned(0);
    let (one, other) = (attach(dir.path()), attach(dir.path()));
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
    let (dir, store) = owned(0);
    store.create_topic("invoices", TopicConfig::new()).unwrap();
    send(&store, 20);
    let other = attach(dir.path());
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
    let (dir, files) = (fast_dir(), FaultyFileSystem::new());
    let store = open_on(dir.path(), failing(&files));
    store.create_topic("invoices", TopicConfig::new()).unwrap();
    send(&store, 20);
    with_offsets(&store).commit().unwrap();
    send(&store, 2);
    let other = attach(dir.path());
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

/// Whatever keeps a process from seeing the commits: it has seen them, and no member of it begins elsewhere.
#[test]
fn a_look_that_fails_forgets_no_commit_and_no_member_begins_without() {
    let (dir, store) = owned(0);
    send(&store, 20);
    let (hooked, reader) = attach_hooked(dir.path());
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
    make_room(&hooked);
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
    let reader = attach(dir.path());
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
    let (dir, store, _reader, billing) = committed_beside();
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

/// An automatic commit waited for the lock as one by hand does.
#[test]
fn a_poll_that_commits_waited_longer_than_its_time_for_a_process_that_is_stopped_in_a_commit() {
    use annals::io::FileSystem;
    let (_dir, store, reader) = attached(0);
    send(&store, 2);
    let page = annals::io::OsFileSystem
        .open(&store.path().join("annals.live"), annals::io::OpenMode::ReadWrite)
        .unwrap();
    let mut billing = member(reader.consumer_builder().auto_commit(Duration::ZERO)).unwrap();
    assert!(page.try_lock_byte(1).unwrap());
    let begin = now();
    assert_eq!(read(&mut billing), 2);
    assert!(billing.auto_commit_failure().is_some(), "it could commit");
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    page.unlock_byte(1).unwrap();
    billing.close().unwrap();
    assert_eq!(committed(store.committed("billing")), [1, 1]);
}

/// The list had changed, and was looked at when another member left.
#[test]
fn a_look_at_the_list_of_topics_that_failed_took_the_partitions_of_the_other_members() {
    let (dir, store) = owned(0);
    send(&store, 4);
    let (hooked, reader) = attach_hooked(dir.path());
    let mut stays = member(reader.consumer_builder().client_id("a")).unwrap();
    let leaves = member(reader.consumer_builder().client_id("b")).unwrap();
    assert_eq!(read(&mut stays), 2);
    store.create_topic("another", TopicConfig::new()).unwrap();
    hooked.at_open(|path| match path.ends_with("annals.topics") {
        true => Err(std::io::Error::from_raw_os_error(EMFILE)),
        false => Ok(Hook::Stays),
    });
    drop(leaves);
    hooked.at_open(|_| Ok(Hook::IsOver));
    assert_eq!(read(&mut stays), 2, "what it had read came again");
    stays.commit().unwrap();
    assert_eq!(committed(store.committed("billing")), [2, 2]);
}

/// It can do nothing any more.
#[test]
fn a_consumer_that_outlives_its_reader_keeps_nobody_out_of_its_group() {
    let (_dir, store, reader) = attached(0);
    let mut kept = member(reader.consumer_builder()).unwrap();
    drop(reader);
    assert!(matches!(kept.poll(Duration::ZERO), Err(Error::StoreClosed { .. })));
    assert!(store.consumer("billing").is_ok());
    drop(kept);
}

#[test]
fn a_consumer_whose_drop_panicked_kept_its_group_from_other_processes() {
    let (dir, store) = owned(0);
    let (hooked, reader) = attach_hooked(dir.path());
    let [first, last] = [(); 2].map(|()| member(reader.consumer_builder()).unwrap());
    // Whoever leaves others has these assigned what it read, and looks at the list of topics for that.
    store.create_topic("another", TopicConfig::new()).unwrap();
    hooked.at_open(|_| panic!("the file system panics"));
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(first)));
    assert!(dropped.is_err(), "it was not reached");
    drop(last);
    member(attach(dir.path()).consumer_builder()).unwrap();
}

#[test]
fn only_the_members_of_the_process_that_has_the_group_may_commit_and_only_what_is_there() {
    let (dir, store, reader) = attached(0);
    send(&store, 4);
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
    let (_dir, store, reader) = attached(0);
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
    let (_dir, store, reader) = attached(0);
    send(&store, 4);
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

/// What is known of commits is of one topic, and of what nobody has taken back.
#[test]
fn the_same_position_is_committed_again_after_its_group_or_its_topic_was_deleted() {
    let (_dir, store, reader) = attached(0);
    let assigned = |builder: ConsumerBuilder| {
        let mut consumer = builder.group("billing").commit_durability(Durability::Disk).build().unwrap();
        consumer.assign([(ORDERS, 0)]).unwrap();
        consumer
    };
    let check = |consumer: &mut Consumer, what: &str| {
        consumer.seek_to_end();
        consumer.commit().unwrap();
        assert_eq!(committed(store.committed("billing")), [5], "{what}");
    };
    send(&store, 10);
    let mut home = assigned(store.consumer_builder());
    check(&mut home, "at home");
    store.delete_group("billing").unwrap();
    check(&mut home, "at home, after its group was deleted");
    drop(home);
    let mut away = assigned(reader.consumer_builder());
    check(&mut away, "elsewhere");
    assert!(matches!(store.delete_group("billing"), Err(Error::GroupInUse { .. })));
    drop(away);
    store.delete_group("billing").unwrap();
    let mut away = assigned(reader.consumer_builder());
    check(&mut away, "elsewhere, after its group was deleted");
    store.delete_topic(ORDERS).unwrap();
    store.create_topic(ORDERS, TopicConfig::new().partitions(2)).unwrap();
    send(&store, 10);
    away.assign([(ORDERS, 0)]).unwrap();
    check(&mut away, "elsewhere, in another topic of the name");
    drop(away);
    check(&mut assigned(store.consumer_builder()), "at home, in another topic of the name");
}
