//! Records that a layer above needs, while others take some out.

use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::compaction::{contents, now_config};
use super::place::Place;
use super::*;
use crate::error::{Error, Result};
use crate::log::OutlivesRecords;
use crate::types::TopicPartition;

/// Needs all of a log, until it was asked so often.
struct Needs {
    log: Weak<Log>,
    asked: AtomicUsize,
    until: AtomicUsize,
}

impl OutlivesRecords for Needs {
    fn before_removal(&self, _: &TopicPartition) -> Result<()> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let is_over = asked >= self.until.load(Ordering::SeqCst);
        self.log.upgrade().unwrap().need_only_from(if is_over { Offset::MAX } else { 0 });
        Ok(())
    }

    fn after_removal(&self, _: &TopicPartition) {}
}

fn needs(log: &Arc<Log>, until: usize) -> Arc<Needs> {
    let needs = Arc::new(Needs {
        log: Arc::downgrade(log),
        asked: AtomicUsize::new(0),
        until: AtomicUsize::new(until),
    });
    let weak: Weak<Needs> = Arc::downgrade(&needs);
    log.clearing.set_outliving(weak);
    needs
}

fn put(log: &Arc<Log>) -> Result<()> {
    log.append(&[Record::new().value(&vec![7; 600])], &how(Durability::Os)).map(drop)
}

fn roomy(place: &Place) -> Arc<Log> {
    let log = place.open();
    log.set_config(config(5000));
    log
}

/// One that drops its oldest, and has room for one record.
fn full() -> (Place, Arc<Log>) {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    let limit = SizeLimit { max_bytes: 1000, when_full: WhenFull::DropOldest, max_block: Duration::ZERO };
    log.set_config(LogConfig { size_limit: Some(limit), ..config(5000) });
    put(&log).unwrap();
    (place, log)
}

#[test]
fn a_full_partition_that_drops_its_oldest_refuses_where_all_of_it_is_needed_however_often_it_asks() {
    let (_place, log) = full();
    let needs = needs(&log, usize::MAX);
    let refused = put(&log);
    assert!(matches!(refused, Err(Error::Full { limit: 1000, .. })), "{refused:?}");
    assert_eq!(needs.asked.load(Ordering::SeqCst), 101, "after each time in vain it asks again");
    assert_eq!((log.start(), log.end()), (0, 1), "nothing has gone, and nothing was appended");
    needs.until.store(0, Ordering::SeqCst);
    put(&log).unwrap();
    assert_eq!((log.start(), log.end()), (1, 2));
}

#[test]
fn a_full_partition_asks_again_as_long_as_what_could_go_is_needed() {
    let (_place, log) = full();
    let needs = needs(&log, 95);
    put(&log).unwrap();
    assert_eq!((log.start(), log.end(), needs.asked.load(Ordering::SeqCst)), (1, 2, 95));
}

#[test]
fn a_removal_asks_until_nothing_below_is_needed() {
    let place = Place::new(ReadMode::Mapped);
    let log = roomy(&place);
    (0..3).for_each(|_| put(&log).unwrap());
    let needs = needs(&log, 4);
    log.before_removal_below(2).unwrap();
    assert_eq!(needs.asked.load(Ordering::SeqCst), 4);
    log.before_removal_below(0).unwrap();
}

/// It is seen before anybody could say what is needed of it.
#[test]
fn a_record_is_needed_from_its_append_until_that_is_said() {
    let place = Place::new(ReadMode::Mapped);
    let log = roomy(&place);
    put(&log).unwrap();
    assert_eq!(log.needed_from(), Offset::MAX);
    let needed = Append { is_needed: true, ..how(Durability::Os) };
    log.append(&[Record::new().value("a")], &needed).unwrap();
    put(&log).unwrap();
    assert_eq!(log.needed_from(), 1);
    log.before_removal_below(1).unwrap();
    let policy = RetentionPolicy { keep_from: Some(3), ..Default::default() };
    log.apply_retention(|| policy).unwrap();
    assert!(log.start() <= 1, "{}", log.start());
    thread::scope(|scope| {
        let removal = scope.spawn(|| log.before_removal_below(2));
        thread::sleep(Duration::from_millis(50));
        assert!(!removal.is_finished(), "it waits");
        log.has_arrived();
        removal.join().unwrap().unwrap();
    });
    log.apply_retention(|| policy).unwrap();
    assert_eq!(log.start(), 3);
}

