//! Records are appended, in each way that there is.

use std::sync::Arc;

use annals::{Durability, Error, Record, Result, TopicPartition};

use crate::power_cut::promise::Entry;
use crate::power_cut::scenes::World;
use annals_testing::power_cut::UNIT;

impl World {
    /// New records; no two have the same value.
    pub(crate) fn entries(&mut self, count: u64, keys: u64) -> Vec<Entry> {
        let entry = |at: u64| {
            // At most one record of a batch spans units, or three would not fit into a tiny segment.
            let padding = match self.random.below(8) {
                0 if at == 0 => UNIT + 40,
                n => usize::try_from(n).unwrap() * 12,
            };
            let key = self.random.below(keys);
            Entry { ends_batch: at + 1 == count, ..self.entry(key, padding) }
        };
        (0..count).map(entry).collect()
    }

    /// A new record of about so many bytes.
    pub(crate) fn entry(&mut self, key: u64, padding: usize) -> Entry {
        self.sent += 1;
        let value = format!("{} {}", self.sent, "-".repeat(padding)).into_bytes();
        Entry { key: format!("key {key}").into_bytes(), value: Some(value), ends_batch: true }
    }

    /// Appends a batch. At `Memory` it may become two.
    pub(crate) fn append(
        &mut self,
        place: &TopicPartition,
        count: u64,
        durability: Durability,
    ) -> Result<()> {
        let entries = self.entries(count, 5);
        self.append_entries(place, &entries, durability)
    }

    pub(crate) fn append_entries(
        &mut self,
        place: &TopicPartition,
        entries: &[Entry],
        durability: Durability,
    ) -> Result<()> {
        // What waits in memory when something fails is gone, or not: too much to keep account of.
        let durability = if self.bears { durability.max(Durability::Os) } else { durability };
        self.begin(&format!("append at {durability:?}"), place, entries, durability);
        let records: Vec<_> = entries.iter().map(record).collect();
        let appended = self.partition(place).and_then(|partition| partition.append(&records, durability));
        self.appended(place, durability, appended.map(drop))
    }

    /// After a failed sync of the log nobody knows; after any other failure nothing of it is there.
    fn appended(&self, place: &TopicPartition, durability: Durability, outcome: Result<()>) -> Result<()> {
        let is_refused = match &outcome {
            // Of the log: the partition takes nothing more. Of a new table: it goes on as before.
            Err(Error::Io { operation: "sync", .. }) => self.partition(place)?.flush().is_ok(),
            outcome => outcome.is_err(),
        };
        if self.bear(outcome)? {
            self.acknowledge(place, durability);
        } else if is_refused {
            let end = self.partition(place).map_or(0, |partition| partition.end());
            let end = usize::try_from(end).unwrap();
            self.attempt("refused", |promises| promises.log(place).entries.truncate(end));
        }
        Ok(())
    }

    /// Appends a record that may be refused, and then is not there.
    pub(crate) fn try_append(&mut self, place: &TopicPartition, entry: Entry) -> Result<()> {
        let end = self.partition(place)?.end();
        match self.append_entries(place, &[entry], Durability::Os) {
            Err(Error::Io { .. }) if self.partition(place)?.flush().is_ok() => {
                let end = usize::try_from(end).unwrap();
                self.promise(|promises| promises.log(place).entries.truncate(end));
                Ok(())
            }
            other => other,
        }
    }

    /// The same through a producer.
    pub(crate) fn send(&mut self, place: &TopicPartition, count: u64, durability: Durability) -> Result<()> {
        let entries = self.entries(count, 5);
        self.begin("send a batch", place, &entries, durability);
        let to = |entry| record_to(entry, place);
        let records: Vec<_> = entries.iter().map(to).collect();
        let producer = self.store().producer_builder().durability(durability).build()?;
        self.appended(place, durability, producer.send_batch(&records).map(drop))
    }

    /// Twice: as it is expected, and then not.
    pub(crate) fn append_if(&mut self, place: &TopicPartition) -> Result<()> {
        let entries = self.entries(2, 5);
        self.begin("append if", place, &entries, Durability::Disk);
        let records: Vec<_> = entries.iter().map(record).collect();
        let partition = self.partition(place)?;
        let expected = partition.end();
        let appended = partition.append_if(expected, &records, Durability::Disk).map(drop);
        let is_appended = appended.is_ok();
        self.appended(place, Durability::Disk, appended)?;
        if !is_appended {
            return Ok(());
        }
        let refused = partition.append_if(expected, &records, Durability::Disk);
        assert!(matches!(refused, Err(Error::UnexpectedEnd { .. })), "{refused:?}");
        Ok(())
    }

    fn begin(&self, doing: &str, place: &TopicPartition, entries: &[Entry], durability: Durability) {
        let split = durability == Durability::Memory;
        let entries = entries.iter().cloned().map(|mut entry| {
            entry.ends_batch |= split;
            Arc::new(entry)
        });
        self.attempt(doing, |promises| promises.log(place).entries.extend(entries));
    }

    fn acknowledge(&self, place: &TopicPartition, durability: Durability) {
        self.promise(|promises| {
            let log = promises.log(place);
            if durability == Durability::Disk {
                log.durable = log.end();
            }
        });
    }

    pub(crate) fn flush(&mut self, place: &TopicPartition) -> Result<()> {
        self.attempt("flush", |_| {});
        if !self.bear(self.partition(place).and_then(|partition| partition.flush()))? {
            return Ok(());
        }
        self.acknowledge(place, Durability::Disk);
        Ok(())
    }
}

fn record(entry: &Entry) -> Record<'_> {
    let record = Record::new().key(&entry.key);
    match &entry.value {
        Some(value) => record.value(value),
        None => record,
    }
}

fn record_to<'a>(entry: &'a Entry, place: &'a TopicPartition) -> Record<'a> {
    let record = Record::to(place.topic()).partition(place.partition()).key(&entry.key);
    match &entry.value {
        Some(value) => record.value(value),
        None => record,
    }
}
