//! `consume --follow`: all partitions at once, as records come, and those that are added meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use annals::{Consumer, Offset, OnDamage, StoreReader, TopicPartition};

use super::{Options, isolation, named_partitions, start_of};
use crate::commands::once;
use crate::commands::printer::Printer;
use crate::failure::{Failure, Outcome};
use crate::interrupt;

/// What is read, and how many partitions of each topic are known.
struct Followed<'a> {
    store: &'a StoreReader,
    consumer: Consumer,
    known: BTreeMap<&'a str, u32>,
}

pub(super) fn follow(options: &Options, store: &StoreReader, printer: &mut Printer<'_>) -> Outcome {
    let mut followed = Followed::begin(options, store, printer)?;
    let mut since = Instant::now();
    while printer.left > 0 && options.timeout.is_none_or(|timeout| since.elapsed() < timeout) {
        interrupt::check()?;
        // Nothing may come for long: that nobody reads any more is not left to the next record.
        if printer.reader_has_gone() {
            return Err(Failure::ReaderGone);
        }
        let records = followed.consumer.poll(Duration::from_millis(100))?;
        if !records.is_empty() {
            printer.print(&records)?;
            printer.flush()?;
            since = Instant::now();
        }
        followed.take_in_added()?;
    }
    Ok(())
}

impl<'a> Followed<'a> {
    fn begin(options: &'a Options, store: &'a StoreReader, printer: &mut Printer<'_>) -> Outcome<Self> {
        let damage = if options.skip_damage { OnDamage::Skip } else { OnDamage::Fail };
        let builder = store.consumer_builder().isolation(isolation(options)).on_damage(damage);
        let consumer = builder.max_poll_records(10_000).build()?;
        let mut followed = Self { store, consumer, known: BTreeMap::new() };
        let says_where = options.from_beginning || options.offset.is_some() || options.from_time.is_some();
        let mut starts = BTreeMap::new();
        for name in once(&options.topic) {
            let topic = store.topic(name)?;
            printer.note_times(name, &topic.config());
            let partitions = named_partitions(options, &topic)?;
            if options.partition.is_empty() {
                followed.known.insert(name, u32::try_from(partitions.len()).unwrap_or(u32::MAX));
            }
            for partition in partitions {
                let start = if says_where { start_of(options, &partition)? } else { None };
                let place = partition.topic_partition().clone();
                starts.insert(place, start.unwrap_or_else(|| partition.stable()));
            }
        }
        followed.read_from(&starts)?;
        Ok(followed)
    }

    fn read_from(&mut self, starts: &BTreeMap<TopicPartition, Offset>) -> Outcome {
        self.consumer.assign(starts.keys().cloned())?;
        for (place, start) in starts {
            self.consumer.seek(place.clone(), *start)?;
        }
        Ok(())
    }

    /// Partitions that were added are read from their first records: all of them were sent since.
    fn take_in_added(&mut self) -> Outcome {
        let mut added = BTreeMap::new();
        for (name, known) in &mut self.known {
            let topic = self.store.topic(name)?;
            for number in *known..topic.partition_count() {
                let partition = topic.partition(number)?;
                added.insert(partition.topic_partition().clone(), partition.start());
                *known = number + 1;
            }
        }
        if added.is_empty() {
            return Ok(());
        }
        for place in self.consumer.assignment() {
            let position = self.consumer.position(place.clone())?;
            added.insert(place, position);
        }
        self.read_from(&added)
    }
}
