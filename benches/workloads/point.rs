//! W6: one record by its offset, anywhere in the log.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use memmap2::Mmap;

use crate::annals_store::{AnnalsStore, FIRST};
use crate::harness::{Outcome, Row, Sample, Scope, Workload, timed};
use crate::payload::{Found, Payloads};
use crate::scratch::map;
use crate::{framed, kafka};

const LEN: usize = 100;
const FRAME: usize = LEN + framed::HEADER;
const SMALL_BATCH: usize = 4 << 10;
const LARGE_BATCH: usize = 64 << 10;

pub(crate) fn random_offsets(scope: &Scope) -> Outcome<Workload> {
    let records = scope.records(1_000_000);
    let payloads = Payloads::new(LEN);
    let offsets: Rc<[usize]> = random(records, scope.records(100_000)).into();
    let file = scope.scratch.file()?;
    let mut frames = Vec::new();
    (0..records).for_each(|number| framed::push(&mut frames, payloads.get(number)));
    file.write_all_at(&frames, 0)?;
    let framed_map = map(&file)?;
    let kafka_map = kafka_file(scope, &payloads, records)?;
    let index = sparse_index(&kafka_map);
    let small = AnnalsStore::filled(scope, &payloads, records, SMALL_BATCH)?;
    let large = AnnalsStore::filled(scope, &payloads, records, LARGE_BATCH)?;
    let expected = payloads.expected_at(offsets.iter().copied());
    let rows = vec![
        Row::new(
            "~mmap, position known",
            reads(&offsets, move |at, found| {
                found.add(&framed_map[at * FRAME + framed::HEADER..(at + 1) * FRAME]);
                Ok(())
            }),
        ),
        Row::new("~pread, position known", reads(&offsets, move |at, found| pread(&file, at, found))),
        Row::limit(
            "~Kafka sparse index, 4 KiB batches, CRC",
            reads(&offsets, move |at, found| kafka_read(&kafka_map, &index, at, found)),
        ),
        Row::new(
            "annals, batches of 4 KiB",
            reads(&offsets, move |at, found| annals_read(&small, at, found)),
        ),
        Row::new(
            "annals, batches of 64 KiB",
            reads(&offsets, move |at, found| annals_read(&large, at, found)),
        ),
    ];
    Ok(Workload { title: "random point read by offset, 100 B", expected, rows })
}

fn pread(file: &File, at: usize, found: &mut Found) -> Outcome {
    let mut frame = [0; FRAME];
    file.read_exact_at(&mut frame, (at * FRAME) as u64)?;
    found.add(&frame[framed::HEADER..]);
    Ok(())
}

fn kafka_file(scope: &Scope, payloads: &Payloads, records: usize) -> Outcome<Mmap> {
    let file = scope.scratch.file()?;
    let mut batches = kafka::Batches::new(&file, SMALL_BATCH);
    (0..records).try_for_each(|number| batches.push(payloads.get(number)))?;
    batches.finish()?;
    map(&file)
}

/// Base offset and position of a batch every 4 KiB or more, as Kafka's index has it.
fn sparse_index(bytes: &[u8]) -> Vec<(i64, usize)> {
    let (mut index, mut position, mut last) = (Vec::new(), 0, 0);
    while let Some(batch) = kafka::Batch::first(&bytes[position..]) {
        if index.is_empty() || position - last > SMALL_BATCH {
            index.push((batch.base_offset, position));
            last = position;
        }
        position += batch.len();
    }
    index
}

fn kafka_read(bytes: &[u8], index: &[(i64, usize)], at: usize, found: &mut Found) -> Outcome {
    let offset = i64::try_from(at)?;
    let behind = index.partition_point(|(base, _)| *base <= offset);
    let (_, mut position) = index[behind - 1];
    loop {
        let batch = kafka::Batch::first(&bytes[position..]).ok_or("an offset is missing")?;
        if offset >= batch.base_offset + i64::from(batch.count) {
            position += batch.len();
            continue;
        }
        batch.check()?;
        let nth = usize::try_from(offset - batch.base_offset)?;
        found.add(batch.values().nth(nth).ok_or("an offset is missing")?);
        return Ok(());
    }
}

fn annals_read(store: &AnnalsStore, at: usize, found: &mut Found) -> Outcome {
    let offset = FIRST + i64::try_from(at)?;
    let record = store.partition.get(offset)?.ok_or("no such record")?;
    found.add(record.value.as_deref().unwrap_or_default());
    Ok(())
}

/// Reads at every offset, in the order of the list.
fn reads(
    offsets: &Rc<[usize]>,
    read: impl Fn(usize, &mut Found) -> Outcome + 'static,
) -> impl FnMut() -> Outcome<Sample> + 'static {
    let offsets = Rc::clone(offsets);
    move || {
        let mut found = Found::default();
        let ((), elapsed) = timed(|| offsets.iter().try_for_each(|at| read(*at, &mut found)))?;
        Ok(Sample { elapsed, found })
    }
}

/// So many offsets below `records`, the same in every run: xorshift64.
fn random(records: usize, count: usize) -> Vec<usize> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap_or(0) % records
    };
    std::iter::repeat_with(next).take(count).collect()
}
