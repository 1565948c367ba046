//! Records accepted in memory that could not be written: who is told, and who is not.

#![expect(clippy::disallowed_methods, reason = "two senders at the same time")]

use std::path::Path;
use std::task::{Poll, Waker};
use std::thread;

use super::*;
use crate::doubles::{Call, Fault, FaultyFileSystem, MemoryFileSystem, Times};
use crate::error::{Error, Result};
use crate::log::write::accumulator::tests::place_one;
use crate::log::write::accumulator::{Accumulator, Take};
use crate::log::write::next_offset::NextOffset;
use crate::log::write::rules::AppendRules;

const DISK_FULL: Fault = Fault::Error(28);

/// A partition with one record, on a disk that fails when it is told to.
fn one_record() -> (Arc<FaultyFileSystem>, Arc<Log>) {
    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let directory = Directory::new(Arc::clone(&disk) as _, Path::new("/log"));
    directory.ensure().unwrap();
    Log::create(&directory, IDENTITY, &config(1 << 20)).unwrap();
    let log = open(&directory, ReadMode::Positional, 1 << 20).0;
    append(&log, 0..1, Durability::Os);
    (disk, log)
}

fn send(log: &Arc<Log>, value: &[u8], linger: Duration) -> Result<Offset> {
    let how = Append { linger, ..how(Durability::Memory) };
    log.append(&[Record::new().value(value)], &how).map(|appended| appended.last_offset)
}

fn leave(log: &Arc<Log>, value: &str) -> Offset {
    send(log, value.as_bytes(), Duration::from_secs(9)).unwrap()
}

/// The offsets that an error says to be lost.
#[track_caller]
fn lost<T: std::fmt::Debug>(outcome: Result<T>) -> (Offset, Offset) {
    match outcome {
        Err(Error::Lost { first, last, .. }) => (first, last),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn poll_once(wait: &mut DurableWait) -> Result<()> {
    match wait.poll(Waker::noop()) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it goes on waiting"),
    }
}

#[test]
fn a_sender_is_told_of_a_loss_if_it_is_its_own_and_the_one_whose_record_stands_is_not() {
    for _ in 0..20 {
        let (disk, log) = one_record();
        let writer = log.writer.lock();
        let sender = |value: &'static [u8], offset: Offset| {
            let of = Arc::clone(&log);
            let sender = thread::spawn(move || send(&of, value, Duration::ZERO));
            while log.next_offset() <= offset {
                thread::yield_now();
            }
            // It waits for the writer by now, most likely, before those that come later.
            thread::sleep(Duration::from_millis(5));
            sender
        };
        let first = sender(b"stands", 1);
        // It has no room in the first one's batch.
        let second = sender(&[b'x'; 300], 2);
        disk.fail(&[Call::Write], ".log", (1, Times::Once), DISK_FULL);
        drop(writer);
        assert_eq!(first.join().unwrap().unwrap(), 1);
        assert_eq!(lost(second.join().unwrap()), (2, 2));
        assert_eq!(read_all(&log, 1), [(1, b"stands".to_vec())]);
        // Whose record it was knows it: nobody else is in doubt.
        assert_eq!(send(&log, b"next", Duration::ZERO).unwrap(), 2);
        log.flush().unwrap();
    }
}

#[test]
fn a_flush_tells_of_a_loss_that_another_sender_was_told_of() {
    let (disk, log) = one_record();
    let lose = || {
        let offset = leave(&log, "lost");
        disk.fail(&[Call::Write], ".log", (0, Times::Once), DISK_FULL);
        log.write_queued();
        offset
    };
    log.flush().unwrap();
    assert_eq!(lose(), 1);
    assert_eq!(lost(send(&log, b"of another", Duration::from_secs(9))), (1, 1));
    // Its sender is told by the flush that it relies on, once.
    assert_eq!(lost(log.flush()), (1, 1));
    log.flush().unwrap();
    // What a flush has told no send tells.
    assert_eq!(lose(), 1);
    assert_eq!(lost(log.flush()), (1, 1));
    assert_eq!(leave(&log, "kept"), 1);
    log.flush().unwrap();
    // Of several losses the flush tells the first and the last offset.
    assert_eq!(lose(), 2);
    assert_eq!(lost(send(&log, b"of another", Duration::from_secs(9))), (2, 2));
    append(&log, 2..5, Durability::Disk);
    assert_eq!(lose(), 5);
    assert_eq!(lost(send(&log, b"of another", Duration::from_secs(9))), (5, 5));
    assert_eq!(lost(log.flush()), (2, 5));
    log.flush().unwrap();
}

#[test]
fn a_close_tells_of_a_loss_that_another_sender_was_told_of() {
    let (disk, log) = one_record();
    leave(&log, "lost");
    disk.fail(&[Call::Write], ".log", (0, Times::Once), DISK_FULL);
    log.write_queued();
    assert_eq!(lost(send(&log, b"of another", Duration::from_secs(9))), (1, 1));
    assert_eq!(lost(log.close()), (1, 1));
}

#[test]
fn a_close_that_fails_tells_of_a_loss_all_the_same() {
    let (disk, log) = one_record();
    leave(&log, "lost");
    disk.fail(&[Call::Write], "", (0, Times::ForEver), DISK_FULL);
    assert_eq!(lost(log.close()), (1, 1));
}

