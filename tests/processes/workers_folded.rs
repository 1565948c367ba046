//! Workers of queues in another process, and an owner that folds beside failures, deletions and its own close.

use std::io::Error as IoError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use annals::io::ManualClock;
use annals::{Durability, Error, Record, Store, StoreReader, TopicConfig};

use crate::common::{by_hand, fast_dir};
use crate::hooked::Hooked;
use crate::world::{
    EIO, EMFILE, GROUP, ORDERS, ack_all, attach, beside, cut_log, fill, is_done_in, killed, length_of,
    letters, make_room, offsets, open, open_on, refuse, send, steps, take, take_at_home, wait_for, worked,
    worked_on,
};

/// A store that a crash has left: the first partition ends at 3, and a worker elsewhere has done more.
pub(crate) fn crashed() -> (tempfile::TempDir, StoreReader, annals::Worker) {
    let (dir, store, reader, mut worker) = worked(3);
    ack_all(take(&mut worker, 3));
    let length = length_of(&store, ORDERS);
    send(&store, 3);
    ack_all(take(&mut worker, 3));
    drop((worker, reader));
    let copy = killed(store, dir.path());
    cut_log(copy.path(), ORDERS, length);
    let reader = attach(copy.path());
    let worker = reader.queue(ORDERS, GROUP).unwrap();
    (copy, reader, worker)
}

/// Records sent there are handed out, and who has the queue is told that others were there.
pub(crate) fn check_cut(store: &Store, reader: &StoreReader, mut before: annals::Worker) {
    send(store, 3);
    assert!(matches!(before.take(9, Duration::ZERO), Err(Error::Io { .. })));
    drop(before);
    assert_eq!(offsets(&take(&mut reader.queue(ORDERS, GROUP).unwrap(), 9)), [3, 4, 5]);
    drop(letters(store));
    let mut home = store.queue(ORDERS, GROUP).unwrap();
    assert_eq!(offsets(&take(&mut home, 9)), [3, 4, 5]);
}

#[test]
fn records_sent_where_steps_could_not_be_read_at_the_open_are_handed_out() {
    let (dir, reader, worker) = crashed();
    let hooked = Hooked::new();
    refuse(&hooked, "annals.steps", EMFILE);
    let store = by_hand(dir.path()).file_system(hooked.files()).open().unwrap();
    let refused = store.producer().send(Record::to(ORDERS).partition(0).value("x"));
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    store.producer().send(Record::to(ORDERS).partition(0).value("x")).unwrap_err();
    make_room(&hooked);
    check_cut(&store, &reader, worker);
}

#[test]
fn records_sent_where_nobody_knew_which_steps_there_are_are_handed_out() {
    let mut opened = 0;
    for after in 0..6 {
        let (dir, reader, worker) = crashed();
        let hooked = Hooked::new();
        let mut count = 0;
        let root = dir.path().to_path_buf();
        hooked.at_list(move |path| {
            count += usize::from(path == root);
            if count > after && path == root { Err(IoError::from_raw_os_error(EMFILE)) } else { Ok(()) }
        });
        let Ok(store) = by_hand(dir.path()).file_system(hooked.files()).open() else { continue };
        opened += 1;
        hooked.at_list(|_| Ok(()));
        check_cut(&store, &reader, worker);
    }
    assert!(opened > 0);
}

