//! A partition over real files: append, roll, read, recover.

use std::sync::Arc;
use std::time::Duration;

mod before_append;
mod beside;
mod beyond;
mod bounds;
mod compaction;
mod crash;
mod cut;
mod damage;
mod ending;
mod faulty;
mod gate;
mod get;
mod keys;
mod left;
mod limits;
mod losses;
mod model;
mod needed;
mod overtaken;
pub(in crate::log) mod place;
mod removal;
mod room;
#[cfg(annals_shuttle)]
mod schedules;
mod together;
mod transactions;
mod upkeep;

use super::*;
use crate::format::{Codec, Compression, Identity, TimestampType};
use crate::io::{Clock, Directory, ManualClock, OsFileSystem};
use crate::segment::{ReadMode, SegmentConfig};
use crate::types::{Durability, Offset, Record};
use crate::upkeep::Agenda;

const IDENTITY: Identity = Identity { store: 1, topic: 2, partition: 0 };

pub(super) fn config(segment_bytes: u32) -> LogConfig {
    LogConfig {
        key_index: false,
        partitions: 1,
        segment: SegmentConfig {
            max_bytes: segment_bytes,
            index_interval_bytes: 100,
            max_index_bytes: 1 << 20,
        },
        segment_age: Duration::from_secs(3600),
        compression: Compression::of(Codec::None),
        timestamp_type: TimestampType::CreateTime,
        max_message_bytes: 1 << 20,
        timestamp_before_max: Duration::MAX,
        timestamp_after_max: Duration::from_secs(3600),
        key_rule: KeyRule::Optional,
        size_limit: None,
    }
}

fn open(directory: &Directory, read_mode: ReadMode, segment_bytes: u32) -> (Arc<Log>, RecoveryReport) {
    let clock = Arc::new(ManualClock::at(1_000_000));
    Log::open(context(directory, read_mode, clock), config(segment_bytes)).unwrap()
}

fn context(directory: &Directory, read_mode: ReadMode, clock: Arc<ManualClock>) -> LogContext {
    LogContext {
        topic_partition: ("orders", 0).into(),
        directory: directory.clone(),
        identity: IDENTITY,
        clock,
        agenda: Arc::new(Agenda::new(Duration::from_secs(1), Duration::MAX)),
        options: LogOptions {
            read_mode,
            sync_every_bytes: 1 << 20,
            max_expanded_bytes: 1 << 20,
            compaction_memory_bytes: 1 << 20,
        },
        spares: Arc::default(),
        figures: Arc::default(),
        clearing: Arc::default(),
    }
}

pub(in crate::log) fn how(durability: Durability) -> Append {
    Append {
        durability,
        batch_bytes: 300,
        linger: Duration::from_secs(9),
        expected_end: None,
        most_open_batches: usize::MAX,
        is_needed: false,
    }
}

fn read_all(log: &Arc<Log>, from: Offset) -> Vec<(Offset, Vec<u8>)> {
    let mut reader = Reader::new(Arc::clone(log), from, Visibility::Written, OnDamage::Fail);
    let mut records = Vec::new();
    loop {
        let slices = reader.fetch(FetchLimits { max_records: 7, max_bytes: 1000 }).unwrap();
        if slices.is_empty() {
            return records;
        }
        for record in slices.iter().flat_map(RecordSlice::iter) {
            records.push((record.offset, record.value.unwrap().to_vec()));
        }
    }
}

fn expected(range: std::ops::Range<i64>) -> Vec<(Offset, Vec<u8>)> {
    range.map(|n| (n, format!("value {n}").into_bytes())).collect()
}

pub(in crate::log) fn append(log: &Arc<Log>, range: std::ops::Range<i64>, durability: Durability) {
    for n in range {
        let appended = log.append(&[Record::new().value(&format!("value {n}"))], &how(durability)).unwrap();
        assert_eq!(appended.first_offset, n);
    }
}

#[test]
fn what_is_appended_is_read_back_over_rolls_closes_and_kills() {
    for mode in [ReadMode::Mapped, ReadMode::Positional] {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::new(Arc::new(OsFileSystem), dir.path());
        Log::create(&directory, IDENTITY, &config(1000)).unwrap();
        let (log, report) = open(&directory, mode, 1000);
        assert!(report.clean);
        append(&log, 0..100, Durability::Os);
        append(&log, 100..200, Durability::Memory);
        assert_eq!(read_all(&log, 0), expected(0..200));
        assert_eq!(read_all(&log, 137), expected(137..200));
        log.close().unwrap();
        // Closed cleanly.
        let (log, report) = open(&directory, mode, 1000);
        assert!(report.clean && report.scanned_bytes == 0);
        assert_eq!(read_all(&log, 0), expected(0..200));
        append(&log, 200..300, Durability::Disk);
        append(&log, 300..310, Durability::Os);
        let durable = log.durable();
        assert!((300..=310).contains(&durable), "{durable}: a roll syncs too");
        drop(log);
        // Killed.
        let (log, report) = open(&directory, mode, 1000);
        assert!(!report.clean && report.scanned_bytes > 0, "{report:?}");
        assert_eq!((log.durable(), log.end()), (durable, 310));
        assert_eq!(read_all(&log, 0), expected(0..310));
        append(&log, 310..320, Durability::Os);
        assert!(log.durable() >= 310, "the tail was brought onto the disk before the first append");
        assert_eq!(read_all(&log, 0), expected(0..320));
        drop(log);
        let (log, _) = open(&directory, mode, 1000);
        log.flush().unwrap();
        assert_eq!(log.durable(), 320);
        assert_eq!(read_all(&log, 0), expected(0..320));
    }
}
