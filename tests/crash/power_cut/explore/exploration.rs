//! The states of many lives: made, judged and counted.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::common::{count_from_env, now};
use crate::power_cut::judge::judge;
use crate::power_cut::record::Moment;
use annals_testing::Random;
use annals_testing::power_cut::{Fate, all_fates, cut, drawn_fates, points};

/// All fates of up to so many undecided points are looked at, if the number of states allows.
const EXHAUSTIVE: usize = 1 << 12;

/// States of one life. More states are more lives, each with other records.
const MOST_OF_A_LIFE: usize = 500_000;

/// Moments and states that are looked at of each run: there are many.
const MOMENTS: u64 = 8;
const STATES: usize = 4;

/// States, and what else is worth telling.
#[derive(Debug, Default)]
struct Tally {
    states: usize,
    moments: usize,
    exhausted: usize,
    lives: u64,
}

/// What is explored under one name.
pub(super) struct Exploration {
    name: &'static str,
    most: usize,
    tally: Tally,
}

impl Exploration {
    /// `percent` of all states.
    fn new(name: &'static str, percent: usize) -> Self {
        let most = count_from_env("ANNALS_CRASH_STATES", 30_000) * percent / 100;
        Self { name, most, tally: Tally::default() }
    }

    fn is_over(&self) -> bool {
        let is_repeated = std::env::var_os("ANNALS_CRASH_SEED").is_some();
        self.tally.states >= self.most || is_repeated && self.tally.lives > 0
    }

    fn next_seed(&mut self) -> u64 {
        self.tally.lives += 1;
        let first = count_from_env("ANNALS_CRASH_SEED", 1);
        u64::try_from(first).unwrap() + self.tally.lives - 1
    }

    /// How many states of one life are looked at.
    pub(super) fn most_of_a_life(&self) -> usize {
        self.most.min(MOST_OF_A_LIFE)
    }

    /// Looks at what may be left of each moment, `most` states in all or a few more.
    pub(super) fn moments(&mut self, moments: &[Moment], most: usize, seed: u64) {
        let each = (most / moments.len().max(1)).max(12);
        for (number, moment) in moments.iter().enumerate() {
            let seed = seed << 20 | number as u64;
            self.moment(moment, each, seed);
        }
    }

    fn moment(&mut self, moment: &Moment, most: usize, seed: u64) {
        let points = points(&moment.disk);
        let mut random = Random::new(seed);
        self.tally.moments += 1;
        let all = all_fates(&points, most.min(EXHAUSTIVE));
        self.tally.exhausted += usize::from(all.is_some());
        let is_exhausted = all.is_some();
        let mut plans = all.unwrap_or_default();
        if !points.is_empty() {
            let first = if is_exhausted { 2 + 2 * points.len() } else { 0 };
            let more = if is_exhausted { points.len().min(6) } else { most };
            plans.extend((first..first + more).map(|number| drawn_fates(&points, number, &mut random)));
        }
        for fates in plans {
            let variant = self.tally.states / 2;
            self.state(moment, &fates, variant);
        }
    }

    fn state(&mut self, moment: &Moment, fates: &[Fate], variant: usize) {
        self.tally.states += 1;
        let judged =
            catch_unwind(AssertUnwindSafe(|| judge(cut(&moment.disk, fates), &moment.promises, variant)));
        let tell = || {
            let Moment { doing, promises, .. } = moment;
            eprintln!("{}: {doing}; variant {}; {promises:?}\n{fates:?}", self.name, variant % 4);
        };
        match judged {
            Ok(Ok(())) => {}
            Ok(Err(why)) => {
                tell();
                panic!("{}: {}: {why}", self.name, moment.doing);
            }
            Err(panic) => {
                tell();
                resume_unwind(panic);
            }
        }
    }

    /// Looks at a few states of a few of these moments.
    pub(super) fn some_moments(&mut self, moments: Vec<Moment>, random: &mut Random) {
        let chances = moments.len() as u64;
        for moment in &moments {
            if random.below(chances) >= MOMENTS {
                continue;
            }
            self.tally.moments += 1;
            let points = points(&moment.disk);
            let drawn = 2 + 2 * points.len();
            for number in [0, 1].into_iter().chain(drawn..drawn + STATES - 2) {
                let fates = drawn_fates(&points, number, random);
                self.state(moment, &fates, usize::try_from(random.below(4)).unwrap());
            }
        }
    }

    fn report(&self, took: std::time::Duration) {
        let Tally { states, moments, exhausted, lives } = self.tally;
        let name = self.name;
        println!(
            "{name}: {states} states of {moments} moments ({exhausted} exhausted) in {lives} lives, {took:.1?}"
        );
    }
}

/// Tells the seed when `life` fails.
fn seeded(name: &str, seed: u64, life: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(life)) {
        eprintln!("repeat: ANNALS_CRASH_SEED={seed} cargo test --test crash power_cut::{name}");
        resume_unwind(panic);
    }
}

/// Lives under this name until `percent` of all states are looked at.
pub(super) fn explore(name: &'static str, percent: usize, mut life: impl FnMut(&mut Exploration, u64)) {
    let began = now();
    let mut exploration = Exploration::new(name, percent);
    while !exploration.is_over() {
        let seed = exploration.next_seed();
        seeded(name, seed, || life(&mut exploration, seed));
    }
    exploration.report(began.elapsed());
}
