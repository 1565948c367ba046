//! redb: a table for each partition.
//!
//! A commit with `Durability::Immediate` survives a power cut; one with `Durability::None` may be lost with the process.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use crate::harness::Outcome;
use crate::payload::Found;
use crate::peers::{Class, Numbers, PARTITIONS, Peer, Transacts, Writer};

pub(crate) const PEER: Peer = Peer { name: "redb", classes: &[Class::Memory, Class::Disk], open };

const NAMES: [&str; PARTITIONS] = ["0", "1", "2", "3", "4", "5", "6", "7"];

const fn table(partition: usize) -> TableDefinition<'static, u64, &'static [u8]> {
    TableDefinition::new(NAMES[partition])
}

struct Redb {
    db: Database,
    class: Class,
    begun: AtomicU64,
}

fn open(dir: &Path, class: Class) -> Outcome<Box<dyn Transacts>> {
    let db = Database::create(dir.join("redb"))?;
    let transaction = db.begin_write()?;
    for partition in 0..PARTITIONS {
        transaction.open_table(table(partition))?;
    }
    transaction.commit()?;
    Ok(Box::new(Redb { db, class, begun: AtomicU64::new(0) }))
}

impl Transacts for Redb {
    fn writer(&self, thread: usize) -> Outcome<Box<dyn Writer + '_>> {
        Ok(Box::new(OfThread { redb: self, numbers: Numbers::of(thread, &self.begun) }))
    }

    fn read(&self, found: &mut Found) -> Outcome {
        let transaction = self.db.begin_read()?;
        for partition in 0..PARTITIONS {
            for entry in transaction.open_table(table(partition))?.iter()? {
                found.add(entry?.1.value());
            }
        }
        Ok(())
    }
}

struct OfThread<'a> {
    redb: &'a Redb,
    numbers: Numbers,
}

impl Writer for OfThread<'_> {
    fn commit(&mut self, partitions: usize, records: usize, value: &[u8]) -> Outcome {
        let mut transaction = self.redb.db.begin_write()?;
        let is_durable = self.redb.class == Class::Disk;
        transaction.set_durability(if is_durable { Durability::Immediate } else { Durability::None })?;
        for partition in 0..partitions {
            let mut table = transaction.open_table(table(partition))?;
            for _ in (partition..records).step_by(partitions) {
                table.insert(self.numbers.next(), value)?;
            }
        }
        Ok(transaction.commit()?)
    }
}
