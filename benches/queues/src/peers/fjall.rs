//! fjall: a keyspace of jobs by number and one of what was handed out. Where the jobs begin that wait is kept in memory, so that no take
//! walks over what was deleted.
//!
//! A batch guarantees a SIGKILL; `persist(SyncData)` behind it a power cut.

use std::path::Path;
use std::sync::{Arc, Mutex};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::harness::Outcome;
use crate::jobs::{Class, Jobs, Peer, Worker};
use crate::payload::Found;

pub(crate) const PEER: Peer =
    Peer { name: "fjall, two keyspaces", classes: &[Class::Os, Class::Disk], is_shared: true, open };

struct Fjall {
    db: Database,
    jobs: Keyspace,
    /// How often each was handed out, and until when it is locked.
    out: Keyspace,
    ends: Mutex<Ends>,
    class: Class,
}

#[derive(Default)]
struct Ends {
    /// The first that waits.
    first: u64,
    /// The next to be sent.
    next: u64,
}

fn open(dir: &Path, class: Class) -> Outcome<Arc<dyn Jobs>> {
    let db = Database::builder(dir).open()?;
    let jobs = db.keyspace("jobs", KeyspaceCreateOptions::default)?;
    let out = db.keyspace("out", KeyspaceCreateOptions::default)?;
    Ok(Arc::new(Fjall { db, jobs, out, ends: Mutex::default(), class }))
}

impl Fjall {
    fn persisted(&self) -> Outcome {
        if self.class == Class::Disk {
            self.db.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }
}

impl Jobs for Fjall {
    fn enqueue(&self, values: &[&[u8]]) -> Outcome {
        {
            let mut ends = self.ends.lock().map_err(|_| "another failed")?;
            let mut batch = self.db.batch();
            for value in values {
                batch.insert(&self.jobs, ends.next.to_be_bytes(), *value);
                ends.next += 1;
            }
            batch.commit()?;
        }
        self.persisted()
    }

    fn worker(self: Arc<Self>) -> Outcome<Box<dyn Worker>> {
        Ok(Box::new(FjallWorker { jobs: self, ids: Vec::new() }))
    }
}

struct FjallWorker {
    jobs: Arc<Fjall>,
    ids: Vec<[u8; 8]>,
}

impl Worker for FjallWorker {
    fn work(&mut self, at_a_time: usize, found: &mut Found) -> Outcome<usize> {
        self.ids.clear();
        let Fjall { db, jobs, out, ends, .. } = &*self.jobs;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        {
            let mut ends = ends.lock().map_err(|_| "another failed")?;
            let mut batch = db.batch();
            for entry in jobs.range(ends.first.to_be_bytes()..).take(at_a_time) {
                let (id, body) = entry.into_inner()?;
                found.add(&body);
                let id: [u8; 8] = id.as_ref().try_into()?;
                let mut state = [0; 12];
                state[..4].copy_from_slice(&1_u32.to_be_bytes());
                state[4..].copy_from_slice(&(now + 30).to_be_bytes());
                batch.insert(out, id, state);
                self.ids.push(id);
            }
            let Some(last) = self.ids.last() else { return Ok(0) };
            batch.commit()?;
            ends.first = u64::from_be_bytes(*last) + 1;
        }
        self.jobs.persisted()?;
        let mut batch = db.batch();
        for id in &self.ids {
            batch.remove(jobs, *id);
            batch.remove(out, *id);
        }
        batch.commit()?;
        self.jobs.persisted()?;
        Ok(self.ids.len())
    }
}
