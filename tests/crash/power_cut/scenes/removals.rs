//! Records are taken out: by retention, deletion, compaction and erasure.

use std::collections::BTreeSet;

use annals::{Offset, Result, Topic, TopicPartition};

use crate::power_cut::promise::{self, LogPromise};
use crate::power_cut::scenes::World;

impl World {
    pub(crate) fn maintain(&mut self) -> Result<()> {
        self.attempt("maintain", |promises| {
            for log in promises.topics.values_mut().flat_map(|topic| &mut topic.logs) {
                log.most_start = log.end();
            }
        });
        if !self.bear(self.store().maintain().map(drop))? {
            return Ok(());
        }
        self.promise(|_| {});
        self.note_starts();
        Ok(())
    }

    pub(crate) fn apply_retention(&mut self) -> Result<()> {
        self.attempt("retention", |promises| {
            for log in promises.topics.values_mut().flat_map(|topic| &mut topic.logs) {
                log.most_start = log.end();
            }
        });
        if self.bear(self.store().apply_retention().map(drop))? {
            self.note_starts();
        }
        Ok(())
    }

    /// What a start says is gone stays gone.
    fn note_starts(&self) {
        let topics = promise::topics(self.store());
        self.promise(|promises| {
            for partition in topics.iter().flat_map(Topic::partitions) {
                let log = promises.log(partition.topic_partition());
                log.least_start = partition.start();
                // One that failed before may have moved the start on the disk, and not here.
                log.most_start = if self.bears { log.most_start } else { partition.start() };
            }
        });
    }

    pub(crate) fn delete_records(&mut self, place: &TopicPartition, before: Offset) -> Result<()> {
        self.attempt("delete records", |promises| {
            let log = promises.log(place);
            log.most_start = log.most_start.max(before);
            // What is left of a segment may be nothing: the start passes over offsets that compaction took.
            while log.gone.contains(&log.most_start) || log.may_go.contains(&log.most_start) {
                log.most_start += 1;
            }
        });
        if !self
            .bear(self.partition(place).and_then(|partition| partition.delete_records(before)).map(drop))?
        {
            return Ok(());
        }
        self.promise(|promises| promises.log(place).least_start = before);
        Ok(())
    }

    pub(crate) fn compact(&mut self, name: &str) -> Result<()> {
        self.attempt("compact", |promises| {
            for log in &mut promises.topics.get_mut(name).unwrap().logs {
                let superseded = log.superseded();
                log.may_go.extend(superseded);
            }
        });
        let compacted = self.store().topic(name).and_then(|topic| topic.compact()).map(drop);
        if self.bear(compacted)? { self.note_gone(name) } else { Ok(()) }
    }

    pub(crate) fn erase(&mut self, name: &str, key: &[u8]) -> Result<()> {
        let of_key = |log: &LogPromise| -> BTreeSet<Offset> {
            let found = log.entries.iter().enumerate().filter(|(_, entry)| entry.key == key);
            found.map(|(at, _)| Offset::try_from(at).unwrap()).collect()
        };
        self.attempt("erase", |promises| {
            for log in &mut promises.topics.get_mut(name).unwrap().logs {
                let of_key = of_key(log);
                log.may_go.extend(of_key);
            }
        });
        if !self.bear(self.store().topic(name).and_then(|topic| topic.erase(key)).map(drop))? {
            return Ok(());
        }
        self.promise(|promises| {
            for log in &mut promises.topics.get_mut(name).unwrap().logs {
                let erased = of_key(log);
                log.gone.extend(erased);
            }
        });
        self.note_gone(name)
    }

    /// What the running store does not show any more must not come back.
    fn note_gone(&self, name: &str) -> Result<()> {
        for partition in self.store().topic(name)?.partitions() {
            let there = promise::offsets(&partition).unwrap();
            let log = self.recorder.promises().log(partition.topic_partition()).clone();
            // Records in memory whose write has failed are told of by the next append.
            let offsets = log.least_start..partition.end();
            let gone: BTreeSet<_> = offsets.filter(|offset| there.binary_search(offset).is_err()).collect();
            let mut lost = gone.iter().filter(|at| !log.may_go.contains(at) && !log.gone.contains(at));
            assert_eq!(lost.next(), None, "{}", partition.topic_partition());
            self.promise(|promises| {
                let log = promises.log(partition.topic_partition());
                log.gone.extend(gone);
                log.may_go.clear();
            });
        }
        Ok(())
    }
}
