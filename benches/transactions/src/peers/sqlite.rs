//! SQLite through rusqlite: a table for each partition, `journal_mode = WAL`, one connection with a mutex around it: connections of
//! their own wait for each other by polling, which is slower.
//!
//! A commit with `synchronous = OFF` survives a SIGKILL, with `FULL` a power cut.

use std::path::Path;
use std::sync::Mutex;

use rusqlite::Connection;

use crate::harness::Outcome;
use crate::payload::Found;
use crate::peers::{Class, PARTITIONS, Peer, Transacts, Writer};

pub(crate) const PEER: Peer = Peer { name: "sqlite", classes: &[Class::Os, Class::Disk], open };

struct Sqlite {
    db: Mutex<Connection>,
    inserts: Vec<String>,
}

fn open(dir: &Path, class: Class) -> Outcome<Box<dyn Transacts>> {
    let db = Connection::open(dir.join("sqlite"))?;
    let synchronous = if class == Class::Disk { "FULL" } else { "OFF" };
    db.execute_batch(&format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};"))?;
    for number in 0..PARTITIONS {
        db.execute_batch(&format!(
            "CREATE TABLE partition{number} (id INTEGER PRIMARY KEY, body BLOB NOT NULL)"
        ))?;
    }
    let insert = |number| format!("INSERT INTO partition{number} (body) VALUES (?1)");
    Ok(Box::new(Sqlite { db: Mutex::new(db), inserts: (0..PARTITIONS).map(insert).collect() }))
}

impl Transacts for Sqlite {
    fn writer(&self, _thread: usize) -> Outcome<Box<dyn Writer + '_>> {
        Ok(Box::new(self))
    }

    fn read(&self, found: &mut Found) -> Outcome {
        let db = self.db.lock().map_err(|_| "another failed")?;
        for number in 0..PARTITIONS {
            let mut select = db.prepare(&format!("SELECT body FROM partition{number}"))?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                found.add(row.get_ref(0)?.as_blob()?);
            }
        }
        Ok(())
    }
}

impl Writer for &Sqlite {
    fn commit(&mut self, partitions: usize, records: usize, value: &[u8]) -> Outcome {
        let db = self.db.lock().map_err(|_| "another failed")?;
        let transaction = db.unchecked_transaction()?;
        for (partition, insert) in self.inserts.iter().take(partitions).enumerate() {
            let mut insert = transaction.prepare_cached(insert)?;
            for _ in (partition..records).step_by(partitions) {
                insert.execute([value])?;
            }
        }
        Ok(transaction.commit()?)
    }
}
