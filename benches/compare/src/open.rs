//! W7: opening a large log whose last process was killed.

use tempfile::TempDir;

use crate::child::Task;
use crate::harness::{Outcome, timed};
use crate::options::Options;
use crate::payload::Payloads;
use crate::peer::{Class, Codec, Work};
use crate::results::Results;
use crate::rows::{Entrant, Table, open};
use crate::scratch::Scratch;

const LEN: usize = 1024;
/// Records of an append: large, so that those that must sync each do not take all day to fill.
const BATCH: usize = 500;
/// What the last process appends before it is killed.
const LAST: usize = 32 << 20;

pub(crate) fn run(options: &Options, scratch: &Scratch, results: &mut Results) -> Outcome {
    let size = 2048 / options.scale;
    let table = Table {
        work: Work::W7,
        title: format!(
            "open a log of {size} MiB, 1 KiB records, whose last process appended more and was killed"
        ),
        variant: String::new(),
        codec: Codec::None,
        threads: 1,
        unit: "ms",
        options,
    };
    let mut entrants =
        table.entrants(|peer| peer.offer(Class::Os).or(peer.offer(Class::Disk)).or(Some(peer.laziest())));
    let records = (size * (1 << 20) / LEN).next_multiple_of(BATCH);
    // One after the other: 2 GiB each would not fit beside each other, neither on the disk nor in the page cache.
    for entrant in &mut entrants {
        let name = entrant.peer.name;
        entrant.records = records;
        let dir = scratch.fresh()?;
        repeat(entrant, &dir, records, options).map_err(|error| format!("W7: {name}: {error}"))?;
    }
    table.report(entrants, results)
}

fn repeat(entrant: &mut Entrant, dir: &TempDir, records: usize, options: &Options) -> Outcome {
    let last = (LAST / options.scale / LEN).next_multiple_of(BATCH);
    let room = records + (options.repetitions + 1) * last;
    let task = |records| Task {
        peer: entrant.peer.name,
        class: entrant.offer.class,
        dir: dir.path(),
        len: LEN,
        batch: BATCH,
        records,
        room,
        kill: entrant.offer.class > Class::Memory,
        as_claimed: false,
    };
    let fill = |records| {
        let task = task(records);
        if task.kill {
            return task.run_to_its_death();
        }
        // What is still in memory would be lost: handed over, and not closed.
        if task.run()?.success() { Ok(()) } else { Err("the child failed".into()) }
    };
    fill(records)?;
    // What the child wrote is on its way to the disk; that is nobody's time.
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::sync() };
    let payloads = Payloads::new(LEN);
    for _ in 0..options.repetitions {
        fill(last)?;
        let (log, elapsed) = timed(|| open(entrant, Codec::None, dir.path(), room, &payloads))?;
        entrant.samples.push(elapsed.as_secs_f64() * 1e3);
        drop(log);
    }
    Ok(())
}
