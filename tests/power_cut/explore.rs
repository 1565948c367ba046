//! Running a workload, cutting the power at every moment of it, and judging what is left.
//!
//! `ANNALS_CRASH_STATES` is how many states all workloads together look at (100,000 by default); `ANNALS_CRASH_SEED` runs
//! only the life of that seed, as a failure prints it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use annals::Result;

use crate::common::{Random, count_from_env, now};
use crate::crash::{Fate, all_fates, cut, drawn_fates, points};
use crate::disk::Disk;
use crate::judge::judge;
use crate::promise::Promises;
use crate::record::Moment;
use crate::trouble::{KINDS, Kind};
use crate::world::World;

/// All fates of up to so many undecided points are looked at, if the number of states allows.
const EXHAUSTIVE: usize = 1 << 12;

/// States of one life. More states are more lives, each with other records.
const MOST_OF_A_LIFE: usize = 500_000;

/// What is done on a machine until it has no power.
pub(crate) type Work = fn(&mut World) -> Result<()>;

/// States, and what else is worth telling.
#[derive(Debug, Default)]
struct Tally {
    states: usize,
    moments: usize,
    exhausted: usize,
    lives: u64,
}

/// What is explored under one name.
pub(crate) struct Exploration {
    name: &'static str,
    most: usize,
    tally: Tally,
}

impl Exploration {
    /// `percent` of all states.
    fn new(name: &'static str, percent: usize) -> Self {
        let most = count_from_env("ANNALS_CRASH_STATES", 100_000) * percent / 100;
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

    /// Looks at what may be left of each moment, `most` states in all or a few more.
    fn moments(&mut self, moments: &[Moment], most: usize, seed: u64) {
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
        eprintln!("repeat: ANNALS_CRASH_SEED={seed} cargo test --test power_cut {name}");
        resume_unwind(panic);
    }
}

fn check_order(world: &World) {
    assert_eq!(world.model.violations(), Vec::<String>::new());
}

fn explore(name: &'static str, percent: usize, mut life: impl FnMut(&mut Exploration, u64)) {
    let began = now();
    let mut exploration = Exploration::new(name, percent);
    while !exploration.is_over() {
        let seed = exploration.next_seed();
        seeded(name, seed, || life(&mut exploration, seed));
    }
    exploration.report(began.elapsed());
}

/// The power fails at every moment of a workload.
pub(crate) fn cuts(name: &'static str, percent: usize, work: Work) {
    explore(name, percent, |exploration, seed| {
        let mut world = World::new(seed);
        work(&mut world).unwrap();
        check_order(&world);
        let moments = world.moments();
        exploration.moments(&moments, exploration.most.min(MOST_OF_A_LIFE), seed);
    });
}

/// The power fails at some moments of a workload, and again at every moment of the life after that.
pub(crate) fn cuts_twice(name: &'static str, percent: usize, (before, after): (Work, Work)) {
    explore(name, percent, |exploration, seed| {
        let mut world = World::new(seed);
        before(&mut world).unwrap();
        let moments = world.moments();
        let mut random = Random::new(seed);
        let some: Vec<_> = moments.iter().filter(|_| random.below(3) == 0).collect();
        for moment in some {
            let points = points(&moment.disk);
            let fates = drawn_fates(&points, usize::try_from(random.below(30)).unwrap(), &mut random);
            let left = cut(&moment.disk, &fates);
            second_life(exploration, (left, &moment.promises), seed, after);
        }
    });
}

fn second_life(exploration: &mut Exploration, (left, promises): (Disk, &Promises), seed: u64, work: Work) {
    let mut world = World::on(left, promises.clone(), seed);
    world.reopen().unwrap();
    work(&mut world).unwrap();
    check_order(&world);
    let moments = world.moments();
    exploration.moments(&moments, exploration.most.min(MOST_OF_A_LIFE) / 40, seed);
}

/// Each sync of a workload fails once, and the page cache lies from there on. The process starts again on it, goes on, and
/// then the power fails.
pub(crate) fn failed_syncs(name: &'static str, percent: usize, (before, after): (Work, Work)) {
    explore(name, percent, |exploration, seed| {
        for nth in 0.. {
            let mut world = World::new(seed);
            world.model.trouble(Kind::ONE_SYNC, "", nth);
            // A failure that nobody is told of must not be one of what was promised.
            if before(&mut world).is_ok() && !world.model.has_struck() {
                break;
            }
            if seed.is_multiple_of(2) {
                world.drop_store();
            }
            check_order(&world);
            let promises = world.recorder.promises();
            let cached = world.kill();
            let mut world = World::on(cached, promises, seed);
            world.reopen_on_cache().unwrap();
            after(&mut world).unwrap();
            check_order(&world);
            let moments = world.moments();
            exploration.moments(&moments, exploration.most.min(MOST_OF_A_LIFE) / 100, seed);
        }
    });
}

/// Every so many calls of a life one fails; the others are failed by the lives of other seeds.
const STRIDE: usize = 17;
/// Moments and states that are looked at of each run: there are many.
const MOMENTS: u64 = 8;
const STATES: usize = 4;

/// Each call of each workload fails, in each way, once or from there on; the process goes on as well as it can, and then the
/// power fails. Or the process is started again, goes on, and then the power fails. A seed is one workload, one way and
/// every seventeenth call.
pub(crate) fn failures(name: &'static str, percent: usize, works: &[Work], after: Work) {
    explore(name, percent, |exploration, seed| {
        let number = usize::try_from(seed).unwrap();
        let (work, kind) = (works[number % works.len()], KINDS[number % KINDS.len()]);
        for nth in (number % STRIDE..).step_by(STRIDE) {
            let mut world = World::new(seed);
            world.bears = true;
            // Told with what fails.
            let _told = Told(format!("call {nth}, {kind:?}"));
            world.model.trouble(kind, "", nth);
            // Whether it ends early makes no difference: what it was promised until then counts.
            let ended = work(&mut world);
            if !world.model.has_struck() {
                ended.unwrap();
                break;
            }
            check_order(&world);
            let mut random = Random::new(seed << 20 | nth as u64);
            some_moments(exploration, world.moments_in_trouble(), &mut random);
            if nth.is_multiple_of(2) {
                world.drop_store();
            }
            let promises = world.recorder.promises();
            let mut world = World::on(world.kill(), promises, seed);
            world.reopen_on_cache().unwrap();
            after(&mut world).unwrap();
            check_order(&world);
            some_moments(exploration, world.moments(), &mut random);
        }
    });
}

fn some_moments(exploration: &mut Exploration, moments: Vec<Moment>, random: &mut Random) {
    let chances = moments.len() as u64;
    for moment in &moments {
        if random.below(chances) >= MOMENTS {
            continue;
        }
        exploration.tally.moments += 1;
        let points = points(&moment.disk);
        let drawn = 2 + 2 * points.len();
        for number in [0, 1].into_iter().chain(drawn..drawn + STATES - 2) {
            let fates = drawn_fates(&points, number, random);
            exploration.state(moment, &fates, usize::try_from(random.below(4)).unwrap());
        }
    }
}

/// What a failure is told with.
struct Told(String);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}
