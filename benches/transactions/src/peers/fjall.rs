//! fjall: a keyspace for each partition, and a batch, which is atomic over them.
//!
//! A batch survives a SIGKILL; with `PersistMode::SyncData` a power cut.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::harness::Outcome;
use crate::payload::Found;
use crate::peers::{Class, Numbers, PARTITIONS, Peer, Transacts, Writer};

pub(crate) const PEER: Peer = Peer { name: "fjall", classes: &[Class::Os, Class::Disk], open };

struct Fjall {
    db: Database,
    keyspaces: Vec<Keyspace>,
    class: Class,
    begun: AtomicU64,
}

fn open(dir: &Path, class: Class) -> Outcome<Box<dyn Transacts>> {
    let db = Database::builder(dir).open()?;
    let keyspace = |number: usize| db.keyspace(&number.to_string(), KeyspaceCreateOptions::default);
    let keyspaces = (0..PARTITIONS).map(keyspace).collect::<Result<_, _>>()?;
    Ok(Box::new(Fjall { db, keyspaces, class, begun: AtomicU64::new(0) }))
}

impl Transacts for Fjall {
    fn writer(&self, thread: usize) -> Outcome<Box<dyn Writer + '_>> {
        Ok(Box::new(OfThread { fjall: self, numbers: Numbers::of(thread, &self.begun) }))
    }

    fn read(&self, found: &mut Found) -> Outcome {
        for keyspace in &self.keyspaces {
            for entry in keyspace.iter() {
                found.add(&entry.into_inner()?.1);
            }
        }
        Ok(())
    }
}

struct OfThread<'a> {
    fjall: &'a Fjall,
    numbers: Numbers,
}

impl Writer for OfThread<'_> {
    fn commit(&mut self, partitions: usize, records: usize, value: &[u8]) -> Outcome {
        let mut batch = self.fjall.db.batch();
        for number in 0..records {
            batch.insert(
                &self.fjall.keyspaces[number % partitions],
                self.numbers.next().to_be_bytes(),
                value,
            );
        }
        batch.commit()?;
        if self.fjall.class == Class::Disk {
            self.fjall.db.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }
}
