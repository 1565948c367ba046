//! What is measured.

use std::rc::Rc;
use std::sync::Mutex;

use crate::harness::{Outcome, Row, Sample, Scope, Workload};
use crate::jobs::{Class, Jobs, Peer};
use crate::payload::{Found, Payloads};
use crate::peers;
use crate::scratch::Scratch;
use crate::watch::timed;

const LEN: usize = 100;
/// So many at a time where it is not measured.
const BULK: usize = 1000;
/// So many before the watch is started.
const WARM: usize = 40;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) name: &'static str,
    title: &'static str,
    at_a_time: usize,
    /// Of those that take; none sends.
    workers: usize,
}

pub(crate) const WORKS: [Work; 6] = [
    Work { name: "send 1", title: "messages of 100 B sent one by one", at_a_time: 1, workers: 0 },
    Work { name: "send 100", title: "messages of 100 B sent by 100", at_a_time: 100, workers: 0 },
    Work { name: "take 1", title: "taken and acknowledged one by one, 1 worker", at_a_time: 1, workers: 1 },
    Work { name: "take 100", title: "taken and acknowledged by 100, 1 worker", at_a_time: 100, workers: 1 },
    Work { name: "8take 1", title: "taken and acknowledged one by one, 8 workers", at_a_time: 1, workers: 8 },
    Work { name: "8take 100", title: "taken and acknowledged by 100, 8 workers", at_a_time: 100, workers: 8 },
];

/// So many messages that the slowest needs a second or so.
fn messages(class: Class, work: Work) -> usize {
    match (class, work.at_a_time, work.workers) {
        (Class::Disk, 1, 8) => 400,
        (Class::Disk, 1, _) => 100,
        (Class::Disk, _, _) => 5_000,
        (_, 1, _) => 5_000,
        _ => 50_000,
    }
}

pub(crate) fn workload(scope: &Scope, class: Class, work: Work) -> Outcome<Workload> {
    let payloads = Rc::new(Payloads::new(LEN));
    let records = scope.records(messages(class, work)).next_multiple_of(work.at_a_time);
    let does = |peer: &&&Peer| peer.classes.contains(&class) && (peer.is_shared || work.workers < 2);
    let rows = peers::ALL.iter().filter(does).map(|peer| {
        let (scratch, payloads, peer) = (scope.scratch.clone(), Rc::clone(&payloads), *peer);
        let run = move || run(&scratch, &payloads, (peer, class), (work, records));
        if peer.name == "annals" { Row::limit(peer.name, run) } else { Row::new(peer.name, run) }
    });
    Ok(Workload { title: work.title, expected: payloads.expected(records), rows: rows.collect() })
}

fn run(
    scratch: &Scratch,
    payloads: &Payloads,
    (peer, class): (&Peer, Class),
    (work, records): (Work, usize),
) -> Outcome<Sample> {
    let dir = scratch.fresh()?;
    let jobs = (peer.open)(dir.path(), class)?;
    // Some make their files when they are first used: it belongs to no row's time.
    for _ in 0..WARM {
        jobs.enqueue(&[payloads.get(0)])?;
    }
    drain(&jobs, (1, WARM))?;
    let send = |at_a_time: usize| {
        let mut values = Vec::with_capacity(at_a_time);
        for first in (0..records).step_by(at_a_time) {
            values.clear();
            values.extend((first..records.min(first + at_a_time)).map(|number| payloads.get(number)));
            jobs.enqueue(&values)?;
        }
        Ok(())
    };
    if work.workers == 0 {
        let ((), elapsed) = timed(|| send(work.at_a_time))?;
        let found = drain(&jobs, (1, BULK))?;
        return Ok(Sample { elapsed, found });
    }
    send(BULK)?;
    let (found, elapsed) = timed(|| drain(&jobs, (work.workers, work.at_a_time)))?;
    Ok(Sample { elapsed, found })
}

/// Workers until nothing is left.
fn drain(jobs: &std::sync::Arc<dyn Jobs>, (workers, at_a_time): (usize, usize)) -> Outcome<Found> {
    let all = Mutex::new(Found::default());
    let workers = (0..workers).map(|_| jobs.clone().worker()).collect::<Outcome<Vec<_>>>()?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .into_iter()
            .map(|mut worker| {
                let all = &all;
                scope.spawn(move || -> Outcome {
                    let mut found = Found::default();
                    while worker.work(at_a_time, &mut found)? > 0 {}
                    let mut all = all.lock().map_err(|_| "another worker failed")?;
                    all.records += found.records;
                    all.bytes += found.bytes;
                    all.sum = all.sum.wrapping_add(found.sum);
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a worker panicked")?)
    })?;
    Ok(all.into_inner()?)
}
