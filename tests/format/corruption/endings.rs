//! A repair takes out a stretch that held the end of a transaction: its records stay what they were, or it is told that they are not.

use std::ops::ControlFlow;
use std::sync::Arc;

use annals::report::RepairReport;
use annals::{Durability, ReadMode, Record, Store, TopicConfig};

use crate::common::batch_ends;
use crate::corruption::stores::builder;
use annals_testing::{Files, Image, MemoryFileSystem};

const LOG: &str = "/store/orders-0/00000000000000000000.log";

/// Transactions of one name in one partition, one record each: its value, and whether it was committed. Then the store is closed.
fn store_of(transactions: &[(&str, bool)]) -> Files {
    let files = MemoryFileSystem::over(&Image::new(Files::new()));
    let store = builder(&files, ReadMode::Mapped).open().unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    store.create_topic("other", TopicConfig::new()).unwrap();
    for (value, is_committed) in transactions {
        // It is in the log before its end is.
        let shop = store.transaction_builder("shop").buffer_bytes(0);
        // Its marker is there when it is over.
        let mut transaction = shop.durability(Durability::Disk).begin().unwrap();
        transaction.send(Record::to("orders").value(value)).unwrap();
        // One record alone needs no marker to be committed.
        transaction.send(Record::to("other").value(value)).unwrap();
        if *is_committed { transaction.commit().map(drop).unwrap() } else { transaction.abort().unwrap() }
    }
    // So that the last decision of that name is another one.
    let mut last = store.transaction("shop").unwrap();
    last.send(Record::to("other").value("last")).unwrap();
    last.commit().unwrap();
    store.close().unwrap();
    files.files()
}

/// The same with a bit flipped in some of the batches of the partition.
fn damaged(mut files: Files, batches: impl IntoIterator<Item = usize>) -> Arc<Image> {
    let mut log = files[LOG].to_vec();
    let ends = batch_ends(&log);
    for number in batches {
        log[usize::try_from(ends[number].0).unwrap() - 3] ^= 1;
    }
    files.insert(LOG.to_owned(), log.into());
    Image::new(files)
}

/// The batch with the end of a transaction, in the order of [`store_of`].
fn marker(number: usize) -> usize {
    2 * number + 1
}

fn repair(files: &MemoryFileSystem) -> annals::Result<RepairReport> {
    builder(files, ReadMode::Mapped).repair("/taken-out")
}

/// That store without the end of a transaction, repaired and opened.
fn without_marker(files: Files, number: usize) -> (RepairReport, Store) {
    let files = MemoryFileSystem::over(&damaged(files, [marker(number)]));
    let report = repair(&files).unwrap();
    let store = builder(&files, ReadMode::Mapped).open().unwrap();
    (report, store)
}

fn committed(store: &Store) -> Vec<String> {
    let read = store.topic("orders").unwrap().partition(0).unwrap().read(..).unwrap();
    let value = |record: annals::Result<annals::OwnedRecord>| {
        String::from_utf8(record.unwrap().value.unwrap_or_default()).unwrap()
    };
    read.into_iter().map(value).collect()
}

#[test]
fn what_was_aborted_stays_so_when_its_marker_is_lost_and_the_next_of_the_name_is_committed() {
    let (report, store) = without_marker(store_of(&[("aborted", false), ("committed", true)]), 0);
    assert_eq!(report.repairs.len(), 2, "{report:#?}");
    assert_eq!(committed(&store), ["committed"]);
}

#[test]
fn what_was_committed_stays_so_when_its_marker_is_lost_and_the_next_of_the_name_is_aborted() {
    let (_, store) = without_marker(store_of(&[("committed", true), ("aborted", false)]), 0);
    assert_eq!(committed(&store), ["committed"]);
}

#[test]
fn what_was_committed_stays_so_when_its_marker_was_the_last_of_the_partition() {
    let (_, store) = without_marker(store_of(&[("first", true), ("committed", true)]), 1);
    assert_eq!(committed(&store), ["first", "committed"]);
}

#[test]
fn what_nothing_tells_of_counts_as_aborted_and_is_told() {
    let transactions = [("gone", false), ("committed", true), ("later", true)];
    let mut files = store_of(&transactions);
    let index = LOG.replace(".log", ".txnindex");
    assert!(files.remove(&index).is_some(), "{:?}", files.keys());
    let (report, store) = without_marker(files, 1);
    let lost: Vec<_> = report.repairs.iter().map(|repair| repair.lost.clone()).collect();
    assert_eq!(lost, [3..4, 2..3], "{report:#?}");
    assert_eq!(committed(&store), ["later"]);
}

