//! redb: a table of jobs that wait and one of those that are out; each take and each answer is a transaction.
//!
//! A commit with `Durability::Immediate` guarantees a power cut; one with `Durability::None` may be lost with the process.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::harness::Outcome;
use crate::jobs::{Class, Jobs, Peer, Worker};
use crate::payload::Found;

pub(crate) const PEER: Peer =
    Peer { name: "redb, two tables", classes: &[Class::Disk, Class::Memory], is_shared: true, open };

const WAITING: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("waiting");
/// How often it was handed out, until when it is locked, and the job.
const OUT: TableDefinition<'_, u64, (u32, u64, &[u8])> = TableDefinition::new("out");

struct Redb {
    db: Database,
    class: Class,
}

fn open(dir: &Path, class: Class) -> Outcome<Arc<dyn Jobs>> {
    let db = Database::create(dir.join("redb"))?;
    let transaction = db.begin_write()?;
    transaction.open_table(WAITING)?;
    transaction.open_table(OUT)?;
    transaction.commit()?;
    db.begin_read()?;
    Ok(Arc::new(Redb { db, class }))
}

impl Redb {
    fn begin(&self) -> Outcome<WriteTransaction> {
        let mut transaction = self.db.begin_write()?;
        let is_durable = self.class == Class::Disk;
        transaction.set_durability(if is_durable { Durability::Immediate } else { Durability::None })?;
        Ok(transaction)
    }
}

impl Jobs for Redb {
    fn enqueue(&self, values: &[&[u8]]) -> Outcome {
        let transaction = self.begin()?;
        {
            let mut waiting = transaction.open_table(WAITING)?;
            let first = waiting.last()?.map_or(0, |(id, _)| id.value() + 1);
            for (id, value) in (first..).zip(values) {
                waiting.insert(id, *value)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn worker(self: Arc<Self>) -> Outcome<Box<dyn Worker>> {
        Ok(Box::new(RedbWorker { jobs: self, ids: Vec::new() }))
    }
}

struct RedbWorker {
    jobs: Arc<Redb>,
    ids: Vec<u64>,
}

impl Worker for RedbWorker {
    fn work(&mut self, at_a_time: usize, found: &mut Found) -> Outcome<usize> {
        self.ids.clear();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        let transaction = self.jobs.begin()?;
        {
            let (mut waiting, mut out) = (transaction.open_table(WAITING)?, transaction.open_table(OUT)?);
            while self.ids.len() < at_a_time {
                let Some((id, body)) = waiting.pop_first()? else { break };
                found.add(body.value());
                out.insert(id.value(), (1, now + 30, body.value()))?;
                self.ids.push(id.value());
            }
        }
        transaction.commit()?;
        if self.ids.is_empty() {
            return Ok(0);
        }
        let transaction = self.jobs.begin()?;
        {
            let mut out = transaction.open_table(OUT)?;
            for id in &self.ids {
                out.remove(id)?;
            }
        }
        transaction.commit()?;
        Ok(self.ids.len())
    }
}
