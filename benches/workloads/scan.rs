//! W5: reading everything, each byte touched, each CRC checked.

use std::os::unix::fs::FileExt;
use std::rc::Rc;

use annals::Codec;

use crate::annals_store::AnnalsStore;
use crate::harness::{Outcome, Row, Sample, Scope, Workload, timed};
use crate::payload::{Found, Payloads};
use crate::scratch::map;
use crate::{framed, kafka};

const BATCH_SIZE: usize = 64 << 10;

pub(crate) fn hundred_bytes(scope: &Scope) -> Outcome<Workload> {
    workload(scope, "read all, 100 B, touch each byte, CRC checked", 100, 1_000_000)
}

pub(crate) fn one_kib(scope: &Scope) -> Outcome<Workload> {
    workload(scope, "read all, 1 KiB, touch each byte, CRC checked", 1024, 150_000)
}

fn workload(scope: &Scope, title: &'static str, len: usize, records: usize) -> Outcome<Workload> {
    let records = scope.records(records);
    let payloads = Payloads::new(len);
    let framed_map = {
        let file = scope.scratch.file()?;
        let mut frames = Vec::new();
        (0..records).for_each(|number| framed::push(&mut frames, payloads.get(number)));
        file.write_all_at(&frames, 0)?;
        map(&file)?
    };
    let kafka_map = {
        let file = scope.scratch.file()?;
        let mut batches = kafka::Batches::new(&file, BATCH_SIZE);
        (0..records).try_for_each(|number| batches.push(payloads.get(number)))?;
        batches.finish()?;
        map(&file)?
    };
    let plain = Rc::new(AnnalsStore::filled(scope, &payloads, records, BATCH_SIZE)?);
    let polled = Rc::clone(&plain);
    let lz4 = AnnalsStore::compressed(scope, &payloads, records, Codec::Lz4)?;
    let zstd = AnnalsStore::compressed(scope, &payloads, records, Codec::Zstd)?;
    let rows = vec![
        row(Row::new, "~walk with CRC", move || framed::walk(&framed_map)),
        row(Row::limit, "~Kafka walk with CRC, 64 KiB batches", move || kafka::walk(&kafka_map)),
        row(Row::new, "annals, fetch", move || plain.read_all()),
        row(Row::new, "annals, poll", move || polled.poll_all()),
        row(Row::new, "annals, lz4", move || lz4.read_all()),
        row(Row::new, "annals, zstd", move || zstd.read_all()),
    ];
    Ok(Workload { title, expected: payloads.expected(records), rows })
}

/// What a row runs.
type Walk = Box<dyn FnMut() -> Outcome<Sample>>;

fn row(
    make: fn(&'static str, Walk) -> Row,
    name: &'static str,
    mut walk: impl FnMut() -> Outcome<Found> + 'static,
) -> Row {
    let run = move || {
        let (found, elapsed) = timed(&mut walk)?;
        Ok(Sample { elapsed, found })
    };
    make(name, Box::new(run))
}
