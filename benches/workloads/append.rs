//! W1 to W3: appending without a sync.

use std::os::unix::fs::FileExt;

use annals::{Durability, Record};

use crate::annals_store::AnnalsStore;
use crate::harness::{Outcome, Row, Sample, Scope, Workload, timed};
use crate::payload::Payloads;
use crate::scratch::{Scratch, map, map_mut};
use crate::{framed, kafka};

const BUFFER: usize = 64 << 10;
const BATCH: usize = 100;

/// What to append, and where.
#[derive(Clone)]
struct Job {
    payloads: Payloads,
    records: usize,
    scratch: Scratch,
}

impl Job {
    fn new(scope: &Scope, len: usize, records: usize) -> Self {
        let records = scope.records(records) / BATCH * BATCH;
        Self { payloads: Payloads::new(len), records, scratch: scope.scratch.clone() }
    }

    fn values(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.records).map(|number| self.payloads.get(number))
    }

    fn workload(&self, title: &'static str, rows: Vec<Row>) -> Workload {
        Workload { title, expected: self.payloads.expected(self.records), rows }
    }

    /// A closure for a row.
    fn run(&self, how: fn(&Self) -> Outcome<Sample>) -> impl FnMut() -> Outcome<Sample> + 'static {
        let job = self.clone();
        move || how(&job)
    }
}

pub(crate) fn one_by_one_in_memory(scope: &Scope) -> Outcome<Workload> {
    let job = Job::new(scope, 100, 300_000);
    let rows = vec![
        Row::new("~buffered, 64 KiB a write", job.run(buffered)),
        Row::limit("~Kafka batches of 64 KiB", job.run(kafka_batches)),
        Row::new("annals, Memory", job.run(|job| one_by_one(job, Durability::Memory))),
    ];
    Ok(job.workload("append 100 B, one call a record, may sit in our memory", rows))
}

pub(crate) fn one_by_one_to_the_os(scope: &Scope) -> Outcome<Workload> {
    let job = Job::new(scope, 100, 150_000);
    let rows = vec![
        Row::limit("~mmap store, allocated", job.run(mapped)),
        Row::new("~pwrite a record", job.run(pwrite_each)),
        Row::new("annals, Os", job.run(|job| one_by_one(job, Durability::Os))),
    ];
    Ok(job.workload("append 100 B, one call a record, survives SIGKILL", rows))
}

pub(crate) fn batches_of_100_bytes(scope: &Scope) -> Outcome<Workload> {
    let job = Job::new(scope, 100, 300_000);
    Ok(job.workload("append 100 B in batches of 100", batch_rows(&job)))
}

pub(crate) fn batches_of_1_kib(scope: &Scope) -> Outcome<Workload> {
    let job = Job::new(scope, 1024, 40_000);
    Ok(job.workload("append 1 KiB in batches of 100", batch_rows(&job)))
}

fn batch_rows(job: &Job) -> Vec<Row> {
    vec![
        Row::new("~buffered, 64 KiB a write", job.run(buffered)),
        Row::limit("~Kafka batches of 64 KiB", job.run(kafka_batches)),
        Row::new("~Kafka batches of 100 records", job.run(kafka_batches_of_100)),
        Row::new("annals, Memory", job.run(|job| in_batches(job, Durability::Memory))),
        Row::new("annals, Os", job.run(|job| in_batches(job, Durability::Os))),
    ]
}

fn buffered(job: &Job) -> Outcome<Sample> {
    let file = job.scratch.file()?;
    let mut buffer = Vec::with_capacity(BUFFER + 4096);
    let ((), elapsed) = timed(|| {
        let mut position = 0;
        for value in job.values() {
            framed::push(&mut buffer, value);
            if buffer.len() >= BUFFER {
                file.write_all_at(&buffer, position)?;
                position += buffer.len() as u64;
                buffer.clear();
            }
        }
        Ok(file.write_all_at(&buffer, position)?)
    })?;
    Ok(Sample { elapsed, found: framed::walk(&map(&file)?)? })
}

fn kafka_batches(job: &Job) -> Outcome<Sample> {
    let file = job.scratch.file()?;
    let mut batches = kafka::Batches::new(&file, BUFFER);
    let (_, elapsed) = timed(|| {
        job.values().try_for_each(|value| batches.push(value))?;
        batches.finish()
    })?;
    Ok(Sample { elapsed, found: kafka::walk(&map(&file)?)? })
}

fn kafka_batches_of_100(job: &Job) -> Outcome<Sample> {
    let file = job.scratch.file()?;
    let mut batches = kafka::Batches::new(&file, 1 << 20);
    let ((), elapsed) = timed(|| {
        for first in (0..job.records).step_by(BATCH) {
            (first..first + BATCH).try_for_each(|number| batches.push(job.payloads.get(number)))?;
            batches.finish()?;
        }
        Ok(())
    })?;
    Ok(Sample { elapsed, found: kafka::walk(&map(&file)?)? })
}

fn mapped(job: &Job) -> Outcome<Sample> {
    let len = job.records * (framed::HEADER + job.payloads.len());
    let file = job.scratch.allocated(len)?;
    let mut map = map_mut(&file)?;
    let (_, elapsed) = timed(|| {
        let mut position = 0;
        for value in job.values() {
            position += framed::store(&mut map[position..], value);
        }
        Ok(position)
    })?;
    Ok(Sample { elapsed, found: framed::walk(&map)? })
}

fn pwrite_each(job: &Job) -> Outcome<Sample> {
    let file = job.scratch.file()?;
    let mut frame = Vec::new();
    let ((), elapsed) = timed(|| {
        let mut position = 0;
        for value in job.values() {
            frame.clear();
            framed::push(&mut frame, value);
            file.write_all_at(&frame, position)?;
            position += frame.len() as u64;
        }
        Ok(())
    })?;
    Ok(Sample { elapsed, found: framed::walk(&map(&file)?)? })
}

fn one_by_one(job: &Job, durability: Durability) -> Outcome<Sample> {
    let store = AnnalsStore::new(&job.scratch, durability)?;
    let ((), elapsed) = timed(|| {
        for value in job.values() {
            store.producer.send(Record::new().value(value))?;
        }
        store.write_out()
    })?;
    let found = store.read_all()?;
    store.close()?;
    Ok(Sample { elapsed, found })
}

fn in_batches(job: &Job, durability: Durability) -> Outcome<Sample> {
    let store = AnnalsStore::new(&job.scratch, durability)?;
    let mut batch = Vec::with_capacity(BATCH);
    let ((), elapsed) = timed(|| {
        for first in (0..job.records).step_by(BATCH) {
            batch.clear();
            batch.extend((first..first + BATCH).map(|number| Record::new().value(job.payloads.get(number))));
            store.producer.send_batch(&batch)?;
        }
        store.write_out()
    })?;
    let found = store.read_all()?;
    store.close()?;
    Ok(Sample { elapsed, found })
}
