//! SQLite through rusqlite: a table of events with `UNIQUE (stream, version)`, `journal_mode = WAL`, `synchronous = OFF`, one connection
//! with a mutex around it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, params};

use super::{Events, Peer};
use crate::harness::Outcome;
use crate::payload::Found;

pub(crate) const PEER: Peer = Peer { name: "sqlite, UNIQUE (stream, version)", open };

struct Sqlite(Mutex<Connection>);

fn open(dir: &Path) -> Outcome<Arc<dyn Events>> {
    let db = Connection::open(dir.join("sqlite"))?;
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
         CREATE TABLE IF NOT EXISTS events (position INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL,
                                            body BLOB NOT NULL, UNIQUE (stream, version));",
    )?;
    Ok(Arc::new(Sqlite(Mutex::new(db))))
}

impl Events for Sqlite {
    fn append(&self, stream: &str, expected: Option<u64>, events: &[&[u8]]) -> Outcome<u64> {
        let db = self.0.lock().map_err(|_| "another failed")?;
        let transaction = db.unchecked_transaction()?;
        let mut version = expected.map_or(0, |version| version + 1);
        {
            if let Some(last) = expected {
                let mut is_there =
                    transaction.prepare_cached("SELECT 1 FROM events WHERE stream = ?1 AND version = ?2")?;
                if !is_there.exists(params![stream, i64::try_from(last)?])? {
                    return Err("a conflict".into());
                }
            }
            // A version that is there is a conflict.
            let mut insert = transaction
                .prepare_cached("INSERT INTO events (stream, version, body) VALUES (?1, ?2, ?3)")?;
            for event in events {
                insert.execute(params![stream, i64::try_from(version)?, event])?;
                version += 1;
            }
        }
        transaction.commit()?;
        Ok(version - 1)
    }

    fn read(&self, stream: &str, found: &mut Found) -> Outcome {
        let db = self.0.lock().map_err(|_| "another failed")?;
        let mut select = db.prepare_cached("SELECT body FROM events WHERE stream = ?1 ORDER BY version")?;
        let mut rows = select.query([stream])?;
        while let Some(row) = rows.next()? {
            found.add(row.get_ref(0)?.as_blob()?);
        }
        Ok(())
    }

    fn read_all(&self, found: &mut Found) -> Outcome {
        let db = self.0.lock().map_err(|_| "another failed")?;
        let mut select = db.prepare_cached("SELECT body FROM events ORDER BY position")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            found.add(row.get_ref(0)?.as_blob()?);
        }
        Ok(())
    }
}
