//! SQLite through rusqlite: a table of jobs, `journal_mode = WAL`, one connection with a mutex around it: connections of their own wait
//! for each other by polling, which is slower.
//!
//! A commit with `synchronous = OFF` guarantees a SIGKILL, with `FULL` a power cut.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, params};

use crate::harness::Outcome;
use crate::jobs::{Class, Jobs, Peer, Worker};
use crate::payload::Found;

pub(crate) const PEER: Peer =
    Peer { name: "sqlite, a table of jobs", classes: &[Class::Os, Class::Disk], is_shared: true, open };

/// Those that wait and those whose lock has run out, the oldest first.
const TAKE: &str = "UPDATE jobs SET attempts = attempts + 1, locked_until = unixepoch() + 30
    WHERE id IN (SELECT id FROM jobs WHERE locked_until < unixepoch() ORDER BY id LIMIT ?1) RETURNING id, body";

struct Sqlite {
    db: Mutex<Connection>,
}

fn open(dir: &Path, class: Class) -> Outcome<Arc<dyn Jobs>> {
    let db = Connection::open(dir.join("sqlite"))?;
    let synchronous = if class == Class::Disk { "FULL" } else { "OFF" };
    db.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};
         CREATE TABLE jobs (id INTEGER PRIMARY KEY, body BLOB NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
                            locked_until INTEGER NOT NULL DEFAULT 0);"
    ))?;
    Ok(Arc::new(Sqlite { db: Mutex::new(db) }))
}

impl Jobs for Sqlite {
    fn enqueue(&self, values: &[&[u8]]) -> Outcome {
        let db = self.db.lock().map_err(|_| "another failed")?;
        let transaction = db.unchecked_transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO jobs (body) VALUES (?1)")?;
            for value in values {
                insert.execute([value])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn worker(self: Arc<Self>) -> Outcome<Box<dyn Worker>> {
        Ok(Box::new(SqliteWorker { jobs: self, ids: Vec::new() }))
    }
}

struct SqliteWorker {
    jobs: Arc<Sqlite>,
    ids: Vec<i64>,
}

impl Worker for SqliteWorker {
    fn work(&mut self, at_a_time: usize, found: &mut Found) -> Outcome<usize> {
        self.ids.clear();
        {
            let db = self.jobs.db.lock().map_err(|_| "another failed")?;
            let mut take = db.prepare_cached(TAKE)?;
            let mut rows = take.query(params![i64::try_from(at_a_time)?])?;
            while let Some(row) = rows.next()? {
                self.ids.push(row.get(0)?);
                found.add(row.get_ref(1)?.as_blob()?);
            }
        }
        let db = self.jobs.db.lock().map_err(|_| "another failed")?;
        let transaction = db.unchecked_transaction()?;
        {
            let mut delete = transaction.prepare_cached("DELETE FROM jobs WHERE id = ?1")?;
            for id in &self.ids {
                delete.execute([id])?;
            }
        }
        transaction.commit()?;
        Ok(self.ids.len())
    }
}