/// Where the file of the locks cannot be opened or mapped, a queue and a group that others have are theirs still.
#[test]
fn a_queue_is_one_processes_also_where_the_next_owner_can_show_nothing() {
    let (dir, store, reader, mut worker) = worked(3);
    let mut billing = reader.consumer("billing").unwrap();
    billing.subscribe([ORDERS]).unwrap();
    let taken = take(&mut worker, 1);
    store.close().unwrap();
    let hooked = Hooked::new();
    refuse(&hooked, "annals.live", EMFILE);
    let refused = by_hand(dir.path()).file_system(hooked.files()).open();
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    make_room(&hooked);
    hooked.at_share(|_| Err(IoError::from_raw_os_error(12)));
    let store = by_hand(dir.path()).file_system(hooked.files()).open().unwrap();
    let is_theirs = |store: &Store| {
        assert!(matches!(store.queue(ORDERS, GROUP), Err(Error::GroupInUse { .. })));
        assert!(matches!(store.consumer("billing"), Err(Error::GroupInUse { .. })));
        assert!(matches!(store.delete_group(GROUP), Err(Error::GroupInUse { .. })));
    };
    is_theirs(&store);
    let refused = StoreReader::attach(dir.path());
    assert!(matches!(refused, Err(Error::StoreInUse { .. })), "{refused:?}");
    store.close().unwrap();
    let store = open(dir.path());
    is_theirs(&store);
    ack_all(taken);
    drop((worker, billing));
    assert_eq!(offsets(&take_at_home(&store)), [1, 2]);
    attach(dir.path()).queue(ORDERS, "another").unwrap();
}

#[test]
fn a_partition_of_another_topic_that_cannot_be_synced_stops_no_fold() {
    let dir = fast_dir();
    let hooked = Hooked::new();
    let store = open_on(dir.path(), hooked.files());
    store.create_topic("others", TopicConfig::new().partitions(2)).unwrap();
    send(&store, 3);
    let reader = attach(dir.path());
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    ack_all(take(&mut worker, 2));
    hooked.at_sync(|path| match path.to_string_lossy().contains("others-0/0") {
        true => Err(IoError::from_raw_os_error(EIO)),
        false => Ok(()),
    });
    let tx = store.transaction_builder("of-another").durability(Durability::Os);
    let mut tx = tx.begin().unwrap();
    for partition in 0..2 {
        tx.send(Record::to("others").partition(partition).value("x")).unwrap();
    }
    tx.commit().unwrap();
    drop(worker);
    assert_eq!(offsets(&take_at_home(&store)), [2]);
    assert!(steps(dir.path()).is_empty());
}

/// A backup lacks the letters that cannot be written, and what stands in a broken file.
#[test]
fn a_backup_waits_for_no_letter_and_for_no_broken_steps() {
    let hooked = Hooked::new();
    let (dir, store, reader, mut worker) = worked_on(&hooked, 4);
    let mut taken = take(&mut worker, 2);
    taken.remove(0).reject("no").unwrap();
    ack_all(taken);
    fill(&hooked, ".dead");
    let mut other = reader.queue(ORDERS, "billing").unwrap();
    ack_all(take(&mut other, 1));
    drop(other);
    let before = steps(dir.path());
    assert_eq!(before.len(), 2);
    let copy = fast_dir();
    store.backup(copy.path().join("owed")).unwrap();
    let restored = copy.path().join("restored");
    annals::backup::Backup::open(copy.path().join("owed"))
        .unwrap()
        .restore(&restored, Default::default())
        .unwrap();
    let again = by_hand(&restored).open().unwrap();
    assert_eq!(offsets(&take_at_home(&again)), [0, 2, 3]);
    assert_eq!(offsets(&take(&mut again.queue(ORDERS, "billing").unwrap(), 9)), [1, 2, 3]);
    let path = steps(dir.path()).remove(0);
    std::fs::write(&path, "nothing that anybody understands").unwrap();
    assert!(matches!(store.maintain(), Err(Error::Corrupt { .. })));
    assert!(reader.stats().is_ok(), "the others are to be seen");
    store.backup(copy.path().join("broken")).unwrap();
    make_room(&hooked);
}

/// Its letter cannot be written, so its file is there when the group is deleted.
#[test]
fn a_group_that_is_deleted_beside_a_fold_does_not_come_back() {
    let hooked = Hooked::new();
    let (dir, store, _reader, mut worker) = worked_on(&hooked, 4);
    take(&mut worker, 1).remove(0).reject("no").unwrap();
    drop(worker);
    fill(&hooked, ".dead");
    let (folds, files) = (store.clone(), Arc::clone(&hooked));
    hooked.at_remove_of("annals.steps", move || {
        make_room(&files);
        let is_done = beside(move || {
            drop(folds.drop_done(ORDERS));
            drop(folds.stats());
        });
        is_done_in(Duration::from_millis(500), &is_done);
    });
    store.delete_group(GROUP).unwrap();
    assert!(steps(dir.path()).is_empty());
    let queues = store.stats().unwrap().queues;
    assert!(queues.iter().all(|queue| queue.group != GROUP), "{queues:?}");
}

