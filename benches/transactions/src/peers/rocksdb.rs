//! RocksDB: a column family for each partition, and a `WriteBatch`, which is atomic over them.
//!
//! With `manual_wal_flush` a batch may be lost with the process; without it, it survives a SIGKILL; one with `sync` a power cut.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use rocksdb::{DB, IteratorMode, Options, WriteBatch, WriteOptions};

use crate::harness::Outcome;
use crate::payload::Found;
use crate::peers::{Class, Numbers, PARTITIONS, Peer, Transacts, Writer};

pub(crate) const PEER: Peer = Peer { name: "rocksdb", classes: &Class::ALL, open };

struct Rocks {
    db: DB,
    families: Vec<String>,
    is_durable: bool,
    begun: AtomicU64,
}

fn open(dir: &Path, class: Class) -> Outcome<Box<dyn Transacts>> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_manual_wal_flush(class == Class::Memory);
    let families: Vec<_> = (0..PARTITIONS).map(|number| number.to_string()).collect();
    let db = DB::open_cf(&options, dir, &families)?;
    Ok(Box::new(Rocks { db, families, is_durable: class == Class::Disk, begun: AtomicU64::new(0) }))
}

impl Transacts for Rocks {
    fn writer(&self, thread: usize) -> Outcome<Box<dyn Writer + '_>> {
        let mut options = WriteOptions::default();
        options.set_sync(self.is_durable);
        Ok(Box::new(OfThread { rocks: self, options, numbers: Numbers::of(thread, &self.begun) }))
    }

    fn read(&self, found: &mut Found) -> Outcome {
        for family in &self.families {
            let family = self.db.cf_handle(family).ok_or("a column family is missing")?;
            for entry in self.db.iterator_cf(family, IteratorMode::Start) {
                found.add(&entry?.1);
            }
        }
        Ok(())
    }
}

struct OfThread<'a> {
    rocks: &'a Rocks,
    options: WriteOptions,
    numbers: Numbers,
}

impl Writer for OfThread<'_> {
    fn commit(&mut self, partitions: usize, records: usize, value: &[u8]) -> Outcome {
        let Rocks { db, families, .. } = self.rocks;
        let mut batch = WriteBatch::default();
        for (partition, family) in families.iter().take(partitions).enumerate() {
            let family = db.cf_handle(family).ok_or("a column family is missing")?;
            for _ in (partition..records).step_by(partitions) {
                batch.put_cf(family, self.numbers.next().to_be_bytes(), value);
            }
        }
        Ok(db.write_opt(batch, &self.options)?)
    }
}
