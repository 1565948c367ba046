//! Appending, reading, compacting, deleting and erasing at the same time.

use super::compaction::now_config;
use super::faulty::Faulty;
use super::place::Place;
use super::*;
use crate::error::Error;
use crate::locks::{AtomicBool, Ordering};

const RECORDS: i64 = 3000;

fn key(offset: Offset) -> String {
    format!("key {}", offset * 7 % 23)
}

/// Reads to the end, while the log changes below it. Every record is what was sent; the last of each key is seen.
fn follow(log: &Arc<Log>) {
    let mut reader = Reader::new(Arc::clone(log), 0, Visibility::Written, OnDamage::Fail);
    let mut last = -1;
    while reader.position() < RECORDS {
        match reader.fetch(FetchLimits { max_records: 5, max_bytes: 400 }) {
            Ok(slices) => {
                for record in slices.iter().flat_map(RecordSlice::iter) {
                    assert!(record.offset > last, "{} behind {last}", record.offset);
                    last = record.offset;
                    assert_eq!(record.key.unwrap(), key(last).as_bytes());
                    assert_eq!(record.value.unwrap(), last.to_string().as_bytes());
                }
            }
            Err(Error::OffsetOutOfRange { start, .. }) => reader.seek(start),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(last, RECORDS - 1);
}

/// Ends the maintenance when the scope is left, by a failed assertion too.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn live_together(mode: ReadMode) {
    let place = Place::in_memory(mode, Arc::new(Faulty::never()));
    let log = place.open();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&is_over);
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| follow(&log))).collect();
        let appender = scope.spawn(|| {
            for offset in 0..RECORDS {
                let (key, value) = (key(offset), offset.to_string());
                let durability = if offset % 3 == 0 { Durability::Memory } else { Durability::Os };
                log.append(&[Record::new().key(&key).value(&value)], &how(durability)).unwrap();
            }
            log.flush().unwrap();
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                let policy = RetentionPolicy { max_bytes: Some(20_000), ..Default::default() };
                log.apply_retention(|| policy).unwrap();
            }
        });
        scope.spawn(|| {
            let mut rounds = 0;
            while !is_over.load(Ordering::SeqCst) {
                rounds += 1;
                log.compact(&|| Some(CompactionConfig { memory_bytes: 0, ..now_config(&place) })).unwrap();
                log.delete_records((log.end() / 2).max(log.start()).min(rounds * 10)).unwrap();
                log.erase(&|key| key == b"nobody").unwrap();
            }
        });
        appender.join().unwrap();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    log.compact(&|| Some(now_config(&place))).unwrap();
    let mut last_of_key: Vec<_> = (RECORDS - 23..RECORDS).collect();
    last_of_key.retain(|offset| *offset >= log.start());
    let found: Vec<_> = read_all(&log, log.start()).into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(found, last_of_key);
}

#[test]
fn through_maps() {
    live_together(ReadMode::Mapped);
}

#[test]
fn positionally() {
    live_together(ReadMode::Positional);
}

/// Nothing dies here, segments are only merged: a reader meets every offset, at whatever moment they are.
#[test]
fn merging_hides_nothing() {
    let place = Place::in_memory(ReadMode::Mapped, Arc::new(Faulty::never()));
    let log = place.open();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&is_over);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut reader = Reader::new(Arc::clone(&log), 0, Visibility::Written, OnDamage::Fail);
                    let mut next = 0;
                    while next < RECORDS {
                        let slices = reader.fetch(FetchLimits { max_records: 1, max_bytes: 1 }).unwrap();
                        for record in slices.iter().flat_map(RecordSlice::iter) {
                            assert_eq!(record.offset, next);
                            next += 1;
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                log.compact(&|| Some(now_config(&place))).unwrap();
            }
        });
        for offset in 0..RECORDS {
            let key = offset.to_string();
            log.append(&[Record::new().key(&key).value(&key)], &how(Durability::Os)).unwrap();
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

/// What a panic leaves of a batch that a record was being encoded into is not written: nobody knows what it holds.
#[test]
fn a_panic_while_a_record_is_placed_poisons_the_partition() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    append(&log, 0..1, Durability::Memory);
    log.accumulator.lock().skew();
    let large = [b'x'; 400];
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        log.append(&[Record::new().value(&large[..])], &how(Durability::Memory))
    }));
    assert!(panicked.is_err());
    for durability in [Durability::Memory, Durability::Os, Durability::Disk] {
        let refused = log.append(&[Record::new().value("later")], &how(durability));
        assert!(matches!(refused, Err(Error::Poisoned { .. })), "{refused:?}");
    }
}
