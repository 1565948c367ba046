//! A store that is closed, or a reader that goes, while other threads are in the middle of a change of what processes share; and calls that
//! wait for each other.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use annals::{Consumer, Durability, Error, Store, StoreReader};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, Times};

use crate::common::{by_hand, fast_dir};
use crate::hooked::{Hook, Hooked};
use crate::workers_folded::{check_cut, crashed};
use crate::world::{
    EIO, EMFILE, GROUP, ORDERS, ack_all, attach, attach_failing, beside, cut_log, failing, is_done_in,
    killed, length_of, offsets, open, open_on, owned, refuse, send, steps, take, take_at_home, wait_for,
    worked,
};

/// What would not wait is done by then.
const A_WHILE: Duration = Duration::from_millis(700);

/// A member of a group elsewhere that has committed one offset, and has read one more.
fn has_read(store: &Store, reader: &StoreReader) -> Consumer {
    has_read_at(store, reader, Durability::Os)
}

fn has_read_at(store: &Store, reader: &StoreReader, durability: Durability) -> Consumer {
    let builder = reader.consumer_builder().group("billing").commit_durability(durability);
    let mut consumer = builder.build().unwrap();
    consumer.subscribe([ORDERS]).unwrap();
    let mut read = || {
        send(store, 1);
        assert!(wait_for_record(&mut consumer));
    };
    read();
    read();
    consumer.commit().unwrap();
    send(store, 1);
    assert!(wait_for_record(&mut consumer));
    consumer
}

fn wait_for_record(consumer: &mut Consumer) -> bool {
    (0..100).any(|_| !consumer.poll(Duration::from_millis(20)).unwrap().is_empty())
}

fn committed(dir: &Path) -> Vec<i64> {
    let all = open(dir).committed("billing").into_iter();
    all.filter(|(place, _)| place.partition() == 0).map(|(_, at)| at.offset).collect()
}

#[test]
fn a_commit_elsewhere_beside_a_close_in_the_middle_of_a_fold_is_kept() {
    let dir = fast_dir();
    let hooked = Hooked::new();
    let store = open_on(dir.path(), hooked.files());
    let reader = attach(dir.path());
    let mut consumer = has_read(&store, &reader);
    let closing = store.clone();
    let (tell, told) = mpsc::channel();
    hooked.at_remove_of("annals.spool", move || {
        let closed = beside(move || drop(closing.close()));
        let was_closed = is_done_in(A_WHILE, &closed);
        let (commits, answer) = (tell.clone(), tell);
        let done = beside(move || commits.send((was_closed, Some(consumer.commit()))).unwrap());
        is_done_in(A_WHILE, &done);
        drop(answer);
    });
    drop(store.stats());
    let (was_closed, outcome) = told.recv_timeout(Duration::from_secs(30)).unwrap();
    outcome.unwrap().unwrap();
    drop(store.close());
    drop(store);
    assert_eq!((committed(dir.path()), was_closed), (vec![3], false));
}

#[test]
fn a_commit_elsewhere_beside_the_end_of_its_reader_is_kept_or_refused() {
    let (dir, store) = owned(0);
    let (files, reader) = attach_failing(dir.path());
    let mut consumer = has_read(&store, &reader);
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Write], "annals.spool", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let committing = thread::spawn(move || consumer.commit());
    assert!(wait_for(|| files.armed() == 0, Duration::from_secs(20)));
    let dropped = beside(move || drop(reader));
    is_done_in(A_WHILE, &dropped);
    let folds = store.clone();
    let folded = beside(move || drop(folds.stats()));
    is_done_in(A_WHILE, &folded);
    gate.open();
    let outcome = committing.join().unwrap();
    assert!(is_done_in(Duration::from_secs(20), &folded) && is_done_in(Duration::from_secs(20), &dropped));
    store.close().unwrap();
    drop(store);
    assert_eq!(committed(dir.path()), [if outcome.is_ok() { 3 } else { 2 }]);
}

/// Whoever has the queue next may begin a sync of the same file, and what this one says of its own would be said of that.
#[test]
fn the_end_of_a_reader_waits_for_a_sync_of_steps() {
    let (dir, store) = owned(0);
    let (files, reader) = attach_failing(dir.path());
    send(&store, 2);
    let mut worker = reader.queue_builder(ORDERS, GROUP).durability(Durability::Disk).build().unwrap();
    let mut taken = take(&mut worker, 2);
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Sync], "annals.steps", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let message = taken.remove(0);
    let answering = thread::spawn(move || message.ack());
    assert!(wait_for(|| files.armed() == 0, Duration::from_secs(20)));
    let dropped = beside(move || drop(reader));
    assert!(!is_done_in(A_WHILE, &dropped));
    gate.open();
    answering.join().unwrap().unwrap();
    assert!(is_done_in(Duration::from_secs(20), &dropped));
    assert!(taken.remove(0).ack().is_err());
    assert_eq!(offsets(&take_at_home(&store)), [1]);
}

