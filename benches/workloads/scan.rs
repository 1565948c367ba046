//! W5: reading everything, each byte touched, each CRC checked.

use std::os::unix::fs::FileExt;

use crate::annals_store::AnnalsStore;
use crate::harness::{Outcome, Row, Sample, Scope, Workload, timed};
use crate::payload::Payloads;
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
    let store = AnnalsStore::filled(scope, &payloads, records, BATCH_SIZE)?;
    let rows = vec![
        Row::new("~walk with CRC", move || {
            let (found, elapsed) = timed(|| framed::walk(&framed_map))?;
            Ok(Sample { elapsed, found })
        }),
        Row::limit("~Kafka walk with CRC, 64 KiB batches", move || {
            let (found, elapsed) = timed(|| kafka::walk(&kafka_map))?;
            Ok(Sample { elapsed, found })
        }),
        Row::new("annals, fetch", move || {
            let (found, elapsed) = timed(|| store.read_all())?;
            Ok(Sample { elapsed, found })
        }),
    ];
    Ok(Workload { title, expected: payloads.expected(records), rows })
}
