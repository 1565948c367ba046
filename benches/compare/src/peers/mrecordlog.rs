//! mrecordlog 0.4: a queue whose records are all in memory, and a log to make it again.
//!
//! `OnAppend` flushes tokio's buffer after each call, which guarantees a SIGKILL; nothing in this version syncs. `OnDelay` leaves
//! records in the buffer. Its functions are async over tokio's files: each is driven here on a thread of its own runtime.

use std::path::Path;
use std::time::Duration;

use mrecordlog::{MultiRecordLog, SyncPolicy};
use tokio::runtime::Runtime;

use crate::harness::Outcome;
use crate::payload::{Found, Values};
use crate::peer::{Class, Log, Offer, PLAIN, Peer, Setup, Work};
use crate::peers::locked::{Locked, Single};

pub(crate) const PEER: Peer = Peer {
    name: "mrecordlog",
    package: Some("mrecordlog"),
    offers: &[
        Offer::new(Class::Memory, "append_record(s); SyncPolicy::OnDelay; a mutex around it"),
        Offer::new(Class::Os, "append_record(s); SyncPolicy::OnAppend; a mutex around it"),
    ],
    works: &[Work::W1, Work::W2, Work::W3, Work::W5, Work::W5k, Work::W6, Work::W8],
    reads_as: Some("mrecordlog (from memory)"),
    claim: Some("append_record with SyncPolicy::OnAppend, \"sync and flush at each operation\""),
    note: "keeps every record in memory; left out of W7 for that",
    open,
    ..PLAIN
};

const QUEUE: &str = "events";

struct Queue {
    log: MultiRecordLog,
    runtime: Runtime,
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Log>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let policy = match setup.class {
        Class::Memory => SyncPolicy::OnDelay(Duration::from_secs(3600)),
        Class::Os | Class::Disk => SyncPolicy::OnAppend,
    };
    let mut log = runtime.block_on(MultiRecordLog::open_with_prefs(dir, policy))?;
    if !log.queue_exists(QUEUE) {
        runtime.block_on(log.create_queue(QUEUE))?;
    }
    Ok(Box::new(Locked::new(Queue { log, runtime })))
}

impl Single for Queue {
    fn append(&mut self, value: &[u8]) -> Outcome {
        self.runtime.block_on(self.log.append_record(QUEUE, None, value))?;
        Ok(())
    }

    fn append_batch(&mut self, values: &[&[u8]]) -> Outcome {
        self.runtime.block_on(self.log.append_records(QUEUE, None, values.iter().copied()))?;
        Ok(())
    }

    fn append_run(&mut self, values: &Values) -> Outcome {
        let Self { log, runtime } = self;
        // One entry into the runtime, as a program that is async already has.
        runtime.block_on(async {
            if values.batch == 1 {
                for value in values.each() {
                    log.append_record(QUEUE, None, value).await?;
                }
            } else {
                for first in values.numbers.clone().step_by(values.batch) {
                    let behind = values.numbers.end.min(first + values.batch);
                    let batch = (first..behind).map(|number| values.payloads.get(number));
                    log.append_records(QUEUE, None, batch).await?;
                }
                values.end();
            }
            Ok(())
        })
    }

    fn finish(&mut self) -> Outcome {
        Ok(self.runtime.block_on(self.log.sync())?)
    }

    fn read_all(&mut self) -> Outcome<Found> {
        let mut found = Found::default();
        for (_, payload) in self.log.range(QUEUE, ..).map_err(|_| "no queue")? {
            found.add(&payload);
        }
        Ok(found)
    }

    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome {
        let position = number as u64;
        let (_, payload) = self
            .log
            .range(QUEUE, position..=position)
            .map_err(|_| "no queue")?
            .next()
            .ok_or("a record is missing")?;
        found.add(&payload);
        Ok(())
    }
}
