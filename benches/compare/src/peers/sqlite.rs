//! SQLite through rusqlite: a table of blobs by number, `journal_mode = WAL`.
//!
//! A commit with `synchronous = OFF` guarantees a SIGKILL, with `FULL` a power cut. In the class `memory` one transaction holds all
//! records.

use std::path::Path;

use rusqlite::Connection;

use crate::harness::Outcome;
use crate::payload::{Found, Values};
use crate::peer::{Class, Log, Offer, PLAIN, Peer, Setup};
use crate::peers::locked::{Locked, Single};

pub(crate) const PEER: Peer = Peer {
    name: "sqlite",
    package: Some("rusqlite"),
    offers: &[
        Offer::alone(Class::Memory, "insert; one transaction, committed at the end"),
        Offer::new(Class::Os, "a transaction; WAL, synchronous = OFF; a mutex around it"),
        Offer::new(Class::Disk, "a transaction; WAL, synchronous = FULL; a mutex around it"),
    ],
    note: "a database",
    open,
    ..PLAIN
};

const INSERT: &str = "INSERT INTO events (value) VALUES (?1)";

struct Sqlite {
    db: Connection,
    class: Class,
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Log>> {
    let db = Connection::open(dir.join("sqlite"))?;
    let synchronous = if setup.class == Class::Disk { "FULL" } else { "OFF" };
    db.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};
         CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, value BLOB NOT NULL);"
    ))?;
    Ok(Box::new(Locked::new(Sqlite { db, class: setup.class })))
}

impl Sqlite {
    fn insert<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> Outcome {
        let transaction = self.db.unchecked_transaction()?;
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for value in values {
                insert.execute([value])?;
            }
        }
        Ok(transaction.commit()?)
    }
}

impl Single for Sqlite {
    fn append(&mut self, value: &[u8]) -> Outcome {
        // A statement outside a transaction is one.
        self.db.prepare_cached(INSERT)?.execute([value])?;
        Ok(())
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

    fn read_all(&mut self) -> Outcome<Found> {
        let mut found = Found::default();
        let mut select = self.db.prepare_cached("SELECT value FROM events ORDER BY number")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            found.add(row.get_ref(0)?.as_blob()?);
        }
        Ok(found)
    }

    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome {
        *found = self.read_run(&[number])?;
        Ok(())
    }

    fn read_run(&mut self, numbers: &[usize]) -> Outcome<Found> {
        let mut found = Found::default();
        let transaction = self.db.unchecked_transaction()?;
        {
            let mut select = transaction.prepare_cached("SELECT value FROM events WHERE number = ?1")?;
            for number in numbers {
                let mut rows = select.query([i64::try_from(*number)? + 1])?;
                found.add(rows.next()?.ok_or("a row is missing")?.get_ref(0)?.as_blob()?);
            }
        }
        transaction.commit()?;
        Ok(found)
    }
}
