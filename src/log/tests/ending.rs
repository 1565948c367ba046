//! What was begun before a log was closed or deleted, and what was accepted before somebody asks for it.

#![expect(clippy::disallowed_methods, reason = "one thread ends what another is at")]

use std::sync::mpsc;
use std::thread;

use super::beside::Change;
use super::gate::{Gated, Stops};
use super::place::Place;
use super::*;
use crate::error::Error;
use crate::locks::{AtomicBool, Ordering};

#[derive(Debug, Clone, Copy)]
enum End {
    Close,
    Deletion,
}

impl End {
    fn make(self, log: &Arc<Log>) {
        match self {
            Self::Close => {
                log.close().unwrap();
                log.retire(Error::StoreClosed { path: log.path().to_path_buf() });
            }
            Self::Deletion => {
                log.retire(Error::UnknownTopic { topic: "orders".to_owned(), was_deleted: true })
            }
        }
    }
}

/// The end comes at the call of that number that the change makes of the file system; false when it made fewer.
fn ends_at(end: End, change: Change, number: usize) -> bool {
    let files = Gated::default();
    let place = Place::in_memory(ReadMode::Mapped, Arc::new(files.clone()));
    let log = change.prepare(&place);
    let (is_over, worker) = (Arc::new(AtomicBool::new(false)), thread::current().id());
    let (ends, ending) = mpsc::channel();
    let (visited, over) = (Arc::clone(&log), Arc::clone(&is_over));
    let mut calls = 0;
    let visit = move || {
        if thread::current().id() != worker {
            return;
        }
        assert!(
            !over.load(Ordering::SeqCst),
            "{change:?} works on after {end:?}, begun at its call {number}"
        );
        if calls == number {
            let (log, over) = (Arc::clone(&visited), Arc::clone(&over));
            let ended = thread::spawn(move || {
                end.make(&log);
                over.store(true, Ordering::SeqCst);
            });
            ends.send(ended).unwrap();
            while !visited.ending.load(Ordering::Acquire) {
                thread::yield_now();
            }
        }
        calls += 1;
    };
    files.stopping(Stops::Changes, visit, || drop(change.make(&log, &place)));
    match ending.try_recv() {
        Ok(ended) => ended.join().map(|()| true).unwrap(),
        Err(_) => false,
    }
}

#[test]
fn nothing_of_a_log_works_on_after_it_was_closed_or_deleted() {
    for end in [End::Close, End::Deletion] {
        for change in [Change::Compaction, Change::Erasure, Change::Retention, Change::DeletionOfRecords] {
            let calls = (0..).take_while(|number| ends_at(end, change, *number)).count();
            assert!(calls > 5, "{change:?}: {calls}");
        }
    }
}

/// Asks on another thread while a record, accepted before, is being written. The write goes on when there is an answer, or
/// when whoever asks waits for it.
fn asked_during_a_write<T: Send + 'static>(ask: fn(&Arc<Log>) -> T) -> (T, Arc<Log>, Place) {
    let files = Gated::default();
    let place = Place::new_over(Arc::new(files.clone()));
    let log = place.open();
    append(&log, 0..3, Durability::Os);
    let (answers, answer) = mpsc::channel();
    let (asked, mut is_asked) = (Arc::clone(&log), false);
    let visit = move || {
        if std::mem::replace(&mut is_asked, true) {
            return;
        }
        let (log, answers) = (Arc::clone(&asked), answers.clone());
        let (given, waits) = mpsc::channel::<()>();
        thread::spawn(move || {
            let answer = ask(&log);
            drop(given);
            answers.send(answer).unwrap();
        });
        assert!(waits.recv_timeout(Duration::from_millis(200)).is_err(), "nothing is sent, only dropped");
    };
    let record = Record::new().key("erased").value("a record that is being written").timestamp(1_000_500);
    files.stopping(Stops::Changes, visit, || log.append(&[record], &how(Durability::Os))).unwrap();
    (answer.recv().unwrap(), log, place)
}

#[test]
fn an_erasure_takes_a_record_that_was_being_written_when_it_began() {
    let (erased, log, place) = asked_during_a_write(|log| log.erase(&|key| key == b"erased"));
    assert_eq!(erased.unwrap().records, 1);
    assert_eq!(read_all(&log, 0), expected(0..3));
    for name in place.files() {
        let bytes = std::fs::read(place.dir.path().join(&name)).unwrap();
        let holds = bytes.windows(6).any(|bytes| bytes == b"erased");
        assert!(!holds, "{name} holds the key");
    }
}

#[test]
fn an_erasure_that_leaves_a_file_behind_says_so() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    super::compaction::put(&log, &[("erased", "value"); 30]);
    // A segment leaves the log, and one of its files cannot be removed.
    let gone = place.logs()[0];
    let file = place.dir.path().join(format!("{gone:020}.timeindex"));
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    log.apply_retention(|| RetentionPolicy { keep_from: Some(20), ..Default::default() }).unwrap();
    assert!(log.erase(&|key| key == b"erased").is_err());
    std::fs::remove_dir(&file).unwrap();
    log.erase(&|key| key == b"erased").unwrap();
    assert!(
        !place.files().iter().any(|name| name.starts_with(&format!("{gone:020}"))),
        "{:?}",
        place.files()
    );
}

#[test]
fn an_erasure_takes_what_a_failed_copy_left() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    super::compaction::put(&log, &[("erased", "value")]);
    for name in [format!("{:020}.log.new", 0), format!("{:020}.log.cleaned", 7)] {
        std::fs::write(place.dir.path().join(name), "erased").unwrap();
    }
    log.erase(&|key| key == b"erased").unwrap();
    let left: Vec<_> = place
        .files()
        .into_iter()
        .filter(|name| name.ends_with(".new") || name.ends_with(".cleaned"))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_record_that_is_being_written_is_there_for_whoever_asks_for_it() {
    let (found, ..) = asked_during_a_write(|log| log.get(3, |record| record.offset));
    assert_eq!(found.unwrap(), Some(3));
    let (found, ..) =
        asked_during_a_write(|log| log.offset_for_time(1_000_500).map(|found| found.map(|at| at.offset)));
    assert_eq!(found.unwrap(), Some(3));
}
