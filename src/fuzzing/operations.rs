//! A store, and a simple model of it, through one life after another.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::format::Codec;
use crate::fuzzing::input::Input;
use crate::fuzzing::memory::{Files, Memory};
use crate::fuzzing::reference::Plain;
use crate::fuzzing::store_files::{clock, open, read_from, small_segments};
use crate::io::{Clock, ManualClock};
use crate::store::Store;
use crate::topic::{CleanupPolicy, Partition, Topic};
use crate::types::{Durability, Offset, Record, Timestamp};

const MOST_STEPS: usize = 120;
/// The topics, and what the second one keeps.
const TOPICS: [&str; 2] = ["plain", "compacted"];

/// What a partition should hold.
#[derive(Debug, Default)]
struct Model {
    entries: Vec<Plain>,
    start: Offset,
    /// The next offset to be given out.
    end: Offset,
}

struct Life {
    memory: Memory,
    clock: Arc<ManualClock>,
    store: Store,
    models: [Model; 2],
}

/// Any bytes as a list of things to do with a store. Whatever is done, it holds what the model holds; what a kill or a
/// power cut takes is the end of what was not acknowledged as safe from it.
pub fn operations(data: &[u8]) {
    let mut input = Input::new(data);
    let outcome = live(&mut input);
    assert!(outcome.is_ok(), "{outcome:?}");
}

fn live(input: &mut Input<'_>) -> Result<()> {
    let (memory, clock) = (Memory::with(Files::new()), clock());
    let store = open(&memory, &clock)?;
    let codec = Codec::from_id(input.byte() % 5).unwrap_or_default();
    let config = || small_segments(1_500).compression_type(codec);
    store.create_topic("plain", config().retention_records(30).retention(Duration::from_secs(200)))?;
    store.create_topic("compacted", config().cleanup_policy(CleanupPolicy::CompactDelete))?;
    let mut life = Life { memory, clock, store, models: Default::default() };
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        life.step(input)?;
    }
    life.check_all()?;
    life.store.close()
}

impl Life {
    fn step(&mut self, input: &mut Input<'_>) -> Result<()> {
        let choice = input.byte();
        let which = usize::from(choice >> 7);
        match choice & 0x1f {
            0..10 => self.send(which, 1, input),
            10..14 => self.send(which, 1 + usize::from(input.byte() % 4), input),
            14 => self.partition(which)?.flush(),
            15 | 16 => self.read(which, input),
            17 => self.find_time(which, input),
            18 | 19 => self.retain(which),
            20 | 21 => self.compact(),
            22 => self.delete(which, input),
            23 | 24 => self.erase(which, input),
            25 => self.wait(input),
            26 => {
                let promised = [self.model(0).end, self.model(1).end];
                self.store.close()?;
                self.reopen(self.memory.files(), promised)
            }
            27 | 28 => {
                let promised = [self.partition(0)?.end(), self.partition(1)?.end()];
                self.reopen(self.memory.files(), promised)
            }
            29 | 30 => {
                let promised = [self.partition(0)?.durable(), self.partition(1)?.durable()];
                self.reopen(self.memory.durable_files(), promised)
            }
            _ => self.check_all(),
        }
    }

    fn topic(&self, which: usize) -> Result<Topic> {
        self.store.topic(TOPICS.get(which).copied().unwrap_or_default())
    }

    fn partition(&self, which: usize) -> Result<Partition> {
        self.topic(which)?.partition(0)
    }

    fn model(&mut self, which: usize) -> &mut Model {
        let [plain, compacted] = &mut self.models;
        if which == 0 { plain } else { compacted }
    }

    fn send(&mut self, which: usize, count: usize, input: &mut Input<'_>) -> Result<()> {
        let durability = match input.byte() % 3 {
            0 => Durability::Memory,
            1 => Durability::Os,
            _ => Durability::Disk,
        };
        let now = self.clock.now();
        let first = self.model(which).end;
        let entries: Vec<_> =
            (first..).take(count).map(|offset| entry(offset, (which, now), input)).collect();
        let records: Vec<_> = entries.iter().map(record).collect();
        let partition = self.partition(which)?;
        let batch = partition.append(&records, durability)?;
        assert_eq!(batch.first_offset, first);
        let model = self.model(which);
        model.end = batch.last_offset + 1;
        model.entries.extend(entries);
        if durability == Durability::Disk {
            assert_eq!(partition.durable(), self.model(which).end);
        }
        Ok(())
    }

    fn read(&mut self, which: usize, input: &mut Input<'_>) -> Result<()> {
        let partition = self.partition(which)?;
        let model = self.model(which);
        let span = usize::try_from(model.end - model.start).unwrap_or_default() + 1;
        let from = model.start + i64::try_from(input.below(span)).unwrap_or_default();
        let behind = model.entries.partition_point(|entry| entry.offset < from);
        assert_eq!(read_from(&partition, from)?, model.entries.get(behind..).unwrap_or_default());
        Ok(())
    }

