//! All of the damages, on two threads.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use annals::ReadMode;

use crate::common::{count_from_env, now};
use crate::corruption::damage::Damage;
use crate::corruption::judge::{Outcome, Verdict, check_verify, judge};
use crate::corruption::stores::{Sample, samples};

/// Damages that a thread takes at a time.
const CHUNK: usize = 512;
/// `Store::verify` looks at every so many of them. A prime: all bits of a byte come up.
const VERIFY_EVERY: usize = 31;
/// One in so many damages is done where `ANNALS_SWEEP_STRIDE` says nothing. Odd: all bits of a byte come up.
const STRIDE: usize = 3;
/// A thread that has found more failures than this looks no further.
const ENOUGH: usize = 1000;
/// Failures of one sort that are printed, and the letters that make a sort.
const MOST_FAILURES: usize = 4;
const SORTED_BY: usize = 24;

type Counts = BTreeMap<(&'static str, Verdict), usize>;

#[test]
fn every_single_damage_reads_as_before_or_is_told() {
    let samples = samples();
    let bytes: usize = samples.iter().flat_map(|sample| sample.image.files().values()).map(|f| f.len()).sum();
    let count: usize = samples.iter().map(|sample| sample.image.files().len()).sum();
    println!("{count} files of {bytes} bytes");
    assert!((56 << 10..80 << 10).contains(&bytes), "{bytes}");
    let began = now();
    let verify_every = count_from_env("ANNALS_SWEEP_VERIFY", VERIFY_EVERY).max(1);
    let mut failures = Vec::new();
    for sample in samples {
        let (counts, found) = sweep(sample, verify_every);
        println!("{}:", sample.name);
        for ((kind, verdict), count) in &counts {
            println!("  {kind:18} {:16} {count:8}", format!("{verdict:?}"));
        }
        failures.extend(found);
    }
    println!("{:?}", began.elapsed());
    let count = failures.len();
    // A few of each sort, by their last words.
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for failure in failures {
        let sort = failure.split("]: ").last().unwrap_or_default().chars().take(SORTED_BY).collect();
        shown.entry(sort).or_default().push(failure);
    }
    shown.values_mut().for_each(|failures| failures.truncate(MOST_FAILURES));
    assert!(shown.is_empty(), "{count} failures: {shown:#?}");
}

fn sweep(sample: &'static Sample, verify_every: usize) -> (Counts, Vec<String>) {
    let stride = count_from_env("ANNALS_SWEEP_STRIDE", STRIDE).max(1);
    let all: Vec<_> = Damage::all(sample).into_iter().step_by(stride).collect();
    let next = AtomicUsize::new(0);
    let total = Mutex::new((Counts::new(), Vec::new()));
    let work = || {
        let (mut counts, mut failures) = (Counts::new(), Vec::new());
        loop {
            let from = next.fetch_add(CHUNK, Ordering::Relaxed);
            let Some(rest) = all.get(from..) else { break };
            if failures.len() > ENOUGH {
                break;
            }
            for (number, damage) in rest.iter().take(CHUNK).enumerate() {
                let verify = (from + number).is_multiple_of(verify_every);
                let mode = if number % 2 == 0 { ReadMode::Mapped } else { ReadMode::Positional };
                match one(sample, damage, mode, verify) {
                    Ok(verdict) => *counts.entry((damage.kind(), verdict)).or_default() += 1,
                    Err(why) => {
                        let paths: Vec<_> =
                            damage.changes(sample).into_iter().map(|(path, _)| path).collect();
                        failures.push(format!("{} {damage:?} {paths:?}: {why}", sample.name));
                    }
                }
            }
        }
        let mut total = total.lock().unwrap();
        counts.into_iter().for_each(|(key, count)| *total.0.entry(key).or_default() += count);
        total.1.extend(failures);
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        (0..threads).for_each(|_| _ = scope.spawn(work));
    });
    total.into_inner().unwrap()
}

fn one(sample: &Sample, damage: &Damage, mode: ReadMode, verify: bool) -> Outcome<Verdict> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let verdict = judge(sample, damage, mode)?;
        if verify {
            check_verify(sample, damage, verdict)?;
        }
        Ok(verdict)
    }));
    outcome.unwrap_or_else(|_| Err("it panicked".to_owned()))
}
