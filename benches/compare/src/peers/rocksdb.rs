//! rocksdb: keys are numbers, big-endian.
//!
//! With `manual_wal_flush` a record stays in the buffer of the write-ahead log; a put without it guarantees a SIGKILL; one with
//! `sync` a power cut. Its codecs compress tables, not the write-ahead log.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::{DB, DBCompressionType, IteratorMode, Options, WriteBatch, WriteOptions};

use crate::harness::Outcome;
use crate::payload::Found;
use crate::peer::{Class, Codec, Log, Offer, PLAIN, Peer, Setup};

pub(crate) const PEER: Peer = Peer {
    name: "rocksdb",
    package: Some("rocksdb"),
    offers: &[
        Offer::new(Class::Memory, "put, write; manual_wal_flush"),
        Offer::new(Class::Os, "put, write"),
        Offer::new(Class::Disk, "put, write; sync"),
    ],
    codecs: &Codec::ALL,
    note: "a key-value store; what is still in its write-ahead log is not compressed",
    open,
    ..PLAIN
};

struct Rocks {
    db: DB,
    options: WriteOptions,
    next: AtomicU64,
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Log>> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_manual_wal_flush(setup.class == Class::Memory);
    options.set_compression_type(match setup.codec {
        Codec::None => DBCompressionType::None,
        Codec::Lz4 => DBCompressionType::Lz4,
        Codec::Zstd => DBCompressionType::Zstd,
    });
    let db = DB::open(&options, dir)?;
    let next = match db.iterator(IteratorMode::End).next() {
        Some(last) => u64::from_be_bytes(last?.0.as_ref().try_into()?) + 1,
        None => 0,
    };
    let mut options = WriteOptions::default();
    options.set_sync(setup.class == Class::Disk);
    Ok(Box::new(Rocks { db, options, next: AtomicU64::new(next) }))
}

impl Log for Rocks {
    #[inline]
    fn append(&self, _thread: usize, value: &[u8]) -> Outcome {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(self.db.put_opt(number.to_be_bytes(), value, &self.options)?)
    }

    fn append_batch(&self, _thread: usize, values: &[&[u8]]) -> Outcome {
        let first = self.next.fetch_add(values.len() as u64, Ordering::Relaxed);
        let mut batch = WriteBatch::default();
        for (number, value) in (first..).zip(values) {
            batch.put(number.to_be_bytes(), value);
        }
        Ok(self.db.write_opt(batch, &self.options)?)
    }

    fn finish(&mut self) -> Outcome {
        Ok(self.db.flush_wal(false)?)
    }

    fn read_all(&mut self) -> Outcome<Found> {
        let mut found = Found::default();
        let mut records = self.db.raw_iterator();
        records.seek_to_first();
        while let Some(value) = records.value() {
            found.add(value);
            records.next();
        }
        records.status()?;
        Ok(found)
    }

    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome {
        found.add(&self.db.get_pinned((number as u64).to_be_bytes())?.ok_or("a key is missing")?);
        Ok(())
    }
}
