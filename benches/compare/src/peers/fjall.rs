//! fjall: a keyspace whose keys are numbers, big-endian.
//!
//! With `manual_journal_persist` a record stays in the journal's buffer; without it an insert guarantees a SIGKILL;
//! `persist(SyncData)` behind it a power cut. Its codecs compress tables, and large values in the journal.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::harness::Outcome;
use crate::payload::Found;
use crate::peer::{Class, Codec, Log, Offer, PLAIN, Peer, Setup};

pub(crate) const PEER: Peer = Peer {
    name: "fjall",
    package: Some("fjall"),
    offers: &[
        Offer::new(Class::Memory, "insert, batch; manual_journal_persist"),
        Offer::new(Class::Os, "insert, batch"),
        Offer::new(Class::Disk, "insert, batch and persist(SyncData)"),
    ],
    codecs: &[Codec::None, Codec::Lz4],
    note: "a key-value store",
    open,
    ..PLAIN
};

struct Fjall {
    keyspace: Keyspace,
    db: Database,
    next: AtomicU64,
    class: Class,
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Log>> {
    let compression = if setup.codec == Codec::Lz4 { CompressionType::Lz4 } else { CompressionType::None };
    let manual = setup.class == Class::Memory;
    let db = Database::builder(dir).manual_journal_persist(manual).journal_compression(compression).open()?;
    let keyspace = db.keyspace("events", || {
        KeyspaceCreateOptions::default()
            .manual_journal_persist(manual)
            .data_block_compression_policy(CompressionPolicy::all(compression))
    })?;
    let next = match keyspace.last_key_value() {
        Some(last) => u64::from_be_bytes(last.key()?.as_ref().try_into()?) + 1,
        None => 0,
    };
    Ok(Box::new(Fjall { keyspace, db, next: AtomicU64::new(next), class: setup.class }))
}

impl Fjall {
    fn persisted(&self) -> Outcome {
        if self.class == Class::Disk {
            self.db.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }
}

impl Log for Fjall {
    #[inline]
    fn append(&self, _thread: usize, value: &[u8]) -> Outcome {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.keyspace.insert(number.to_be_bytes(), value)?;
        self.persisted()
    }

    fn append_batch(&self, _thread: usize, values: &[&[u8]]) -> Outcome {
        let first = self.next.fetch_add(values.len() as u64, Ordering::Relaxed);
        let mut batch = self.db.batch();
        for (number, value) in (first..).zip(values) {
            batch.insert(&self.keyspace, number.to_be_bytes(), *value);
        }
        batch.commit()?;
        self.persisted()
    }

    fn finish(&mut self) -> Outcome {
        Ok(self.db.persist(PersistMode::Buffer)?)
    }

    fn read_all(&mut self) -> Outcome<Found> {
        let mut found = Found::default();
        for record in self.keyspace.iter() {
            found.add(&record.value()?);
        }
        Ok(found)
    }

    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome {
        found.add(&self.keyspace.get((number as u64).to_be_bytes())?.ok_or("a key is missing")?);
        Ok(())
    }
}