#[test]
fn a_wait_for_a_record_that_is_durable_ends_well_whatever_became_of_later_ones() {
    let (disk, log) = one_record();
    let durable = leave(&log, "kept");
    let (mut wait, mut of_all) = (log.await_durable(durable).unwrap(), log.await_all());
    log.write_queued();
    let mut later = log.await_durable(leave(&log, "lost")).unwrap();
    disk.fail(&[Call::Write], ".log", (0, Times::Once), DISK_FULL);
    log.write_queued();
    append_at(&log, 2);
    log.sync_in_background().unwrap();
    assert_eq!(log.durable(), 3);
    poll_once(&mut wait).unwrap();
    poll_once(&mut of_all).unwrap();
    // Its offset is durable, and another's.
    assert_eq!(lost(poll_once(&mut later)), (2, 2));
    assert_eq!(lost(log.flush()), (2, 2), "no wait has used it up");
}

/// Another record takes the offset.
fn append_at(log: &Arc<Log>, offset: Offset) {
    drop(log.append(&[Record::new().value("told of the loss")], &how(Durability::Os)));
    let appended = log.append(&[Record::new().value("another")], &how(Durability::Os)).unwrap();
    assert_eq!(appended.first_offset, offset);
}

/// Offsets of what could not be written are given out again: they do not tell one loss from another.
#[test]
fn a_sender_told_of_its_own_loss_wiped_out_that_of_another_at_the_same_offset() {
    let (disk, log) = one_record();
    log.flush().unwrap();
    assert_eq!(leave(&log, "of the first"), 1);
    disk.fail(&[Call::Write], ".log", (0, Times::Once), DISK_FULL);
    log.write_queued();
    assert_eq!(lost(send(&log, b"refused", Duration::ZERO)), (1, 1));
    disk.fail(&[Call::Write], ".log", (0, Times::Once), DISK_FULL);
    assert_eq!(lost(send(&log, b"of the second", Duration::ZERO)), (1, 1), "its own");
    assert_eq!(lost(log.flush()), (1, 1), "of the first, whom nobody has told");
    log.flush().unwrap();
    // Where nothing else is lost whoever was told knows all of it, however often.
    for _ in 0..2 {
        disk.fail(&[Call::Write], ".log", (0, Times::Once), DISK_FULL);
        assert_eq!(lost(send(&log, b"of the second", Duration::ZERO)), (1, 1));
    }
    log.flush().unwrap();
}

#[test]
fn a_sender_that_looks_late_is_told_of_its_own_loss_and_leaves_that_of_another_at_its_offset() {
    let partition = ("orders", 0).into();
    let mut accumulator =
        Accumulator::new(NextOffset::new(0), AppendRules::new(&config(1 << 20)), Arc::default());
    let lose = |accumulator: &mut Accumulator| {
        let failures = accumulator.failures();
        let offset = place_one(accumulator);
        let queued = accumulator.take(Take::All);
        accumulator.fail(queued, 0, &partition, &Error::invalid("disk"));
        (offset..=offset, failures)
    };
    let first = lose(&mut accumulator);
    assert!(accumulator.take_refusal().is_some(), "another sender is told of it");
    assert_eq!(lose(&mut accumulator), (0..=0, 1));
    assert_eq!(lost::<()>(Err(accumulator.take_own(first, &partition))), (0, 0));
    assert!(accumulator.refuses(), "the next one is told of the second");
    assert!(accumulator.take_lost().is_some());
}

/// Nothing of it is known to be durable, and nothing was appended since: it has to be copied to where a sync reaches it.
#[test]
fn a_sync_of_what_an_earlier_life_has_left_used_up_the_loss_of_a_sender() {
    let (disk, log) = one_record();
    drop(log);
    let log =
        open(&Directory::new(Arc::clone(&disk) as _, Path::new("/log")), ReadMode::Positional, 1 << 20).0;
    assert_eq!((log.durable(), leave(&log, "lost")), (0, 1));
    disk.fail(&[Call::Write], "", (0, Times::ForEver), DISK_FULL);
    log.write_queued();
    disk.heal();
    log.sync_through(0).unwrap();
    assert_eq!((log.durable(), lost(log.flush())), (1, (1, 1)));
    log.flush().unwrap();
}

/// A send that had passed its first check before the deletion was given the offset of another's record, which was lost.
#[test]
fn an_offset_of_a_partition_that_is_being_deleted_was_given_to_two_records() {
    let (_, log) = one_record();
    leave(&log, "lost with its topic");
    let deleted = Error::UnknownTopic { topic: "orders".to_owned(), was_deleted: true };
    log.retired.set(deleted).unwrap();
    // Somebody writes, and finds out.
    log.write_with(&mut log.writer.lock(), Take::All);
    for _ in 0..2 {
        let mut accumulator = log.accumulator.lock();
        let admitted = log.admit(&mut accumulator, (&[Record::new()], 100), &how(Durability::Memory), 0);
        assert!(admitted.is_err(), "at {}", accumulator.next_offset());
    }
}
