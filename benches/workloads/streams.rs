//! S1 to S3: appends that depend on a stream, and the events of one key among many.

use std::rc::Rc;

use annals::{Durability, Expected, Offset, Partition, Record, Store, Topic, TopicConfig};
use tempfile::TempDir;

use crate::harness::{Outcome, Row, Sample, Scope, Workload, timed};
use crate::payload::{Found, Payloads};

const LEN: usize = 100;
/// Events of each stream.
const EACH: usize = 10;

/// Dropped in this order: the store is closed before its directory goes.
struct Events {
    topic: Topic,
    partition: Partition,
    _store: Store,
    _dir: TempDir,
}

impl Events {
    fn new(scope: &Scope, is_indexed: bool) -> Outcome<Self> {
        let dir = scope.scratch.fresh()?;
        let store = Store::open(dir.path())?;
        let topic = store.create_topic("events", TopicConfig::new().key_index(is_indexed))?;
        let partition = topic.partition(0)?;
        partition.append(&[Record::new()], Durability::Disk)?;
        Ok(Self { topic, partition, _store: store, _dir: dir })
    }

    /// `EACH` events for each of so many streams, the streams in turn. Says how long its index took to be whole.
    fn filled(scope: &Scope, payloads: &Payloads, streams: usize) -> Outcome<Self> {
        let events = Self::new(scope, true)?;
        for number in 0..streams * EACH {
            let record = Record::new().value(payloads.get(number));
            events.partition.append(&[record.key(&key(number % streams))], Durability::Os)?;
        }
        // The first look has the index made of every segment that has none yet.
        events.topic.get("nobody")?;
        Ok(events)
    }
}

fn key(number: usize) -> String {
    format!("order-{number:07}")
}

/// S1: each of many streams gets an event in turn.
pub(crate) fn guarded(scope: &Scope) -> Outcome<Workload> {
    let records = scope.records(100_000);
    let streams = (records / EACH).max(1);
    let payloads = Payloads::new(LEN);
    let keys: Rc<[String]> = (0..streams).map(key).collect();
    type Append = fn(&Events, &str, Record<'_>, Option<Offset>) -> annals::Result<Offset>;
    let row = |name: &'static str, is_indexed: bool, append: Append| {
        let (scratch, payloads, keys) = (scope.scratch.clone(), payloads.clone(), Rc::clone(&keys));
        let scale = scope.scale;
        Row::new(name, move || {
            let events = Events::new(&Scope { scratch: scratch.clone(), scale }, is_indexed)?;
            let mut versions = vec![None; streams];
            let ((), elapsed) = timed(|| {
                for number in 0..records {
                    let (key, version) = (&keys[number % streams], &mut versions[number % streams]);
                    let record = Record::new().value(payloads.get(number));
                    *version = Some(append(&events, key, record, *version)?);
                }
                Ok(())
            })?;
            let mut found = Found::default();
            for record in events.partition.read_from(1)? {
                found.add(record?.value.as_deref().unwrap_or_default());
            }
            Ok(Sample { elapsed, found })
        })
    };
    let rows = vec![
        row("annals, Partition::append, no index", false, |events, key, record, _| {
            Ok(events.partition.append(&[record.key(key)], Durability::Os)?.last_offset)
        }),
        row("annals, Partition::append, key index", true, |events, key, record, _| {
            Ok(events.partition.append(&[record.key(key)], Durability::Os)?.last_offset)
        }),
        row("annals, append_to, Expected::Any", true, |events, key, record, _| {
            Ok(events.topic.append_to(key, Expected::Any, &[record])?.last_offset)
        }),
        row("annals, append_to, Expected::Version", true, |events, key, record, version| {
            let expected = version.map_or(Expected::NoStream, Expected::Version);
            Ok(events.topic.append_to(key, expected, &[record])?.last_offset)
        }),
    ];
    Ok(Workload {
        title: "appends of one event of 100 B to many streams",
        expected: payloads.expected(records),
        rows,
    })
}

/// S2: all events of one stream, anywhere.
pub(crate) fn whole_streams(scope: &Scope) -> Outcome<Workload> {
    let streams = (scope.records(1_000_000) / EACH).max(1);
    let payloads = Payloads::new(LEN);
    let events = Rc::new(Events::filled(scope, &payloads, streams)?);
    let asked: Rc<[usize]> = (0..scope.records(10_000)).map(|number| number * 7919 % streams).collect();
    let places = asked.iter().flat_map(|stream| (0..EACH).map(move |nth| stream + nth * streams));
    let expected = payloads.expected_at(places);
    let row = |name: &'static str, read: fn(&Events, usize, usize, &mut Found) -> Outcome| {
        let (events, asked) = (Rc::clone(&events), Rc::clone(&asked));
        Row::new(name, move || {
            let mut found = Found::default();
            let ((), elapsed) =
                timed(|| asked.iter().try_for_each(|stream| read(&events, *stream, streams, &mut found)))?;
            Ok(Sample { elapsed, found })
        })
    };
    let rows = vec![
        row("annals, Partition::get, offsets known", |events, stream, streams, found| {
            for nth in 0..EACH {
                let offset = 1 + Offset::try_from(stream + nth * streams)?;
                let record = events.partition.get(offset)?.ok_or("no such record")?;
                found.add(record.value.as_deref().unwrap_or_default());
            }
            Ok(())
        }),
        row("annals, Stream::read", |events, stream, _, found| {
            let mut reader = events.topic.stream(key(stream))?.read(..)?;
            let records = reader.fetch()?;
            records.iter().for_each(|record| found.add(record.value().unwrap_or_default()));
            Ok(())
        }),
        row("annals, Stream::backwards", |events, stream, _, found| {
            for record in events.topic.stream(key(stream))?.backwards()? {
                found.add(record?.value.as_deref().unwrap_or_default());
            }
            Ok(())
        }),
    ];
    Ok(Workload { title: "all 10 events of one stream of many, 100 B", expected, rows })
}

/// How a row reads the last event of a stream.
type ReadLast = fn(&Events, usize, usize) -> Outcome<Option<Vec<u8>>>;

/// S3: the last event of one stream, anywhere.
pub(crate) fn last_events(scope: &Scope) -> Outcome<Workload> {
    let streams = (scope.records(1_000_000) / EACH).max(1);
    let payloads = Payloads::new(LEN);
    let events = Rc::new(Events::filled(scope, &payloads, streams)?);
    let asked: Rc<[usize]> = (0..scope.records(50_000)).map(|number| number * 7919 % streams).collect();
    let expected = payloads.expected_at(asked.iter().map(|stream| stream + (EACH - 1) * streams));
    let row = |name: &'static str, read: ReadLast| {
        let (events, asked) = (Rc::clone(&events), Rc::clone(&asked));
        Row::new(name, move || {
            let mut found = Found::default();
            let ((), elapsed) = timed(|| {
                asked.iter().try_for_each(|stream| {
                    found.add(&read(&events, *stream, streams)?.unwrap_or_default());
                    Ok(())
                })
            })?;
            Ok(Sample { elapsed, found })
        })
    };
    let rows = vec![
        row("annals, Partition::get, offset known", |events, stream, streams| {
            let offset = 1 + Offset::try_from(stream + (EACH - 1) * streams)?;
            Ok(events.partition.get(offset)?.and_then(|record| record.value))
        }),
        row("annals, Topic::get", |events, stream, _| {
            Ok(events.topic.get(key(stream))?.and_then(|record| record.value))
        }),
    ];
    Ok(Workload { title: "the last event of one stream of many, 100 B", expected, rows })
}
