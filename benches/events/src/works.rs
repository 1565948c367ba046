//! What is measured.

use std::rc::Rc;
use std::sync::Arc;

use tempfile::TempDir;

use crate::harness::{Outcome, Row, Sample, Scope, Workload};
use crate::payload::{Found, Payloads};
use crate::peers::{self, Events, Peer};
use crate::scratch::Scratch;
use crate::watch::timed;

const LEN: usize = 100;
/// Events of a stream.
const EACH: usize = 10;
/// Threads that append side by side.
const MANY: usize = 8;

type Make = fn(&Scope) -> Outcome<Workload>;

pub(crate) const WORKS: [(&str, Make); 6] = [
    ("append 1", |scope| appends(scope, "guarded appends of one event, 1 thread", (1, 1))),
    ("append 64", |scope| appends(scope, "guarded appends of 64 events, 1 thread", (64, 1))),
    ("8append 1", |scope| appends(scope, "guarded appends of one event, 8 threads", (1, MANY))),
    ("8append 64", |scope| appends(scope, "guarded appends of 64 events, 8 threads", (64, MANY))),
    ("read", streams),
    ("all", |scope| rows(scope, "all events in their order", |kept, found| kept.events.read_all(found))),
];

/// Events of this length, the same for all threads.
fn payload(number: usize) -> Vec<u8> {
    Payloads::new(LEN).get(number).to_vec()
}

pub(crate) fn stream(number: usize) -> String {
    format!("order-{number:07}")
}

fn appends(scope: &Scope, title: &'static str, how: (usize, usize)) -> Outcome<Workload> {
    let events = scope.records(50_000).next_multiple_of(how.0 * how.1 * EACH);
    let payload: Rc<[u8]> = payload(7).into();
    let row = |peer: &'static Peer| {
        let (scratch, payload) = (scope.scratch.clone(), Rc::clone(&payload));
        let run = move || append(&scratch, peer, &payload, (events, how));
        if peer.name == "annals" { Row::limit(peer.name, run) } else { Row::new(peer.name, run) }
    };
    let mut expected = Found::default();
    (0..events).for_each(|_| expected.add(&payload));
    Ok(Workload { title, expected, rows: peers::ALL.iter().map(|peer| row(peer)).collect() })
}

/// Each stream gets its appends in turn with others: each of the threads has its own streams.
fn append(
    scratch: &Scratch,
    peer: &Peer,
    payload: &[u8],
    (events, (at_a_time, threads)): (usize, (usize, usize)),
) -> Outcome<Sample> {
    let dir = scratch.fresh()?;
    let store = (peer.open)(dir.path())?;
    // Some make their files when they are first used.
    store.append("first", None, &[b"first"])?;
    let of_each = events / at_a_time / threads;
    let streams: Vec<Vec<String>> = (0..threads)
        .map(|thread| (0..of_each.div_ceil(EACH)).map(|number| stream(number * threads + thread)).collect())
        .collect();
    let batch = vec![payload; at_a_time];
    let work = |streams: &[String]| -> Outcome {
        let mut versions = vec![None; streams.len()];
        for number in 0..of_each {
            let at = number % streams.len();
            versions[at] = Some(store.append(&streams[at], versions[at], &batch)?);
        }
        Ok(())
    };
    let ((), elapsed) = timed(|| {
        std::thread::scope(|scope| {
            let begun: Vec<_> = streams.iter().map(|streams| scope.spawn(|| work(streams))).collect();
            begun.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
        })
    })?;
    let mut found = Found::default();
    store.read_all(&mut found)?;
    let mut first = Found::default();
    first.add(b"first");
    Ok(Sample {
        elapsed,
        found: Found {
            records: found.records - 1,
            bytes: found.bytes - first.bytes,
            sum: found.sum.wrapping_sub(first.sum),
        },
    })
}

/// A store that holds events. Its files go after it.
pub(crate) struct Kept {
    events: Arc<dyn Events>,
    streams: usize,
    asked: usize,
    _dir: TempDir,
}

/// `EACH` events for each of so many streams, the streams in turn, so many events an append.
pub(crate) fn fill(events: &dyn Events, streams: usize, together: usize) -> Outcome {
    let payload = payload(7);
    let (mut versions, batch) = (vec![None; streams], vec![payload.as_slice(); together]);
    for _ in 0..EACH / together {
        for (number, version) in versions.iter_mut().enumerate() {
            *version = Some(events.append(&stream(number), *version, &batch)?);
        }
    }
    Ok(())
}

fn streams(scope: &Scope) -> Outcome<Workload> {
    let workload = rows(scope, "the 10 events of one stream of many", |kept, found| {
        (0..kept.asked).try_for_each(|number| kept.events.read(&stream(number * 7919 % kept.streams), found))
    })?;
    Ok(workload)
}

fn rows(scope: &Scope, title: &'static str, read: fn(&Kept, &mut Found) -> Outcome) -> Outcome<Workload> {
    let streams = scope.records(200_000) / EACH;
    let is_streams = title.starts_with("the 10");
    let asked = if is_streams { scope.records(50_000) / EACH } else { streams };
    let mut rows = Vec::new();
    for peer in peers::ALL {
        let dir = scope.scratch.fresh()?;
        let events = (peer.open)(dir.path())?;
        fill(&*events, streams, 1)?;
        let kept = Kept { events, streams, asked, _dir: dir };
        let run = move || {
            let mut found = Found::default();
            let ((), elapsed) = timed(|| read(&kept, &mut found))?;
            Ok(Sample { elapsed, found })
        };
        rows.push(if peer.name == "annals" { Row::limit(peer.name, run) } else { Row::new(peer.name, run) });
    }
    let (payload, mut expected) = (payload(7), Found::default());
    (0..asked * EACH).for_each(|_| expected.add(&payload));
    Ok(Workload { title, expected, rows })
}
