//! okaywal: chunks of an entry; `commit` writes the entry and syncs, together with other threads that wait.
//!
//! Guarantees a power cut. In the class `memory` one entry holds all records and is committed at the end: without that
//! commit nothing of it is there.

use std::path::Path;

use okaywal::{Configuration, Entry, EntryId, LogManager, ReadChunkResult, SegmentReader, WriteAheadLog};
use std::io::Read;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::harness::Outcome;
use crate::payload::{Found, Values};
use crate::peer::{Class, Log, Offer, PLAIN, Peer, Setup, Work};

pub(crate) const PEER: Peer = Peer {
    name: "okaywal",
    package: Some("okaywal"),
    offers: &[
        Offer::alone(Class::Memory, "write_chunk; one entry, committed at the end"),
        Offer::new(Class::Disk, "an entry and commit"),
    ],
    works: &[Work::W1, Work::W2, Work::W3, Work::W4a, Work::W4b, Work::W8],
    note: "a write-ahead log: opening hands over everything that was not checkpointed, and there is no other reading",
    open,
    ..PLAIN
};

struct Okay {
    /// None while it is opened again.
    log: Option<WriteAheadLog>,
    recovered: Arc<Mutex<Found>>,
    configuration: Configuration,
    class: Class,
}

/// Counts what is recovered.
#[derive(Debug)]
struct Counter(Arc<Mutex<Found>>);

impl LogManager for Counter {
    fn recover(&mut self, entry: &mut Entry<'_>) -> std::io::Result<()> {
        let (mut found, mut payload) = (Found::default(), Vec::new());
        loop {
            match entry.read_chunk()? {
                ReadChunkResult::Chunk(mut chunk) => {
                    payload.clear();
                    chunk.read_to_end(&mut payload)?;
                    if !chunk.check_crc()? {
                        return Ok(());
                    }
                    found.add(&payload);
                }
                ReadChunkResult::EndOfEntry => break,
                // Cut off: nothing of it counts.
                ReadChunkResult::AbortedEntry => return Ok(()),
            }
        }
        let mut all = self.0.lock();
        all.records += found.records;
        all.bytes += found.bytes;
        all.sum = all.sum.wrapping_add(found.sum);
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> std::io::Result<()> {
        Ok(())
    }
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Log>> {
    // No checkpoint while it runs: everything stays in the log, as in the others.
    let configuration = Configuration::default_for(dir)
        .preallocate_bytes(u32::try_from(setup.room().min(1 << 30))?)
        .checkpoint_after_bytes(u64::MAX);
    let recovered = Arc::<Mutex<Found>>::default();
    let log = Some(configuration.clone().open(Counter(Arc::clone(&recovered)))?);
    Ok(Box::new(Okay { log, recovered, configuration, class: setup.class }))
}

impl Okay {
    fn log(&self) -> Outcome<&WriteAheadLog> {
        self.log.as_ref().ok_or_else(|| "not open".into())
    }
}

impl Log for Okay {
    fn append(&self, thread: usize, value: &[u8]) -> Outcome {
        self.append_batch(thread, &[value])
    }

    fn append_batch(&self, _thread: usize, values: &[&[u8]]) -> Outcome {
        let mut entry = self.log()?.begin_entry()?;
        for value in values {
            entry.write_chunk(value)?;
        }
        entry.commit()?;
        Ok(())
    }

    fn append_run(&mut self, values: &Values) -> Outcome {
        if self.class == Class::Disk {
            return self.append_share(0, values);
        }
        let mut entry = self.log()?.begin_entry()?;
        for value in values.each() {
            entry.write_chunk(value)?;
        }
        entry.commit()?;
        Ok(())
    }

    fn read_all(&mut self) -> Outcome<Found> {
        // What the first opening found, if it found anything.
        let found = *self.recovered.lock();
        if found.records > 0 {
            return Ok(found);
        }
        if let Some(log) = self.log.take() {
            log.shutdown()?;
        }
        let recovered = Arc::<Mutex<Found>>::default();
        self.log = Some(self.configuration.clone().open(Counter(Arc::clone(&recovered)))?);
        let found = *recovered.lock();
        Ok(found)
    }

    fn read_at(&mut self, _number: usize, _found: &mut Found) -> Outcome {
        Err("reads everything only".into())
    }
}
