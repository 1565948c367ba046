//! Records accepted in memory that could not be written: who is told, and who is not.

#![expect(clippy::disallowed_methods, reason = "two senders at the same time")]

use std::path::Path;
use std::task::{Poll, Waker};
use std::thread;

use super::*;
use crate::doubles::{Call, Fault, FaultyFileSystem, MemoryFileSystem, Times};
use crate::error::{Error, Result};

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
    for is_async in [false, true] {
        let (disk, log) = one_record();
        let flush = || if is_async { poll_once(&mut log.await_all()) } else { log.flush() };
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
        assert_eq!(lost(flush()), (1, 1));
        flush().unwrap();
        // What a flush has told no send tells.
        assert_eq!(lose(), 1);
        assert_eq!(lost(flush()), (1, 1));
        assert_eq!(leave(&log, "kept"), 1);
        log.flush().unwrap();
        // Of several losses the flush tells the first and the last offset.
        assert_eq!(lose(), 2);
        assert_eq!(lost(send(&log, b"of another", Duration::from_secs(9))), (2, 2));
        append(&log, 2..5, Durability::Disk);
        assert_eq!(lose(), 5);
        assert_eq!(lost(send(&log, b"of another", Duration::from_secs(9))), (5, 5));
        assert_eq!(lost(flush()), (2, 5));
        flush().unwrap();
    }
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
    assert_eq!(lost(poll_once(&mut of_all)), (2, 2), "of nothing but what is lost");
    // Its offset is durable, and another's.
    assert_eq!(lost(poll_once(&mut later)), (2, 2));
}

/// Another record takes the offset.
fn append_at(log: &Arc<Log>, offset: Offset) {
    drop(log.append(&[Record::new().value("told of the loss")], &how(Durability::Os)));
    let appended = log.append(&[Record::new().value("another")], &how(Durability::Os)).unwrap();
    assert_eq!(appended.first_offset, offset);
}
