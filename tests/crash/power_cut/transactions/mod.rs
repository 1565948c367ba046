//! Transactions while the power fails: each is found in every partition or in none, with the offsets and the job that belong to it; one
//! that was acknowledged at `Disk` is found, and what one life has found the next one finds too. Several lives go before the cut: some
//! are killed, some lose their power, some are closed without having written a marker.
//!
//! `ANNALS_CRASH_SEED` plays one seed again, `ANNALS_TRANSACTION_SEED` says with which to begin.
//!
//! `ANNALS_TRANSACTION_STATES=1000000 cargo test --test crash power_cut::transactions -- --nocapture`

mod machine;
mod promise;

use crate::common::count_from_env;
use crate::power_cut::model::Model;
use crate::power_cut::promise::{Outcome, Promises};
use crate::power_cut::record::Moment;
use crate::power_cut::scenes::{clock, open};
use annals::{Durability, Error, Record, Store};
use annals_testing::Random;
use annals_testing::power_cut::{Disk, Fate, all_fates, cut, drawn_fates, points};
use machine::{EVENTS, JOBS, Machine, PLACES, compact_decisions, new_worker};
pub(crate) use promise::TransactionPromise;
use promise::{Found, found, history};

/// What there was to be seen.
#[derive(Debug, Default)]
struct Seen {
    lives: usize,
    closes: usize,
    closes_without_room: usize,
    transactions: usize,
    with_offsets: usize,
    with_jobs: usize,
    with_conditions: usize,
    refused: usize,
    /// A write of them failed.
    failed: usize,
    /// With two records in one partition at the least, and these are two batches.
    with_batches: usize,
    /// Of those that have to be there: those that an acknowledged one has seen by what another one has asked about or read.
    seen_by_others: usize,
}

impl Seen {
    fn note(&mut self, promise: &TransactionPromise, is_refused: bool) {
        self.transactions += 1;
        self.with_offsets += usize::from(promise.offset.is_some());
        self.with_jobs += usize::from(promise.job.is_some());
        self.with_conditions += usize::from(!promise.seen.is_empty() || promise.places.contains_key(EVENTS));
        self.refused += usize::from(is_refused);
        self.with_batches += usize::from(promise.places.values().any(|count| *count > 1));
    }
}

fn reopened(disk: Disk, promises: &Promises, before: Option<&Found>) -> Outcome<(Model, Store, Found)> {
    let model = Model::new(disk, None);
    let store = open(&model, &clock(), 100).map_err(|error| format!("does not open: {error}"))?;
    let there = found(&store, &promises.transactions).map_err(|why| format!("{why}\n{}", history(&store)))?;
    if let Some(before) = before.filter(|before| **before != there) {
        return Err(format!("{before:?} were there, now {there:?}"));
    }
    Ok((model, store, there))
}

/// The ways in which the life after the cut goes on.
const VARIANTS: usize = 7;

fn live_on(store: &Store, variant: usize) -> annals::Result<()> {
    match variant % VARIANTS {
        0 => Ok(()),
        1 => store.maintain(),
        2 => {
            // Appended where a decision may have missed something.
            let producer = store.producer_builder().durability(Durability::Disk).build()?;
            for topic in PLACES.iter().filter(|topic| store.topic(topic).is_ok()) {
                for _ in 0..4 {
                    producer.send(Record::to(topic).value("plain"))?;
                }
            }
            Ok(())
        }
        3 => {
            store.maintain()?;
            PLACES.iter().filter_map(|topic| store.topic(topic).ok()).try_for_each(|topic| topic.flush())
        }
        4 => compact_decisions(store),
        5 => {
            // Somebody takes the jobs and gives them back, and decisions go.
            if store.topic(JOBS).is_ok() {
                drop(new_worker(store)?.take(1000, std::time::Duration::ZERO)?);
            }
            store.maintain()?;
            compact_decisions(store)
        }
        _ => store.close(),
    }
}

/// Opens what a cut left, looks, lives on as `variant` says, has the power fail again perhaps, and looks once more.
fn judge(disk: Disk, promises: &Promises, variant: usize) -> Outcome<()> {
    let (model, store, there) = reopened(disk, promises, None)?;
    let lived = live_on(&store, variant);
    lived.map_err(|error: Error| error.to_string())?;
    let disk = model.kill();
    if let Some(violation) = model.violations().first() {
        return Err(violation.clone());
    }
    let disk = if variant.is_multiple_of(2) {
        disk
    } else {
        let disk = disk.reachable();
        cut(&disk, &vec![Fate::Lost; points(&disk).len()])
    };
    // What the first cut left is on the disk: what was found there is found again.
    reopened(disk, promises, Some(&there)).map(drop).map_err(|why| format!("the next life: {why}"))
}

/// Seeds that all states come from, at the least.
const SEEDS: usize = 40;

/// Looks at up to so many states that a cut at that moment may leave; says how many there were.
fn look_at(moment: &Moment, each: usize, (seed, before): (u64, usize), random: &mut Random) -> usize {
    let points = points(&moment.disk);
    let plans = all_fates(&points, each)
        .unwrap_or_else(|| (0..each).map(|number| drawn_fates(&points, number, random)).collect());
    for (number, fates) in plans.iter().enumerate() {
        let variant = before + number;
        if let Err(why) = judge(cut(&moment.disk, fates), &moment.promises, variant) {
            let Moment { doing, promises, .. } = moment;
            let variant = variant % VARIANTS;
            let all = &promises.transactions;
            panic!("ANNALS_CRASH_SEED={seed}: {doing}: variant {variant}: {why}\n{fates:?}\n{all:#?}");
        }
    }
    plans.len()
}

#[test]
fn transactions() {
    let most = count_from_env("ANNALS_TRANSACTION_STATES", 3_000);
    let begin = count_from_env("ANNALS_TRANSACTION_SEED", 1);
    let first = u64::try_from(count_from_env("ANNALS_CRASH_SEED", begin)).unwrap();
    let (mut states, mut seed, mut moments_seen, mut seen) = (0, first, 0, Seen::default());
    while states < most {
        let moments = Machine::lives(seed, &mut seen);
        let mut random = Random::new(seed << 20);
        // Some of each of many lives, or all there is to be seen of them.
        let share = most / SEEDS;
        let each = (share / moments.len().max(1)).clamp(6, 200);
        let chances = moments.len() as u64;
        for moment in &moments {
            if random.below(chances) < (share / each).max(1) as u64 {
                moments_seen += 1;
                states += look_at(moment, each, (seed, states), &mut random);
            }
        }
        if seed.is_multiple_of(10) {
            println!("{states} states of seeds {first} to {seed}");
        }
        seed += 1;
        if std::env::var_os("ANNALS_CRASH_SEED").is_some() {
            break;
        }
    }
    println!("transactions: {states} states of {moments_seen} moments, {} seeds, {seen:?}", seed - first);
}
