//! annals: a topic of eight partitions; each thread has a name.

use std::path::Path;

use annals::{Durability, Record, Store, TopicConfig};

use crate::harness::Outcome;
use crate::payload::Found;
use crate::peers::{Class, PARTITIONS, Peer, Transacts, Writer};

pub(crate) const PEER: Peer = Peer { name: "annals", classes: &Class::ALL, open };

struct Annals {
    store: Store,
    durability: Durability,
}

fn open(dir: &Path, class: Class) -> Outcome<Box<dyn Transacts>> {
    let store = Store::open(dir)?;
    store.create_topic("events", TopicConfig::new().partitions(u32::try_from(PARTITIONS)?))?;
    let durability = match class {
        Class::Memory => Durability::Memory,
        Class::Os => Durability::Os,
        Class::Disk => Durability::Disk,
    };
    Ok(Box::new(Annals { store, durability }))
}

struct OfThread<'a> {
    annals: &'a Annals,
    name: String,
}

impl Transacts for Annals {
    fn writer(&self, thread: usize) -> Outcome<Box<dyn Writer + '_>> {
        Ok(Box::new(OfThread { annals: self, name: format!("thread {thread}") }))
    }

    fn read(&self, found: &mut Found) -> Outcome {
        for partition in self.store.topic("events")?.partitions() {
            let mut reader = partition.read(..)?;
            loop {
                let records = reader.fetch()?;
                if records.is_empty() {
                    break;
                }
                records.iter().for_each(|record| found.add(record.value().unwrap_or_default()));
            }
        }
        Ok(())
    }
}

impl Writer for OfThread<'_> {
    fn commit(&mut self, partitions: usize, records: usize, value: &[u8]) -> Outcome {
        let builder = self.annals.store.transaction_builder(&self.name);
        let mut tx = builder.durability(self.annals.durability).begin()?;
        for number in 0..records {
            let partition = u32::try_from(number % partitions)?;
            tx.send(Record::to("events").partition(partition).value(value))?;
        }
        tx.commit()?;
        Ok(())
    }
}
