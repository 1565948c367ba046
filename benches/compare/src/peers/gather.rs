//! The bare group commit: frames go into one buffer; one thread at a time writes and syncs them for all who wait, and waits
//! before it does, shortly, for the threads that it served in the last round.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::framed;
use crate::harness::Outcome;
use crate::payload::Found;
use crate::peer::{Class, Kind, Log, Offer, PLAIN, Peer, Setup, Work};
use crate::scratch::{file, map, zero};

pub(crate) const PEER: Peer = Peer {
    name: "~leader that gathers, overwrite + fdatasync",
    kind: Kind::Bare,
    offers: &[Offer::new(Class::Disk, "pwrite over written blocks, fdatasync, shared")],
    works: &[Work::W4b],
    open: |dir, setup| Ok(Box::new(Group::open(dir, setup)?)),
    ..PLAIN
};

/// How long a leader waits at most.
const GATHER: Duration = Duration::from_micros(100);

struct Group {
    file: File,
    rounds: Mutex<Rounds>,
    done: Condvar,
    arrived: Condvar,
}

#[derive(Default)]
struct Rounds {
    buffer: Vec<u8>,
    spare: Vec<u8>,
    position: u64,
    /// Records taken into a buffer, and those of them that are synced.
    taken: usize,
    synced: usize,
    is_led: bool,
    waiting: usize,
    last_served: usize,
}

impl Group {
    fn open(dir: &Path, setup: &Setup) -> Outcome<Self> {
        let file = file(dir)?;
        zero(&file, setup.room())?;
        Ok(Self { file, rounds: Mutex::default(), done: Condvar::new(), arrived: Condvar::new() })
    }
}

impl Log for Group {
    fn append(&self, _thread: usize, value: &[u8]) -> Outcome {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        framed::push(&mut rounds.buffer, value);
        rounds.taken += 1;
        let own = rounds.taken;
        while rounds.is_led {
            rounds.waiting += 1;
            self.arrived.notify_one();
            rounds = self.done.wait(rounds).unwrap_or_else(PoisonError::into_inner);
            rounds.waiting -= 1;
            if rounds.synced >= own {
                return Ok(());
            }
        }
        rounds.is_led = true;
        let deadline = Instant::now() + GATHER;
        while rounds.waiting < rounds.last_served {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            rounds = self.arrived.wait_timeout(rounds, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let spare = std::mem::take(&mut rounds.spare);
        let mut frames = std::mem::replace(&mut rounds.buffer, spare);
        let (position, taken) = (rounds.position, rounds.taken);
        rounds.position += frames.len() as u64;
        drop(rounds);
        self.file.write_all_at(&frames, position)?;
        self.file.sync_data()?;
        frames.clear();
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        rounds.spare = frames;
        rounds.synced = taken;
        rounds.is_led = false;
        rounds.last_served = rounds.waiting;
        self.done.notify_all();
        Ok(())
    }

    fn append_batch(&self, thread: usize, values: &[&[u8]]) -> Outcome {
        values.iter().try_for_each(|value| self.append(thread, value))
    }

    fn read_all(&mut self) -> Outcome<Found> {
        framed::walk(&map(&self.file)?)
    }

    fn read_at(&mut self, _number: usize, _found: &mut Found) -> Outcome {
        Err("reads everything only".into())
    }
}
