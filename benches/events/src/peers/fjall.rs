//! fjall: a keyspace of events by position and one of positions by stream and version, a mutex around what is checked and written.

use std::path::Path;
use std::sync::{Arc, Mutex};

use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use super::{Events, Peer};
use crate::harness::Outcome;
use crate::payload::Found;

pub(crate) const PEER: Peer = Peer { name: "fjall, two keyspaces", open };

struct Fjall {
    db: Database,
    log: Keyspace,
    streams: Keyspace,
    /// The next position.
    next: Mutex<u64>,
}

fn open(dir: &Path) -> Outcome<Arc<dyn Events>> {
    let db = Database::builder(dir).open()?;
    let log = db.keyspace("log", KeyspaceCreateOptions::default)?;
    let streams = db.keyspace("streams", KeyspaceCreateOptions::default)?;
    let next = match log.last_key_value() {
        Some(last) => u64::from_be_bytes(last.into_inner()?.0.as_ref().try_into()?) + 1,
        None => 0,
    };
    Ok(Arc::new(Fjall { db, log, streams, next: Mutex::new(next) }))
}

/// Stream and version.
fn key(stream: &str, version: u64) -> Vec<u8> {
    [stream.as_bytes(), &version.to_be_bytes()].concat()
}

impl Events for Fjall {
    fn append(&self, stream: &str, expected: Option<u64>, events: &[&[u8]]) -> Outcome<u64> {
        let mut next = self.next.lock().map_err(|_| "another failed")?;
        let mut version = expected.map_or(0, |version| version + 1);
        let is_there =
            expected.is_none_or(|last| self.streams.contains_key(key(stream, last)).unwrap_or(false));
        if !is_there || self.streams.contains_key(key(stream, version))? {
            return Err("a conflict".into());
        }
        let mut batch = self.db.batch();
        for event in events {
            batch.insert(&self.log, next.to_be_bytes(), *event);
            batch.insert(&self.streams, key(stream, version), next.to_be_bytes());
            *next += 1;
            version += 1;
        }
        batch.commit()?;
        Ok(version - 1)
    }

    fn read(&self, stream: &str, found: &mut Found) -> Outcome {
        for entry in self.streams.prefix(stream) {
            let position = entry.into_inner()?.1;
            found.add(&self.log.get(position)?.ok_or("no such event")?);
        }
        Ok(())
    }

    fn read_all(&self, found: &mut Found) -> Outcome {
        for entry in self.log.iter() {
            found.add(&entry.into_inner()?.1);
        }
        Ok(())
    }
}
