//! redb: a table whose keys are numbers.
//!
//! A commit with `Durability::Immediate` guarantees a power cut. In the class `memory` one transaction holds all records; a commit
//! with `Durability::None` is lost with the process too.

use std::path::Path;

use redb::{Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};

use crate::harness::Outcome;
use crate::payload::{Found, Values};
use crate::peer::{Class, Log, Offer, PLAIN, Peer, Setup};
use crate::peers::locked::{Locked, Single};

pub(crate) const PEER: Peer = Peer {
    name: "redb",
    package: Some("redb"),
    offers: &[
        Offer::alone(Class::Memory, "insert; one transaction, Durability::None, committed at the end"),
        Offer::new(Class::Disk, "a transaction, Durability::Immediate; a mutex around it"),
    ],
    note: "a key-value store; no class between memory and disk",
    open,
    ..PLAIN
};

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");

struct Redb {
    db: Database,
    next: u64,
    class: Class,
    reader: Option<ReadTransaction>,
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Log>> {
    let db = Database::create(dir.join("redb"))?;
    let transaction = db.begin_write()?;
    let next = transaction.open_table(TABLE)?.last()?.map_or(0, |(key, _)| key.value() + 1);
    transaction.commit()?;
    Ok(Box::new(Locked::new(Redb { db, next, class: setup.class, reader: None })))
}

impl Redb {
    fn insert<'a>(&mut self, values: impl Iterator<Item = &'a [u8]>) -> Outcome {
        let mut transaction = self.db.begin_write()?;
        let durability = if self.class == Class::Disk { Durability::Immediate } else { Durability::None };
        transaction.set_durability(durability)?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for value in values {
                table.insert(self.next, value)?;
                self.next += 1;
            }
        }
        Ok(transaction.commit()?)
    }
}

impl Single for Redb {
    fn append(&mut self, value: &[u8]) -> Outcome {
        self.insert(std::iter::once(value))
    }

    fn append_batch(&mut self, values: &[&[u8]]) -> Outcome {
        self.insert(values.iter().copied())
    }

    fn append_run(&mut self, values: &Values) -> Outcome {
        match self.class {
            Class::Memory => self.insert(values.each()),
            _ if values.batch == 1 => values.each().try_for_each(|value| self.append(value)),
            _ => values.in_batches(|batch| self.append_batch(batch)),
        }
    }

    fn prepare_read(&mut self) -> Outcome {
        self.reader = Some(self.db.begin_read()?);
        Ok(())
    }

    fn read_all(&mut self) -> Outcome<Found> {
        let mut found = Found::default();
        let table = self.reader.as_ref().ok_or("no reader")?.open_table(TABLE)?;
        for record in table.iter()? {
            found.add(record?.1.value());
        }
        Ok(found)
    }

    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome {
        *found = self.read_run(&[number])?;
        Ok(())
    }

    fn read_run(&mut self, numbers: &[usize]) -> Outcome<Found> {
        let mut found = Found::default();
        let table = self.reader.as_ref().ok_or("no reader")?.open_table(TABLE)?;
        for number in numbers {
            found.add(table.get(*number as u64)?.ok_or("a key is missing")?.value());
        }
        Ok(found)
    }
}
