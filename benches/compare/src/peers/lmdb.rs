//! LMDB through heed: keys are numbers, big-endian, appended.
//!
//! A commit with `NO_SYNC` guarantees a SIGKILL, one without it a power cut: it syncs the data and writes the meta page through
//! a descriptor opened with O_DSYNC. In the class `memory` one transaction holds all records. Values are read from the map, and
//! carry no checksum.

use std::path::Path;

use heed::byteorder::BE;
use heed::types::{Bytes, U64};
use heed::{Database, Env, EnvFlags, EnvOpenOptions, PutFlags};

use crate::harness::Outcome;
use crate::payload::{Found, Values};
use crate::peer::{Class, Log, Offer, PLAIN, Peer, Setup};
use crate::peers::locked::{Locked, Single};

pub(crate) const PEER: Peer = Peer {
    name: "lmdb",
    package: Some("heed"),
    offers: &[
        Offer::alone(Class::Memory, "put; one transaction, NO_SYNC, committed at the end"),
        Offer::new(Class::Os, "a transaction; NO_SYNC; a mutex around it"),
        Offer::new(Class::Disk, "a transaction; a mutex around it"),
    ],
    note: "a key-value store; no checksums, opening checks nothing",
    open,
    ..PLAIN
};

struct Lmdb {
    db: Database<U64<BE>, Bytes>,
    env: Env,
    next: u64,
    class: Class,
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Log>> {
    let mut options = EnvOpenOptions::new();
    options.map_size((setup.room() * 4).next_multiple_of(1 << 20).max(64 << 20));
    // SAFETY: NO_SYNC gives up a promise about power cuts; nobody else has the files.
    let env = unsafe {
        if setup.class != Class::Disk {
            options.flags(EnvFlags::NO_SYNC);
        }
        options.open(dir)?
    };
    let mut transaction = env.write_txn()?;
    let db: Database<U64<BE>, Bytes> = env.create_database(&mut transaction, None)?;
    let next = db.last(&transaction)?.map_or(0, |(key, _)| key + 1);
    transaction.commit()?;
    Ok(Box::new(Locked::new(Lmdb { db, env, next, class: setup.class })))
}

impl Lmdb {
    fn put<'a>(&mut self, values: impl Iterator<Item = &'a [u8]>) -> Outcome {
        let mut transaction = self.env.write_txn()?;
        for value in values {
            self.db.put_with_flags(&mut transaction, PutFlags::APPEND, &self.next, value)?;
            self.next += 1;
        }
        Ok(transaction.commit()?)
    }
}

impl Single for Lmdb {
    fn append(&mut self, value: &[u8]) -> Outcome {
        self.put(std::iter::once(value))
    }

    fn append_batch(&mut self, values: &[&[u8]]) -> Outcome {
        self.put(values.iter().copied())
    }

    fn append_run(&mut self, values: &Values) -> Outcome {
        match self.class {
            Class::Memory => self.put(values.each()),
            _ if values.batch == 1 => values.each().try_for_each(|value| self.append(value)),
            _ => values.in_batches(|batch| self.append_batch(batch)),
        }
    }

    fn read_all(&mut self) -> Outcome<Found> {
        let mut found = Found::default();
        let transaction = self.env.read_txn()?;
        for record in self.db.iter(&transaction)? {
            found.add(record?.1);
        }
        Ok(found)
    }

    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome {
        *found = self.read_run(&[number])?;
        Ok(())
    }

    fn read_run(&mut self, numbers: &[usize]) -> Outcome<Found> {
        let mut found = Found::default();
        let transaction = self.env.read_txn()?;
        for number in numbers {
            found.add(self.db.get(&transaction, &(*number as u64))?.ok_or("a key is missing")?);
        }
        Ok(found)
    }
}