    fn find_time(&mut self, which: usize, input: &mut Input<'_>) -> Result<()> {
        let time = self.clock.now() - i64::from(input.u16()) + 300;
        // What is only in memory is not looked for.
        let partition = self.partition(which)?;
        partition.flush()?;
        let found = partition.offset_for_time(time)?.map(|found| (found.offset, found.timestamp));
        let expected = self.model(which).entries.iter().find(|entry| entry.timestamp >= time);
        assert_eq!(found, expected.map(|entry| (entry.offset, entry.timestamp)));
        Ok(())
    }

    fn retain(&mut self, which: usize) -> Result<()> {
        for report in self.topic(which)?.apply_retention()? {
            self.start_at(which, report.start);
        }
        self.check(which)
    }

    fn start_at(&mut self, which: usize, start: Offset) {
        let model = self.model(which);
        assert!(start >= model.start && start <= model.end);
        model.start = start;
        model.entries.retain(|entry| entry.offset >= start);
    }

    fn compact(&mut self) -> Result<()> {
        let reports = self.topic(1)?.compact()?;
        let after = read_from(&self.partition(1)?, self.partition(1)?.start())?;
        let model = self.model(1);
        assert!(reports.iter().all(|report| report.cleaned_until == model.end));
        check_compacted(&model.entries, &after);
        model.entries = after;
        self.check(1)
    }

    fn delete(&mut self, which: usize, input: &mut Input<'_>) -> Result<()> {
        let partition = self.partition(which)?;
        partition.flush()?;
        let before = self.model(which).start + i64::from(input.byte() % 32);
        let before = before.min(self.model(which).end);
        let report = partition.delete_records(before)?;
        assert!(report.start >= before);
        let gone = self.model(which).entries.iter().filter(|entry| entry.offset < report.start);
        assert!(gone.into_iter().all(|entry| entry.offset < before));
        self.start_at(which, report.start);
        self.check(which)
    }

    fn erase(&mut self, which: usize, input: &mut Input<'_>) -> Result<()> {
        let key = key(input.byte());
        self.topic(which)?.erase(&key)?;
        self.model(which).entries.retain(|entry| entry.key.as_ref() != Some(&key));
        self.check(which)
    }

    fn wait(&mut self, input: &mut Input<'_>) -> Result<()> {
        self.clock.advance(Duration::from_millis(u64::from(input.u16()) * 10));
        Ok(())
    }

    /// Opens what is left of both partitions, of which everything below `promised` must be there.
    fn reopen(&mut self, files: Files, promised: [Offset; 2]) -> Result<()> {
        self.memory = Memory::with(files);
        self.store = open(&self.memory, &self.clock)?;
        for (which, promised) in promised.into_iter().enumerate() {
            let end = self.partition(which)?.end();
            let model = self.model(which);
            assert!((promised..=model.end).contains(&end), "{end}, promised {promised}, given {}", model.end);
            model.end = end;
            model.entries.retain(|entry| entry.offset < end);
        }
        self.check_all()
    }

    fn check(&mut self, which: usize) -> Result<()> {
        let partition = self.partition(which)?;
        let model = self.model(which);
        assert_eq!(partition.start(), model.start);
        assert_eq!(read_from(&partition, model.start)?, model.entries);
        assert_eq!(partition.end(), model.end, "reading to the end writes what is in memory");
        assert!(partition.durable() <= partition.end());
        Ok(())
    }

    fn check_all(&mut self) -> Result<()> {
        self.check(0)?;
        self.check(1)
    }
}

/// Nothing is made up; of each key one record stays, the last, unless that is a tombstone.
fn check_compacted(before: &[Plain], after: &[Plain]) {
    assert!(after.iter().all(|entry| before.contains(entry)));
    assert!(after.is_sorted_by(|a, b| a.offset < b.offset));
    let keys: BTreeSet<_> = after.iter().map(|entry| &entry.key).collect();
    assert_eq!(keys.len(), after.len());
    for (at, entry) in before.iter().enumerate() {
        let is_last = before.iter().skip(at + 1).all(|later| later.key != entry.key);
        let stays = after.contains(entry);
        assert!(stays == is_last || entry.value.is_none() && is_last, "{entry:?}");
    }
}

fn key(byte: u8) -> Vec<u8> {
    format!("key {}", byte % 6).into_bytes()
}

fn entry(offset: Offset, (which, now): (usize, Timestamp), input: &mut Input<'_>) -> Plain {
    let choice = input.byte();
    let has_key = which == 1 || choice & 0x40 == 0;
    let len = usize::from(input.byte());
    let value = (choice & 0x30 != 0).then(|| format!("{offset}:{}", "x".repeat(len)).into_bytes());
    let headers = if choice & 0x80 == 0 { Vec::new() } else { vec![("h".to_owned(), None)] };
    let timestamp = now + i64::from(choice) - 100;
    Plain { offset, timestamp, key: has_key.then(|| key(choice)), value, headers }
}

fn record(entry: &Plain) -> Record<'_> {
    let mut record = Record::new().timestamp(entry.timestamp);
    if let Some(key) = &entry.key {
        record = record.key(key);
    }
    if let Some(value) = &entry.value {
        record = record.value(value);
    }
    if entry.headers.is_empty() { record } else { record.null_header("h") }
}
