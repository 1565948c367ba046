//! honker: queues on SQLite, as its crate offers them. Its own `synchronous = NORMAL` guarantees a SIGKILL; `FULL` a power cut.
//! Payloads are JSON: a string here.

use std::path::Path;
use std::sync::Arc;

use honker::{Database, EnqueueOpts, Queue, QueueOpts};

use crate::harness::Outcome;
use crate::jobs::{Class, Jobs, Peer, Worker};
use crate::payload::Found;

pub(crate) const PEER: Peer =
    Peer { name: "honker", classes: &[Class::Os, Class::Disk], is_shared: true, open };

struct Honker {
    db: Database,
    queue: Queue,
}

fn open(dir: &Path, class: Class) -> Outcome<Arc<dyn Jobs>> {
    let db = Database::open(dir.join("honker"))?;
    if class == Class::Disk {
        db.with_conn(|connection| connection.execute_batch("PRAGMA synchronous = FULL"))?;
    }
    let queue = db.queue("jobs", QueueOpts::default());
    Ok(Arc::new(Honker { db, queue }))
}

impl Jobs for Honker {
    fn enqueue(&self, values: &[&[u8]]) -> Outcome {
        let transaction = self.db.transaction()?;
        for value in values {
            self.queue.enqueue_tx(&transaction, &std::str::from_utf8(value)?, EnqueueOpts::default())?;
        }
        Ok(transaction.commit()?)
    }

    fn worker(self: Arc<Self>) -> Outcome<Box<dyn Worker>> {
        Ok(Box::new(HonkerWorker { jobs: self, name: format!("{:?}", std::time::Instant::now()) }))
    }
}

struct HonkerWorker {
    jobs: Arc<Honker>,
    name: String,
}

impl Worker for HonkerWorker {
    fn work(&mut self, at_a_time: usize, found: &mut Found) -> Outcome<usize> {
        let queue = &self.jobs.queue;
        let jobs = queue.claim_batch(&self.name, i64::try_from(at_a_time)?)?;
        let mut ids = Vec::with_capacity(jobs.len());
        for job in &jobs {
            let body: String = job.payload_as()?;
            found.add(body.as_bytes());
            ids.push(job.id);
        }
        if let [job] = &jobs[..] {
            job.ack()?;
        } else if !ids.is_empty() {
            queue.ack_batch(&ids, &self.name)?;
        }
        Ok(jobs.len())
    }
}
