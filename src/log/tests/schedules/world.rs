//! What a scene is played with: a log over a disk in memory, and threads.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shuttle::rand::Rng;

use super::disk::Disk;
use crate::error::Result;
use crate::io::{Deadline, Directory, ManualClock};
use crate::log::tests::{IDENTITY, config, context};
use crate::log::{
    Append, Appended, CompactionConfig, CompactionReport, Effort, FetchLimits, Log, LogConfig, LogContext,
    OnDamage, Reader, RecordSlice, Signal, Visibility,
};
use crate::segment::ReadMode;
use crate::types::{Durability, Offset, Record};
use crate::upkeep::Agenda;

/// Room for all records of a scene in one segment.
pub(super) const ONE_SEGMENT: u32 = 1 << 20;
/// Room for two small batches.
pub(super) const SMALL_SEGMENTS: u32 = 170;

/// One partition and its disk.
#[derive(Clone)]
pub(super) struct World {
    pub(super) disk: Disk,
    pub(super) log: Arc<Log>,
    pub(super) agenda: Arc<Agenda>,
}

impl World {
    pub(super) fn new(segment_bytes: u32) -> Self {
        Self::with(config(segment_bytes))
    }

    pub(super) fn with(config: LogConfig) -> Self {
        let disk = Disk::default();
        let directory = Directory::new(Arc::new(disk.clone()), Path::new("/log"));
        Self::on(disk, &directory, config)
    }

    /// A new partition in `directory`.
    pub(super) fn on(disk: Disk, directory: &Directory, config: LogConfig) -> Self {
        Log::create(directory, IDENTITY, &config).unwrap();
        Self::open(disk, directory, config)
    }

    fn open(disk: Disk, directory: &Directory, config: LogConfig) -> Self {
        let clock = Arc::new(ManualClock::at(1_000_000));
        let agenda = Arc::new(Agenda::new(Duration::ZERO, Duration::MAX));
        let context =
            LogContext { agenda: Arc::clone(&agenda), ..context(directory, ReadMode::Positional, clock) };
        let (log, _) = Log::open(context, config).unwrap();
        Self { disk, log, agenda }
    }

    /// The same partition in its next life.
    pub(super) fn reopened(&self) -> Self {
        let directory = Directory::new(Arc::new(self.disk.clone()), Path::new("/log"));
        Self::open(self.disk.clone(), &directory, config(ONE_SEGMENT))
    }

    /// Appends one record, and looks at what was promised when the append has succeeded.
    pub(super) fn send(&self, value: &str, durability: Durability) -> Result<Offset> {
        let appended = self.append(value, durability)?;
        let offset = appended.last_offset;
        assert_eq!(appended.first_offset, offset);
        if durability != Durability::Memory {
            assert!(self.log.end() > offset, "{offset} was acknowledged and cannot be read");
        }
        if durability == Durability::Disk {
            assert!(self.log.durable() > offset, "{offset} was acknowledged and is not known to be durable");
            assert!(self.disk.keeps(value.as_bytes()), "{value} was acknowledged and is not on the disk");
        }
        Ok(offset)
    }

    fn append(&self, value: &str, durability: Durability) -> Result<Appended> {
        self.log.append(&[Record::new().value(value)], &how(durability, Duration::from_secs(9)))
    }

    /// Appends a record of that key.
    pub(super) fn put(&self, key: &str, value: &str) -> Result<Offset> {
        let record = Record::new().key(key).value(value);
        let appended = self.log.append(&[record], &how(Durability::Os, Duration::ZERO))?;
        Ok(appended.last_offset)
    }

    /// Sends a record of that key to memory, to stay there until somebody writes it.
    pub(super) fn accept(&self, key: &str, value: &str) -> Result<Offset> {
        let record = Record::new().key(key).value(value);
        let appended = self.log.append(&[record], &how(Durability::Memory, Duration::MAX))?;
        Ok(appended.last_offset)
    }

