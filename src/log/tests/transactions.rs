//! Producers with an id and their transactions, over rolls, closes, kills and lost files, against a list of what was sent.
#![expect(clippy::disallowed_methods, reason = "files are lost and damaged from outside")]

use std::collections::BTreeMap;

use super::compaction::{now_config, put};
use super::gate::{Gated, Stops};
use super::place::Place;
use super::*;
use crate::error::Error;
use crate::format::tests::random::{Random, each_seed};
use crate::format::{Ending, ProducerStamp};
use crate::locks::Mutex;

fn stamp(producer_id: i64, producer_epoch: i16, base_sequence: i32) -> ProducerStamp {
    ProducerStamp { producer_id, producer_epoch, base_sequence, is_transactional: true }
}

/// Appends one batch and says where it is.
fn stage(log: &Arc<Log>, stamp: ProducerStamp, values: &[String]) -> crate::error::Result<PartPlace> {
    let records: Vec<_> = values.iter().map(|value| Record::new().key("k").value(value)).collect();
    let part = Part { records: &records, stamp, ends_with: None };
    let mut stage = log.stage()?;
    if let Some(batch) = stage.check_producer(&part)? {
        let (first_offset, last_offset) = (batch.first_offset, batch.last_offset);
        return Ok(PartPlace { first_offset, last_offset, timestamp: batch.timestamp });
    }
    let place = stage.place(&part)?;
    stage.write()?;
    Ok(place)
}

/// Decides a transaction and writes its marker.
fn end(log: &Arc<Log>, producer_id: i64, ending: Ending) {
    assert!(log.decide(producer_id, ending));
    let mut stage = log.stage().unwrap();
    let marker = stage.marker(producer_id).unwrap();
    stage.place_marker(marker).unwrap();
    stage.write().unwrap();
}