#[test]
fn a_delay_that_never_ends_here_holds_up_no_letter_from_elsewhere() {
    let dir = fast_dir();
    let clock = Arc::new(ManualClock::at(1_000));
    let store = by_hand(dir.path()).clock(clock).open().unwrap();
    store.ensure_topic(ORDERS, TopicConfig::new()).unwrap();
    send(&store, 1);
    take(&mut store.queue(ORDERS, GROUP).unwrap(), 1).remove(0).release(Duration::MAX).unwrap();
    let reader = attach(dir.path());
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    take(&mut worker, 1).remove(0).reject("no").unwrap();
    store.maintain().unwrap();
    assert_eq!(letters(&store), [(0, 2, "no".to_owned())]);
}

#[test]
fn letters_that_cannot_be_written_cost_no_file_each_time() {
    let hooked = Hooked::new();
    let (_dir, store, _reader, mut worker) = worked_on(&hooked, 4);
    take(&mut worker, 3).into_iter().for_each(|message| message.reject("no").unwrap());
    fill(&hooked, ".dead");
    store.maintain().unwrap_err();
    let renamed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&renamed);
    hooked.at_rename(move |path| {
        _ = count.fetch_add(usize::from(path.to_string_lossy().contains("annals.steps")), Ordering::SeqCst);
    });
    store.maintain().unwrap_err();
    drop(store.stats());
    assert_eq!(renamed.load(Ordering::SeqCst), 0);
    make_room(&hooked);
    store.maintain().unwrap();
    assert_eq!(letters(&store).len(), 3);
}

/// A fold that fails is tried again before the next round of maintenance.
#[test]
fn a_fold_that_fails_is_tried_again_soon() {
    let dir = fast_dir();
    let hooked = Hooked::new();
    let store = Store::builder(dir.path()).file_system(hooked.files()).open().unwrap();
    store.ensure_topic(ORDERS, TopicConfig::new()).unwrap();
    send(&store, 2);
    let reader = attach(dir.path());
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    ack_all(take(&mut worker, 2));
    fill(&hooked, "annals.steps");
    drop(store.stats());
    // Nobody has it from here on, so that nothing else has it folded.
    drop(worker);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(steps(dir.path()).len(), 1);
    make_room(&hooked);
    assert!(wait_for(|| steps(dir.path()).is_empty(), Duration::from_secs(20)));
}

/// What an owner takes out of a file nobody appends to in between, also where it closes.
#[test]
fn a_close_waits_for_a_fold() {
    let hooked = Hooked::new();
    let (dir, store, _reader, mut worker) = worked_on(&hooked, 4);
    ack_all(take(&mut worker, 2));
    let was_closed = Arc::new(AtomicUsize::new(0));
    let (closing, found, mut is_first) = (store.clone(), Arc::clone(&was_closed), true);
    hooked.at_rename(move |path| {
        if !path.to_string_lossy().contains("annals.steps") || !std::mem::take(&mut is_first) {
            return;
        }
        let closing = closing.clone();
        let is_closed = beside(move || drop(closing.close()));
        let closed = is_done_in(Duration::from_millis(700), &is_closed);
        found.store(1 + usize::from(closed), Ordering::SeqCst);
    });
    drop(store.stats());
    drop(store.close());
    assert_eq!(was_closed.load(Ordering::SeqCst), 1, "1: it waited, 2: it did not");
    drop(store.stats().unwrap_err());
    ack_all(take(&mut worker, 1));
    drop(worker);
    assert_eq!(offsets(&take(&mut open(dir.path()).queue(ORDERS, GROUP).unwrap(), 9)), [3]);
}
