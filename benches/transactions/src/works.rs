//! What is measured.

use std::fmt;
use std::rc::Rc;

use crate::harness::{Outcome, Row, Sample, Scope, Workload};
use crate::payload::{Found, Payloads};
use crate::peers::{self, Class, Peer};
use crate::scratch::Scratch;
use crate::watch::timed;

const LEN: usize = 100;
/// Commits before the watch is started: some make their files when they are first used.
const WARM: usize = 8;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// Of one transaction.
    pub(crate) records: usize,
    partitions: usize,
    threads: usize,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{} by {}", self.records, self.partitions, self.threads)
    }
}

pub(crate) fn all() -> impl Iterator<Item = Work> {
    let shapes = [(1, 1), (10, 1), (10, 2), (10, 8), (100, 1), (100, 2), (100, 8)];
    let of = |(records, partitions)| [1, 8].map(|threads| Work { records, partitions, threads });
    shapes.into_iter().flat_map(of)
}

fn commits(class: Class, work: Work) -> usize {
    match (class, work.threads, work.records) {
        (Class::Disk, 1, _) => 40,
        (Class::Disk, ..) => 160,
        (.., 100) => 480,
        _ => 2_400,
    }
}

pub(crate) fn workload(scope: &Scope, class: Class, work: Work) -> Outcome<Workload> {
    let commits = (commits(class, work) / scope.scale).next_multiple_of(work.threads).max(work.threads);
    let payload: Rc<[u8]> = Payloads::new(LEN).get(7).into();
    let does = |peer: &&&Peer| peer.classes.contains(&class);
    let rows = peers::ALL.iter().filter(does).map(|peer| {
        let (scratch, payload, peer) = (scope.scratch.clone(), Rc::clone(&payload), *peer);
        let run = move || run(&scratch, &payload, (peer, class), (work, commits));
        if peer.name == "annals" { Row::limit(peer.name, run) } else { Row::new(peer.name, run) }
    });
    let mut expected = Found::default();
    (0..commits * work.records).for_each(|_| expected.add(&payload));
    Ok(Workload { title: "transactions of records of 100 B", expected, rows: rows.collect() })
}

fn run(
    scratch: &Scratch,
    payload: &[u8],
    (peer, class): (&Peer, Class),
    (work, commits): (Work, usize),
) -> Outcome<Sample> {
    let dir = scratch.fresh()?;
    let store = (peer.open)(dir.path(), class)?;
    let Work { records, partitions, threads } = work;
    let some = |thread: usize, commits: usize| -> Outcome {
        let mut writer = store.writer(thread)?;
        (0..commits).try_for_each(|_| writer.commit(partitions, records, payload))
    };
    // Those are counted out again.
    for _ in 0..WARM {
        store.writer(threads)?.commit(partitions, records, payload)?;
    }
    let ((), elapsed) = timed(|| {
        if threads == 1 {
            return some(0, commits);
        }
        std::thread::scope(|scope| {
            let some = &some;
            let all: Vec<_> =
                (0..threads).map(|thread| scope.spawn(move || some(thread, commits / threads))).collect();
            all.into_iter().try_for_each(|one| one.join().map_err(|_| "a thread panicked")?)
        })
    })?;
    let mut found = Found::default();
    store.read(&mut found)?;
    let mut warm = Found::default();
    (0..WARM * records).for_each(|_| warm.add(payload));
    Ok(Sample {
        elapsed,
        found: Found {
            records: found.records - warm.records,
            bytes: found.bytes - warm.bytes,
            sum: found.sum.wrapping_sub(warm.sum),
        },
    })
}