fn read(log: &Arc<Log>, from: Offset, isolation: Isolation) -> Vec<(Offset, String)> {
    let mut reader =
        Reader::new(Arc::clone(log), from, Visibility::Written, OnDamage::Fail).isolation(isolation);
    let mut records = Vec::new();
    loop {
        let slices = reader.fetch(FetchLimits { max_records: 5, max_bytes: 300 }).unwrap();
        if slices.is_empty() {
            return records;
        }
        for record in slices.iter().flat_map(RecordSlice::iter) {
            records.push((record.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Plain,
    Open,
    Decided(Ending),
}

/// What was sent, and what became of it.
#[derive(Default)]
struct Sent {
    /// By offset: value and transaction.
    records: BTreeMap<Offset, (String, Option<usize>)>,
    transactions: Vec<Status>,
    /// By producer: epoch, next sequence, open transaction.
    producers: [(i16, i32, Option<usize>); 3],
    count: usize,
}

impl Sent {
    fn status(&self, transaction: Option<usize>) -> Status {
        transaction.map_or(Status::Plain, |number| self.transactions[number])
    }

    fn values(&mut self, random: &mut Random) -> Vec<String> {
        let count = 1 + random.below(3);
        self.count += count;
        (self.count - count..self.count).map(|number| format!("value {number}")).collect()
    }

    fn note(&mut self, first: Offset, values: Vec<String>, transaction: Option<usize>) {
        for (offset, value) in (first..).zip(values) {
            assert!(self.records.insert(offset, (value, transaction)).is_none(), "offset {offset} twice");
        }
    }

    fn stable(&self, end: Offset) -> Offset {
        let open = self.records.iter().find(|(_, (_, of))| self.status(*of) == Status::Open);
        open.map_or(end, |(offset, _)| *offset)
    }

    fn expected(&self, from: Offset, isolation: Isolation, end: Offset) -> Vec<(Offset, String)> {
        let until = if isolation == Isolation::ReadCommitted { self.stable(end) } else { end };
        let visible = self.records.range(from..until.max(from)).filter(|(_, (_, of))| {
            isolation == Isolation::ReadUncommitted || self.status(*of) != Status::Decided(Ending::Abort)
        });
        visible.map(|(offset, (value, _))| (*offset, value.clone())).collect()
    }
}

fn compare(log: &Arc<Log>, sent: &Sent) {
    let end = log.end();
    assert_eq!(log.stable(), sent.stable(end));
    for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
        for from in [0, end / 3, end / 2, log.stable()] {
            assert_eq!(
                read(log, from, isolation),
                sent.expected(from, isolation, end),
                "{isolation:?} {from}"
            );
        }
    }
    let committed: BTreeMap<_, _> = sent.expected(0, Isolation::ReadCommitted, end).into_iter().collect();
    for offset in 0..end {
        let found = log.get(offset, |record| record.value.unwrap().to_vec()).unwrap();
        assert_eq!(found.as_deref(), committed.get(&offset).map(String::as_bytes), "offset {offset}");
    }
}

fn step(log: &Arc<Log>, sent: &mut Sent, random: &mut Random) {
    let producer = random.below(3);
    let id = i64::try_from(producer).unwrap() + 100;
    let (epoch, sequence, open) = sent.producers[producer];
    match random.below(8) {
        0 | 1 => {
            let values = sent.values(random);
            let records: Vec<_> = values.iter().map(|value| Record::new().key("k").value(value)).collect();
            let how = how([Durability::Memory, Durability::Os][random.below(2)]);
            let first = log.append(&records, &how).unwrap().first_offset;
            sent.note(first, values, None);
        }
        2..=4 => {
            let values = sent.values(random);
            let place = stage(log, stamp(id, epoch, sequence), &values).unwrap();
            let again = stage(log, stamp(id, epoch, sequence), &values).unwrap();
            assert_eq!((again.first_offset, again.last_offset), (place.first_offset, place.last_offset));
            let transaction = open.unwrap_or_else(|| {
                sent.transactions.push(Status::Open);
                sent.transactions.len() - 1
            });
            let next = sequence + i32::try_from(values.len()).unwrap();
            sent.note(place.first_offset, values, Some(transaction));
            sent.producers[producer] = (epoch, next, Some(transaction));
        }
        5 | 6 => {
            let Some(transaction) = open else { return };
            let ending = [Ending::Commit, Ending::Abort][random.below(2)];
            end(log, id, ending);
            sent.transactions[transaction] = Status::Decided(ending);
            sent.producers[producer] = (epoch + 1, 0, None);
            let late = stage(log, stamp(id, epoch, sequence), &["late".to_owned()]);
            assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
        }
        _ => assert!(log.roll().is_ok()),
    }
}

/// Files that follow from the log are lost while nobody looks.
fn lose(place: &Place, random: &mut Random) {
    for entry in std::fs::read_dir(place.directory().path()).unwrap() {
        let path = entry.unwrap().path();
        let derived = ["txnindex", "snapshot", "index", "timeindex"];
        let is_derived = path.extension().is_some_and(|kind| derived.contains(&kind.to_str().unwrap()));
        if is_derived && random.one_in(3) {
            if random.one_in(2) {
                std::fs::remove_file(&path).unwrap();
            } else {
                std::fs::write(&path, random.bytes(200)).unwrap();
            }
        }
    }
}

#[test]
fn committed_records_and_no_others_are_read_whatever_becomes_of_the_log() {
    each_seed(60, |random| {
        let place = Place::new([ReadMode::Mapped, ReadMode::Positional][random.below(2)]);
        let mut log = place.open();
        log.set_config(config([400, 1000, 100_000][random.below(3)]));
        let mut sent = Sent::default();
        for _ in 0..8 {
            for _ in 0..random.below(14) {
                step(&log, &mut sent, random);
            }
            log.write_queued();
            compare(&log, &sent);
            if random.one_in(2) {
                log.close().unwrap();
            }
            drop(log);
            if random.one_in(3) {
                lose(&place, random);
            }
            log = place.open();
            log.set_config(config([400, 1000, 100_000][random.below(3)]));
            compare(&log, &sent);
        }
    });
}

#[test]
fn a_reader_waits_at_an_open_transaction_and_goes_on_when_it_is_decided() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    append(&log, 0..2, Durability::Os);
    stage(&log, stamp(7, 0, 0), &["two".into(), "three".into()]).unwrap();
    append(&log, 4..6, Durability::Os);
    assert_eq!((log.stable(), log.end(), log.finished()), (2, 6, 2));
    assert_eq!(read_all(&log, 0), expected(0..2));
    assert!(log.decide(7, Ending::Abort));
    assert_eq!((log.stable(), log.finished()), (6, 2), "decided, but the log does not tell yet");
    let rest: Vec<_> = expected(0..2).into_iter().chain(expected(4..6)).collect();
    assert_eq!(read_all(&log, 0), rest);
    let mut stage = log.stage().unwrap();
    let marker = stage.marker(7).unwrap();
    assert_eq!(stage.place_marker(marker).unwrap(), 6);
    stage.write().unwrap();
    drop(stage);
    assert_eq!((log.stable(), log.finished(), log.end()), (7, 7, 7));
    assert_eq!(read_all(&log, 0), rest);
}

#[test]
fn a_partition_that_no_producer_wrote_to_has_the_files_that_it_always_had() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    append(&log, 0..100, Durability::Os);
    log.roll().unwrap();
    log.close().unwrap();
    let names = place.directory().list().unwrap();
    let others = ["snapshot", "txnindex"];
    assert!(names.iter().all(|entry| others.iter().all(|kind| !entry.name.ends_with(kind))), "{names:?}");
    let state = place.directory().read_file("annals.state", 1 << 20).unwrap().unwrap();
    assert_eq!(state[8..12], [0, 0, 0, 1], "a version that earlier releases read");
}

#[test]
fn what_a_producer_is_told_of_the_time_is_what_the_record_has() {
    for (timestamp_type, expected) in
        [(TimestampType::LogAppendTime, 1_000_000), (TimestampType::CreateTime, 999_999)]
    {
        let place = Place::new(ReadMode::Mapped);
        let log = place.open();
        log.set_config(LogConfig { timestamp_type, ..config(500) });
        let records = [7, 999_999].map(|time| Record::new().value("v").timestamp(time));
        let stamp = ProducerStamp { is_transactional: false, ..stamp(1, 0, 0) };
        let part = Part { records: &records, stamp, ends_with: None };
        let mut stage = log.stage().unwrap();
        let place = stage.place(&part).unwrap();
        stage.write().unwrap();
        drop(stage);
        let there = log.get(place.last_offset, |record| record.timestamp).unwrap();
        assert_eq!((place.timestamp, there), (expected, Some(expected)), "{timestamp_type:?}");
    }
}

/// A roll makes another list of segments, and takes nothing out of it: what could not be read stays so.
#[test]
fn a_compaction_with_damage_had_no_end_while_senders_rolled() {
    let files = Gated::default();
    let place = Place::in_memory(ReadMode::Positional, Arc::new(files.clone()));
    let log = place.open();
    for sequence in 0..2 {
        stage(&log, stamp(7, 0, sequence), &["aborted".into()]).unwrap();
    }
    end(&log, 7, Ending::Abort);
    log.roll().unwrap();
    append(&log, 3..5, Durability::Os);
    log.close().unwrap();
    drop(log);
    // Without its index the whole segment has to be read, and it cannot be.
    std::fs::remove_file(place.dir.path().join(format!("{:020}.txnindex", 0))).unwrap();
    let path = place.dir.path().join(format!("{:020}.log", 0));
    let mut bytes = std::fs::read(&path).unwrap();
    let second = 12 + usize::try_from(i32::from_be_bytes(bytes[8..12].try_into().unwrap())).unwrap();
    bytes[second + 70] ^= 0x41;
    std::fs::write(&path, bytes).unwrap();
    let log = place.open();
    append(&log, 5..6, Durability::Os);
    const MOST: usize = 200;
    let rolls = Arc::new(Mutex::new(0));
    let (rolled, sender) = (Arc::clone(&rolls), Arc::clone(&log));
    let visit = move || {
        if *rolled.lock() < MOST && sender.writer.try_lock().is_some() {
            sender.append(&[Record::new().key("k").value("sent")], &how(Durability::Os)).unwrap();
            assert!(sender.roll().unwrap());
            *rolled.lock() += 1;
        }
    };
    let compacted = files.stopping(Stops::Reads, visit, || log.compact(&|| Some(now_config(&place))));
    assert!(matches!(compacted, Err(Error::Corrupt { .. })), "{compacted:?}");
    let rolls = *rolls.lock();
    assert!((1..MOST).contains(&rolls), "it went on until nobody sent any more: {rolls}");
}

/// What stays of two segments fits no third one, so they are taken again one by one: a marker that was come to twice passed for one without a
/// transaction, whose records lie in a segment before.
#[test]
fn a_committed_transaction_lost_its_end_to_a_compaction_that_took_a_run_again() {
    let place = Place::in_memory(ReadMode::Positional, Arc::new(crate::io::OsFileSystem));
    let log = place.open();
    log.set_config(config(5 << 20));
    // Of 500 KB each. A new segment has 4 MiB in these tests, and the run of the last two has more.
    let large = |keys: std::ops::Range<usize>| {
        keys.for_each(|key| put(&log, &[(&key.to_string(), &"x".repeat(500_000))]));
    };
    stage(&log, stamp(7, 0, 0), &["committed".into()]).unwrap();
    large(0..6);
    log.roll().unwrap();
    end(&log, 7, Ending::Commit);
    large(6..11);
    log.roll().unwrap();
    large(11..15);
    stage(&log, stamp(7, 1, 0), &["aborted".into()]).unwrap();
    end(&log, 7, Ending::Abort);
    for seconds in [0, 61] {
        place.clock.set(1_000_000 + seconds * 1000);
        log.compact(&|| Some(now_config(&place))).unwrap();
        assert_eq!(place.logs().len(), 4, "no two of them became one");
    }
    log.close().unwrap();
    drop(log);
    for name in place.files() {
        if name.ends_with(".txnindex") || name.ends_with(".snapshot") {
            std::fs::remove_file(place.dir.path().join(name)).unwrap();
        }
    }
    let log = place.open();
    let mut committed = read(&log, 0, Isolation::ReadCommitted);
    committed.retain(|(_, value)| value.len() < 100);
    assert_eq!(committed, [(0, "committed".to_owned())]);
}

/// Readers pass over it once that is decided; they know by the marker once there is one, which may stand in a segment that a list of earlier lacks.
#[test]
fn a_record_of_an_aborted_transaction_was_read_where_its_marker_came_into_another_segment_meanwhile() {
    let files = Gated::default();
    let place = Place::in_memory(ReadMode::Positional, Arc::new(files.clone()));
    let log = place.open();
    stage(&log, stamp(7, 0, 0), &["aborted".into()]).unwrap();
    assert!(log.decide(7, Ending::Abort));
    assert_eq!(log.stable(), 1);
    let (mut is_ended, ends) = (false, Arc::clone(&log));
    let visit = move || {
        if !std::mem::replace(&mut is_ended, true) {
            assert!(ends.roll().unwrap());
            let mut stage = ends.stage().unwrap();
            let marker = stage.marker(7).unwrap();
            stage.place_marker(marker).unwrap();
            stage.write().unwrap();
        }
    };
    let read = files.stopping(Stops::Reads, visit, || read(&log, 0, Isolation::ReadCommitted));
    assert_eq!((read, log.segment_list().iter().count(), log.end()), (Vec::new(), 2, 2));
}