/// They were asked for less than is there by now.
#[test]
fn a_deletion_takes_no_record_that_came_after_it_asked_before_it_is_needed_no_more() {
    let place = Place::new(ReadMode::Mapped);
    let log = roomy(&place);
    put(&log).unwrap();
    let needed = Append { is_needed: true, ..how(Durability::Os) };
    log.append(&[Record::new().value("a")], &needed).unwrap();
    thread::scope(|scope| {
        let deletion = scope.spawn(|| log.delete_records(2));
        thread::sleep(Duration::from_millis(50));
        assert!(!deletion.is_finished(), "it waits");
        assert_eq!(log.start(), 0);
        log.has_arrived();
        assert_eq!(deletion.join().unwrap().unwrap().start, 2);
    });
}

/// Does something each time it is asked, which is told how often it was before.
struct Does<F>(F, AtomicUsize);

impl<F: Fn(usize) -> Result<()> + Send + Sync> OutlivesRecords for Does<F> {
    fn before_removal(&self, _: &TopicPartition) -> Result<()> {
        (self.0)(self.1.fetch_add(1, Ordering::SeqCst))
    }

    fn after_removal(&self, _: &TopicPartition) {}
}

fn when_asked<F: Fn(usize) -> Result<()> + Send + Sync + 'static>(log: &Arc<Log>, act: F) -> Arc<Does<F>> {
    let does = Arc::new(Does(act, AtomicUsize::new(0)));
    let weak: Weak<Does<F>> = Arc::downgrade(&does);
    log.clearing.set_outliving(weak);
    does
}

/// It joins what is sealed meanwhile with what was before.
#[test]
fn an_erasure_beside_a_compaction_leaves_nothing_of_the_key() {
    let place = Place::new(ReadMode::Mapped);
    let log = roomy(&place);
    super::compaction::put(&log, &[("bob", "1"), ("alice", "2")]);
    log.roll().unwrap();
    super::compaction::put(&log, &[("carol", "3")]);
    let (config, weak) = (now_config(&place), Arc::downgrade(&log));
    let _compacts = when_asked(&log, move |_| weak.upgrade().unwrap().compact(&|| Some(config)).map(drop));
    let report = log.erase(&|key| key == b"alice").unwrap();
    assert_eq!(contents(&log), ["0 bob=1", "2 carol=3"]);
    assert_eq!(report.records, 1);
}

/// A roll has it be below the active segment.
#[test]
fn an_erasure_asks_again_for_what_is_sealed_while_it_asks() {
    let place = Place::new(ReadMode::Mapped);
    let log = roomy(&place);
    super::compaction::put(&log, &[("bob", "1")]);
    log.roll().unwrap();
    let weak = Arc::downgrade(&log);
    let asked = when_asked(&log, move |before| {
        let log = weak.upgrade().unwrap();
        if before > 0 {
            log.need_only_from(Offset::MAX);
            return Ok(());
        }
        log.need_from(1);
        super::compaction::put(&log, &[("alice", "2")]);
        log.roll().map(drop)
    });
    assert_eq!(log.erase(&|key| key == b"alice").unwrap().records, 1);
    assert_eq!(asked.1.load(Ordering::SeqCst), 2);
    assert_eq!((contents(&log), log.needed_from()), (vec!["0 bob=1".to_owned()], Offset::MAX));
}