/// The file of a process that was killed, cut where a batch ends: that a transaction may have ended in what is missing was not told.
#[test]
fn a_transaction_whose_end_was_synced_and_is_nowhere_is_told() {
    let files = MemoryFileSystem::over(&Image::new(Files::new()));
    let store = builder(&files, ReadMode::Mapped).open().unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    let mut transaction = store.transaction_builder("shop").buffer_bytes(0).begin().unwrap();
    transaction.send(Record::to("orders").value("committed")).unwrap();
    transaction.commit().unwrap();
    store.topic("orders").unwrap().partition(0).unwrap().flush().unwrap();
    let mut left = files.files();
    drop(store);
    let log = left[LOG].to_vec();
    let ends = batch_ends(&log);
    assert_eq!(ends.len(), 2, "the record, and its end");
    left.insert(LOG.to_owned(), log[..usize::try_from(ends[0].0).unwrap()].to_vec().into());
    let files = MemoryFileSystem::over(&Image::new(left));
    let report = repair(&files).unwrap();
    let lost: Vec<_> = report.repairs.iter().map(|repair| repair.lost.clone()).collect();
    assert_eq!(lost, [1..2, 0..1], "{report:#?}");
    // The decision is there still.
    assert!(report.repairs[1].reason.contains("unless the open finds that it was committed"), "{report:#?}");
    assert_eq!(committed(&builder(&files, ReadMode::Mapped).open().unwrap()), ["committed"]);
}

#[test]
fn ends_that_are_lost_with_the_records_of_the_next_transaction_are_found() {
    for (is_committed, expected) in [(true, &["first", "last"][..]), (false, &["last"])] {
        let files = store_of(&[("first", is_committed), ("lost", !is_committed), ("last", true)]);
        let files = MemoryFileSystem::over(&damaged(files, [marker(0), marker(0) + 1]));
        repair(&files).unwrap();
        let again = repair(&files).unwrap();
        assert!(again.is_unchanged(), "{again:#?}");
        let store = builder(&files, ReadMode::Mapped).open().unwrap();
        assert_eq!(committed(&store), expected);
    }
}

#[test]
fn every_transaction_stays_what_it_was_whichever_markers_are_lost() {
    let values = ["first", "second", "third"];
    for fates in 0..8 {
        let is_committed = |number: usize| fates >> number & 1 == 1;
        let transactions: Vec<_> = (0..3).map(|number| (values[number], is_committed(number))).collect();
        let files = store_of(&transactions);
        let expected: Vec<_> =
            (0..3).filter(|number| is_committed(*number)).map(|number| values[number]).collect();
        for lost in 1..8 {
            let lost = (0..3).filter(|number| lost >> number & 1 == 1).map(marker);
            let lost: Vec<_> = lost.collect();
            let files = MemoryFileSystem::over(&damaged(files.clone(), lost.iter().copied()));
            let report = repair(&files).unwrap();
            assert_eq!(
                report.repairs.len(),
                2 * lost.len(),
                "{transactions:?} without {lost:?}: {report:#?}"
            );
            let log = &files.files()[LOG];
            let offsets: Vec<_> = batch_ends(log).into_iter().map(|(_, next)| next).collect();
            assert_eq!(offsets, [1, 2, 3, 4, 5, 6], "{transactions:?} without {lost:?}: {report:#?}");
            let checked = builder(&files, ReadMode::Mapped).verify(|_| ControlFlow::Continue(())).unwrap();
            assert!(checked.is_sound(), "{transactions:?} without {lost:?}: {checked:#?}");
            let store = builder(&files, ReadMode::Mapped).open().unwrap();
            assert_eq!(committed(&store), expected, "{transactions:?} without {lost:?}");
        }
    }
}

#[test]
fn a_repair_that_is_killed_at_any_call_leaves_it_to_the_next_how_a_transaction_ended() {
    let mut killed = 0;
    for is_committed in [true, false] {
        let image = damaged(store_of(&[("first", is_committed), ("last", !is_committed)]), [marker(0)]);
        let files = MemoryFileSystem::over(&image);
        repair(&files).unwrap();
        for call in 0..files.calls() {
            let files = MemoryFileSystem::over(&image);
            files.stop_after(call);
            assert!(repair(&files).is_err(), "call {call}");
            for left in [files.files(), files.durable_files()] {
                let files = MemoryFileSystem::over(&Image::new(left));
                repair(&files).unwrap();
                let store = builder(&files, ReadMode::Mapped).open().unwrap();
                let expected = if is_committed { "first" } else { "last" };
                assert_eq!(committed(&store), [expected], "call {call}");
                killed += 1;
            }
        }
    }
    assert!(killed > 100, "{killed}");
}