    /// Sends a record to memory that may wait so long.
    pub(super) fn leave(&self, value: &str, linger: Duration) -> Result<Offset> {
        let appended = self.log.append(&[Record::new().value(value)], &how(Durability::Memory, linger))?;
        Ok(appended.last_offset)
    }

    pub(super) fn compact(&self) -> Result<CompactionReport> {
        let config = CompactionConfig {
            effort: Effort::Now,
            memory_bytes: 1 << 10,
            delete_retention: Duration::from_secs(60),
            min_lag: Duration::ZERO,
            max_lag: None,
            min_dirty_ratio: 0.5,
            now: 1_000_000,
        };
        self.log.compact(&|| Some(config))
    }

    /// Every record there is from the start on.
    pub(super) fn records(&self) -> Vec<(Offset, String)> {
        let mut follower = Follower::new(&self.log, self.log.start(), Visibility::Written);
        let mut records = Vec::new();
        loop {
            let more = follower.fetch().unwrap();
            if more.is_empty() {
                return records;
            }
            records.extend(more);
        }
    }

    /// What is said to be durable is.
    pub(super) fn check_durable(&self) {
        self.check_durable_of(&self.records());
    }

    pub(super) fn check_durable_of(&self, records: &[(Offset, String)]) {
        let durable = self.log.durable();
        for &(offset, ref value) in records {
            if offset < durable {
                assert!(self.disk.keeps(value.as_bytes()), "{offset}: below {durable} and not on the disk");
            }
        }
    }
}

fn how(durability: Durability, linger: Duration) -> Append {
    Append {
        durability,
        batch_bytes: 200,
        linger,
        expected_end: None,
        most_open_batches: usize::MAX,
        is_needed: false,
    }
}

/// A reader that waits at the end.
pub(super) struct Follower {
    pub(super) reader: Reader,
    signal: Arc<Signal>,
}

impl Follower {
    pub(super) fn new(log: &Arc<Log>, from: Offset, visibility: Visibility) -> Self {
        let signal = Arc::new(Signal::default());
        log.watch(&signal);
        Self { reader: Reader::new(Arc::clone(log), from, visibility, OnDamage::Fail), signal }
    }

    /// What there is now.
    pub(super) fn fetch(&mut self) -> Result<Vec<(Offset, String)>> {
        let slices = self.reader.fetch(FetchLimits { max_records: 3, max_bytes: 1 << 10 })?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let records = slices.iter().flat_map(RecordSlice::iter);
        Ok(records.map(|record| (record.offset, text(record.value.unwrap()))).collect())
    }

    /// What there is, or comes: sleeps for ever when nothing does.
    pub(super) fn poll(&mut self) -> Result<Vec<(Offset, String)>> {
        loop {
            let seen = self.signal.raised();
            let records = self.fetch()?;
            if !records.is_empty() {
                return Ok(records);
            }
            assert!(self.signal.wait(seen, Deadline::after(Duration::MAX)));
        }
    }

    /// Sleeps until `is_so`, which something that raises the signal has to bring about.
    pub(super) fn await_that(&self, is_so: impl Fn() -> bool) {
        loop {
            let seen = self.signal.raised();
            if is_so() {
                return;
            }
            assert!(self.signal.wait(seen, Deadline::after(Duration::MAX)));
        }
    }
}

/// The value of a thread's record, found nowhere else.
pub(super) fn value(thread: usize, number: usize) -> String {
    format!("<{thread}.{number}>")
}

/// A number below `limit`, chosen by the explorer.
pub(super) fn any_below(limit: i64) -> i64 {
    shuttle::rand::thread_rng().gen_range(0..limit)
}

/// Runs every part on a thread of its own, and returns what they return.
pub(super) fn together<T: Send + 'static>(parts: Vec<Box<dyn FnOnce() -> T + Send>>) -> Vec<T> {
    let threads: Vec<_> = parts.into_iter().map(shuttle::thread::spawn).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}
