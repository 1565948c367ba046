//! walrus-rust: entries of a topic with 64 bytes in front of each, in blocks of 10 MiB.
//!
//! With `NoFsync` a single entry guarantees a SIGKILL: a `pwrite` for each, or a store into a mapped page. A batch goes through
//! io_uring and is synced whatever the schedule says, so it stands beside no batch that is not. With `SyncEach` files are opened with O_SYNC and each entry is followed by an fsync. Reading consumes: the position
//! moves, and is written down.

use std::path::{Path, PathBuf};

use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use crate::harness::Outcome;
use crate::payload::Found;
use crate::peer::{Class, Log, Offer, PLAIN, Peer, Setup, Work};

const WORKS: &[Work] = &[Work::W1, Work::W4a, Work::W4b, Work::W5, Work::W5k, Work::W7, Work::W8];

pub(crate) const PEER: Peer = Peer {
    name: "walrus-rust",
    package: Some("walrus-rust"),
    offers: &[
        Offer::new(Class::Os, "append_for_topic, batch_append_for_topic; NoFsync"),
        Offer::new(Class::Disk, "append_for_topic; SyncEach"),
    ],
    works: WORKS,
    note: "no read by offset; syncs each batch, whatever the schedule: not in W2, W3",
    open: |dir, setup| open(dir, setup, false),
    ..PLAIN
};

pub(crate) const MAPPED: Peer = Peer {
    name: "walrus-rust, mapped",
    offers: &[Offer::new(Class::Os, "append_for_topic, batch_append_for_topic; NoFsync, disable_fd_backend")],
    works: &[Work::W1, Work::W5],
    open: |dir, setup| open(dir, setup, true),
    ..PEER
};

const TOPIC: &str = "events";

struct Wal {
    /// None while it is opened again.
    wal: Option<Walrus>,
    dir: PathBuf,
    setup: Setup,
    mapped: bool,
}

fn open(dir: &Path, setup: &Setup, mapped: bool) -> Outcome<Box<dyn Log>> {
    let wal = Some(open_wal(dir, setup, mapped)?);
    Ok(Box::new(Wal { wal, dir: dir.to_owned(), setup: *setup, mapped }))
}

/// All of them lie below one directory, which a variable names. Before any thread is started.
pub(crate) fn prepare(parent: &Path) {
    // SAFETY: the caller is the only thread.
    unsafe {
        std::env::set_var("WALRUS_DATA_DIR", parent);
        std::env::set_var("WALRUS_QUIET", "1");
    }
}

/// A crate-wide setting says how; nothing else opens one meanwhile.
fn open_wal(dir: &Path, setup: &Setup, mapped: bool) -> Outcome<Walrus> {
    if mapped {
        walrus_rust::disable_fd_backend();
    } else {
        walrus_rust::enable_fd_backend();
    }
    let schedule = if setup.class == Class::Disk { FsyncSchedule::SyncEach } else { FsyncSchedule::NoFsync };
    let key = dir.file_name().and_then(|name| name.to_str()).ok_or("a path that is no text")?;
    let consistency = ReadConsistency::AtLeastOnce { persist_every: u32::MAX };
    Ok(Walrus::with_consistency_and_schedule_for_key(key, consistency, schedule)?)
}

impl Wal {
    fn wal(&self) -> Outcome<&Walrus> {
        self.wal.as_ref().ok_or_else(|| "not open".into())
    }
}

impl Log for Wal {
    #[inline]
    fn append(&self, _thread: usize, value: &[u8]) -> Outcome {
        Ok(self.wal()?.append_for_topic(TOPIC, value)?)
    }

    fn append_batch(&self, _thread: usize, values: &[&[u8]]) -> Outcome {
        loop {
            match self.wal()?.batch_append_for_topic(TOPIC, values) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
                other => return Ok(other?),
            }
        }
    }

    fn prepare_read(&mut self) -> Outcome {
        self.wal = None;
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with("_index.db") {
                std::fs::remove_file(path)?;
            }
        }
        self.wal = Some(open_wal(&self.dir, &self.setup, self.mapped)?);
        Ok(())
    }

    fn read_all(&mut self) -> Outcome<Found> {
        let mut found = Found::default();
        loop {
            let entries = self.wal()?.batch_read_for_topic(TOPIC, 1 << 20, true)?;
            if entries.is_empty() {
                return Ok(found);
            }
            entries.iter().for_each(|entry| found.add(&entry.data));
        }
    }

    fn read_at(&mut self, _number: usize, _found: &mut Found) -> Outcome {
        Err("reads in order only".into())
    }
}
