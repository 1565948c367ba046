//! A clock that leaps ahead before retention has looked at a partition for the first time.

use std::sync::Arc;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{Durability, Record, Store, TopicConfig};

const NOW: i64 = 1_704_067_200_000;
const DAY: Duration = Duration::from_secs(86_400);

fn open(dir: &std::path::Path, clock: &Arc<ManualClock>) -> Store {
    Store::builder(dir).clock(clock.clone()).maintain_by_hand().open().unwrap()
}

fn append(store: &Store) {
    let partition = store.topic("clicks").unwrap().partition(0).unwrap();
    for _ in 0..10 {
        partition.append(&[Record::new().value(&[b'x'; 75])], Durability::Os).unwrap();
    }
}

/// Looks twice: the leap is told and takes nothing, then it is believed.
#[track_caller]
fn look(store: &Store) {
    let partition = store.topic("clicks").unwrap().partition(0).unwrap();
    let reports = store.apply_retention().unwrap();
    assert!(partition.start() == 0 && reports.iter().any(|report| report.clock_leapt), "{reports:?}");
    store.apply_retention().unwrap();
    assert_eq!(partition.start(), partition.end(), "it is believed at the next look");
}

fn create(store: &Store) {
    let config = TopicConfig::new().retention(Duration::from_secs(3600)).segment_bytes(1000);
    store.create_topic("clicks", config).unwrap();
}

#[test]
fn a_clock_that_leapt_before_the_first_look_took_all_of_a_new_topic() {
    for beginning in [NOW, 0, -5] {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(beginning));
        let store = open(dir.path(), &clock);
        create(&store);
        append(&store);
        clock.set(NOW + 400 * 86_400_000);
        look(&store);
    }
}

#[test]
fn a_clock_that_leapt_before_the_first_look_of_a_life_took_what_it_had_written() {
    for appended_before in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(NOW));
        let store = open(dir.path(), &clock);
        create(&store);
        if appended_before {
            append(&store);
        }
        store.close().unwrap();
        // A device without a battery for its clock.
        clock.set(0);
        let store = open(dir.path(), &clock);
        append(&store);
        clock.set(NOW);
        clock.advance(DAY);
        look(&store);
    }
}
