//! commitlog: `append` writes the messages and an index entry for each with `write` and a mapped index.
//!
//! Guarantees a SIGKILL. Nothing in it syncs the log: `flush` calls `File::flush`, which does nothing, and `msync`s whole pages of the index.

use std::path::Path;

use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};

use crate::harness::Outcome;
use crate::payload::Found;
use crate::peer::{Class, Log, Offer, PLAIN, Peer, Setup};
use crate::peers::locked::{Locked, Single};

pub(crate) const PEER: Peer = Peer {
    name: "commitlog",
    package: Some("commitlog"),
    offers: &[Offer::new(Class::Os, "append_msg, append; a mutex around it")],
    claim: Some("append_msg and flush"),
    note: "never syncs the log; opening does not check the tail",
    open,
    ..PLAIN
};

/// What one read takes at most, as other logs' readers do.
const READ: usize = 1 << 20;

struct Commit {
    log: CommitLog,
    buffer: MessageBuf,
    flushes: bool,
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Log>> {
    let mut options = LogOptions::new(dir);
    options.message_max_bytes(16 << 20);
    let log = CommitLog::new(options)?;
    Ok(Box::new(Locked::new(Commit { log, buffer: MessageBuf::default(), flushes: setup.as_claimed })))
}

impl Single for Commit {
    #[inline]
    fn append(&mut self, value: &[u8]) -> Outcome {
        self.append_batch(&[value])
    }

    #[inline]
    fn append_batch(&mut self, values: &[&[u8]]) -> Outcome {
        self.buffer.clear();
        for value in values {
            self.buffer.push(value).map_err(|_| "a payload is too long")?;
        }
        self.log.append(&mut self.buffer)?;
        if self.flushes {
            self.log.flush()?;
        }
        Ok(())
    }

    fn read_all(&mut self) -> Outcome<Found> {
        let (mut found, mut next) = (Found::default(), 0);
        loop {
            let messages = self.log.read(next, ReadLimit::max_bytes(READ))?;
            if messages.len() == 0 {
                return Ok(found);
            }
            next += messages.len() as u64;
            messages.iter().for_each(|message| found.add(message.payload()));
        }
    }

    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome {
        // The least that holds one message of any length used here.
        let messages = self.log.read(number as u64, ReadLimit::max_bytes(160))?;
        found.add(messages.iter().next().ok_or("an offset is missing")?.payload());
        Ok(())
    }
}
