//! raft-engine: entries of a Raft group, a group for each thread. `write(batch, sync)` has a leader write for the queue.
//!
//! With `sync` false it guarantees a SIGKILL, with true a power cut. `Engine::sync` alone returns before it syncs, since it
//! writes an empty batch. Reading needs the index of all entries in memory; it has that from opening on.

use std::path::Path;

use parking_lot::Mutex;
use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use crate::harness::Outcome;
use crate::payload::Found;
use crate::peer::{Class, Codec, Log, Offer, PLAIN, Peer, Setup};

pub(crate) const PEER: Peer = Peer {
    name: "raft-engine",
    package: Some("raft-engine"),
    offers: &[
        Offer::new(Class::Os, "write(batch, sync = false), a group for each thread"),
        Offer::new(Class::Disk, "write(batch, sync = true), a group for each thread"),
    ],
    codecs: &[Codec::None, Codec::Lz4],
    claim: Some("write(batch, sync = false) and Engine::sync"),
    note: "an index of all entries in memory",
    open,
    ..PLAIN
};

const GROUPS: usize = 8;
/// Entries fetched at once.
const FETCH: u64 = 1024;

/// An entry as Raft has it, an index and bytes: a message of the protobuf crate that has these two fields, so that no
/// generated code is needed here.
#[derive(Clone)]
struct Entry;

impl MessageExt for Entry {
    type Entry = UninterpretedOption;

    fn index(entry: &Self::Entry) -> u64 {
        entry.get_positive_int_value()
    }
}

struct Raft {
    engine: Engine,
    /// The last index of each group; the first is 1.
    last: [Mutex<u64>; GROUPS],
    sync: bool,
    sync_apart: bool,
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Log>> {
    let threshold = if setup.codec == Codec::Lz4 { 1 } else { 0 };
    let engine = Engine::open(Config {
        dir: dir.to_str().ok_or("a path that is no text")?.to_owned(),
        batch_compression_threshold: ReadableSize(threshold),
        ..Config::default()
    })?;
    let last = std::array::from_fn(|group| Mutex::new(engine.last_index(group as u64 + 1).unwrap_or(0)));
    Ok(Box::new(Raft { engine, last, sync: setup.class == Class::Disk, sync_apart: setup.as_claimed }))
}

impl Log for Raft {
    fn append(&self, thread: usize, value: &[u8]) -> Outcome {
        self.append_batch(thread, &[value])
    }

    fn append_batch(&self, thread: usize, values: &[&[u8]]) -> Outcome {
        let group = thread % GROUPS;
        // One thread has it, so the lock is never waited for.
        let mut last = self.last[group].lock();
        let entries: Vec<_> = values
            .iter()
            .map(|value| {
                *last += 1;
                let mut entry = UninterpretedOption::new();
                entry.set_positive_int_value(*last);
                entry.set_string_value(value.to_vec());
                entry
            })
            .collect();
        let mut batch = LogBatch::with_capacity(1);
        batch.add_entries::<Entry>(group as u64 + 1, &entries)?;
        self.engine.write(&mut batch, self.sync)?;
        if self.sync_apart {
            self.engine.sync()?;
        }
        Ok(())
    }

    fn read_all(&mut self) -> Outcome<Found> {
        let (mut found, mut entries) = (Found::default(), Vec::new());
        for (group, last) in self.last.iter().enumerate() {
            let (mut next, last) = (1, *last.lock());
            while next <= last {
                let behind = (next + FETCH).min(last + 1);
                entries.clear();
                self.engine.fetch_entries_to::<Entry>(group as u64 + 1, next, behind, None, &mut entries)?;
                entries.iter().for_each(|entry| found.add(entry.get_string_value()));
                next = behind;
            }
        }
        Ok(found)
    }

    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome {
        let entry = self.engine.get_entry::<Entry>(1, number as u64 + 1)?.ok_or("an entry is missing")?;
        found.add(entry.get_string_value());
        Ok(())
    }
}