#[test]
fn the_end_of_a_reader_waits_for_the_sync_of_a_commit() {
    let (dir, store) = owned(0);
    let (files, reader) = attach_failing(dir.path());
    let mut consumer = has_read_at(&store, &reader, Durability::Disk);
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Sync], "annals.spool", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let committing = thread::spawn(move || consumer.commit());
    assert!(wait_for(|| files.armed() == 0, Duration::from_secs(20)));
    let dropped = beside(move || drop(reader));
    assert!(!is_done_in(A_WHILE, &dropped));
    gate.open();
    committing.join().unwrap().unwrap();
    assert!(is_done_in(Duration::from_secs(20), &dropped));
    store.close().unwrap();
    drop(store);
    assert_eq!(committed(dir.path()), [3]);
}

/// The flush cuts a file of steps that the open could not, with the partition's writer; the deletion waits for that one.
#[test]
fn a_flush_beside_the_deletion_of_a_topic_whose_steps_are_not_cut_ends() {
    let (dir, reader, worker) = crashed();
    let hooked = Hooked::new();
    refuse(&hooked, "annals.steps", EMFILE);
    let store = by_hand(dir.path()).file_system(hooked.files()).open().unwrap();
    let (deletes, (tell, deleted)) = (store.clone(), mpsc::channel());
    hooked.at_open(move |path| {
        if !path.to_string_lossy().contains("annals.steps") {
            return Ok(Hook::Stays);
        }
        let (deletes, tell) = (deletes.clone(), tell.clone());
        let done = beside(move || tell.send(deletes.delete_topic(ORDERS)).unwrap());
        is_done_in(A_WHILE, &done);
        Ok(Hook::IsOver)
    });
    let flushes = store.clone();
    let flushed = beside(move || drop(flushes.producer().flush()));
    assert!(is_done_in(Duration::from_secs(20), &flushed), "both wait for each other");
    deleted.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
    assert!(hooked.is_over());
    drop((worker, reader));
}

#[test]
fn a_group_that_is_deleted_again_after_its_names_could_not_be_synced_stays_so() {
    let (dir, files) = (fast_dir(), FaultyFileSystem::new());
    let store = open_on(dir.path(), failing(&files));
    send(&store, 2);
    let reader = attach(dir.path());
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    ack_all(take(&mut worker, 1));
    drop(store.stats());
    // A fold leaves one alone that is broken.
    let path = steps(dir.path()).remove(0);
    std::fs::write(&path, "nothing that anybody understands").unwrap();
    drop(worker);
    files.fail(&[Call::SyncDir], "", (0, Times::ForEver), Fault::Error(EIO));
    store.delete_group(GROUP).unwrap_err();
    assert!(steps(dir.path()).is_empty());
    files.heal();
    files.forget();
    store.delete_group(GROUP).unwrap();
    let root = dir.path().canonicalize().unwrap();
    let is_sync = |call: Call, path: &Path| call == Call::SyncDir && path.canonicalize().unwrap() == root;
    assert!(files.trace().iter().any(|done| is_sync(done.call, &done.path)));
}

/// The first open finds what is gone, and cannot tell whoever has the queue; the next one finds nothing any more.
#[test]
fn a_worker_is_told_of_a_cut_that_an_earlier_open_could_not_tell() {
    let (dir, store) = owned(3);
    let length = length_of(&store, ORDERS);
    send(&store, 3);
    ack_all(take(&mut attach(dir.path()).queue(ORDERS, GROUP).unwrap(), 6));
    drop(store.stats());
    let copy = killed(store, dir.path());
    let reader = attach(copy.path());
    let worker = reader.queue(ORDERS, GROUP).unwrap();
    cut_log(copy.path(), ORDERS, length);
    let hooked = Hooked::new();
    refuse(&hooked, "annals.steps", EMFILE);
    let store = by_hand(copy.path()).file_system(hooked.files()).open().unwrap();
    drop(store.close());
    drop(store);
    let store = open(copy.path());
    check_cut(&store, &reader, worker);
}

#[test]
fn a_queue_is_its_next_processes_as_soon_as_its_reader_is_gone() {
    let (_dir, store, reader, mut worker) = worked(1);
    drop(reader);
    assert!(matches!(worker.take(1, Duration::ZERO), Err(Error::StoreClosed { .. } | Error::Io { .. })));
    assert_eq!(take(&mut store.queue(ORDERS, GROUP).unwrap(), 1).len(), 1);
}
