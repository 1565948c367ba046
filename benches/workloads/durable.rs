//! W4: every record on the disk before the call returns.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use annals::{Durability, Record};

use crate::annals_store::{AnnalsStore, FIRST};
use crate::framed;
use crate::harness::{Outcome, Row, Sample, Scope, Workload, timed};
use crate::payload::Payloads;
use crate::scratch::{Scratch, map};

const LEN: usize = 100;
const THREADS: usize = 8;
/// How long the bare leader waits for the threads of the last round.
const GATHER: Duration = Duration::from_micros(100);

pub(crate) fn one_thread(scope: &Scope) -> Outcome<Workload> {
    let records = scope.records(400);
    let payloads = Payloads::new(LEN);
    let row = |file: fn(&Scratch, usize) -> Outcome<File>| {
        let (scratch, payloads) = (scope.scratch.clone(), payloads.clone());
        move || sync_each(&file(&scratch, records * (LEN + framed::HEADER))?, &payloads, records)
    };
    let rows = vec![
        Row::limit("~overwrite + fdatasync", row(Scratch::zeros)),
        Row::new("~grow + fdatasync", row(|scratch, _| scratch.file())),
        Row::new("~allocated + fdatasync", row(Scratch::allocated)),
        Row::new("annals, Disk", {
            let (scratch, payloads) = (scope.scratch.clone(), payloads.clone());
            move || annals_rows(&scratch, &payloads, records, 1)
        }),
    ];
    let expected = payloads.expected(records);
    Ok(Workload { title: "durable append of 100 B, one sync a record", expected, rows })
}

pub(crate) fn eight_threads(scope: &Scope) -> Outcome<Workload> {
    let records = scope.records(2_400) / THREADS * THREADS;
    let payloads = Payloads::new(LEN);
    let (scratch, own) = (scope.scratch.clone(), payloads.clone());
    let (annals_scratch, annals_payloads) = (scope.scratch.clone(), payloads.clone());
    let rows = vec![
        Row::limit("~leader that gathers, overwrite + fdatasync", move || {
            let file = scratch.zeros(records * (LEN + framed::HEADER))?;
            group_commit(&file, &own, records)
        }),
        Row::new("annals, Disk", move || annals_rows(&annals_scratch, &annals_payloads, records, THREADS)),
    ];
    let expected = payloads.expected(records);
    Ok(Workload { title: "durable append of 100 B by 8 threads, all together", expected, rows })
}

fn sync_each(file: &File, payloads: &Payloads, records: usize) -> Outcome<Sample> {
    let mut frame = Vec::new();
    let ((), elapsed) = timed(|| {
        let mut position = 0;
        for number in 0..records {
            frame.clear();
            framed::push(&mut frame, payloads.get(number));
            file.write_all_at(&frame, position)?;
            file.sync_data()?;
            position += frame.len() as u64;
        }
        Ok(())
    })?;
    Ok(Sample { elapsed, found: framed::walk(&map(file)?)? })
}

fn annals_rows(scratch: &Scratch, payloads: &Payloads, records: usize, threads: usize) -> Outcome<Sample> {
    let store = AnnalsStore::new(scratch, Durability::Disk)?;
    let values: Vec<&[u8]> = (0..records).map(|number| payloads.get(number)).collect();
    let ((), elapsed) = timed(|| {
        in_threads(&values, threads, |value| {
            store.producer.send(Record::new().value(value))?;
            Ok(())
        })
    })?;
    if store.partition.durable() != FIRST + i64::try_from(records)? {
        return Err("not everything is durable".into());
    }
    let found = store.read_all()?;
    store.close()?;
    Ok(Sample { elapsed, found })
}

/// Runs `append` for every value, on so many threads, each with its share.
fn in_threads(values: &[&[u8]], threads: usize, append: impl Fn(&[u8]) -> Outcome + Sync) -> Outcome {
    if threads == 1 {
        return values.iter().try_for_each(|value| append(value));
    }
    std::thread::scope(|scope| {
        let shares = values.chunks(values.len().div_ceil(threads));
        let append = &append;
        let running: Vec<_> = shares
            .map(|share| scope.spawn(move || share.iter().try_for_each(|value| append(value))))
            .collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })
}

/// The bare group commit: frames go into one buffer, one thread at a time writes and syncs them for all who wait.
struct Group<'a> {
    file: &'a File,
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

fn group_commit(file: &File, payloads: &Payloads, records: usize) -> Outcome<Sample> {
    let group = Group { file, rounds: Mutex::default(), done: Condvar::new(), arrived: Condvar::new() };
    let values: Vec<&[u8]> = (0..records).map(|number| payloads.get(number)).collect();
    let ((), elapsed) = timed(|| in_threads(&values, THREADS, |value| group.append(value)))?;
    Ok(Sample { elapsed, found: framed::walk(&map(file)?)? })
}

impl Group<'_> {
    fn append(&self, value: &[u8]) -> Outcome {
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
}
