//! Calls fail, the process goes on or starts again, and then the power fails.

use annals::Error;

use crate::power_cut::explore::Work;
use crate::power_cut::explore::exploration::explore;
use crate::power_cut::model::Eviction;
use crate::power_cut::scenes::World;
use crate::power_cut::trouble::{KINDS, Kind};
use annals_testing::Random;

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
            world.check_order();
            let moments = restarted(world, seed, after).moments();
            exploration.moments(&moments, exploration.most_of_a_life() / 100, seed);
        }
    });
}

/// The same, and some time behind the failure pages that the kernel took for clean make room for others, so that reads show
/// what the disk has. Whoever comes upon that is told; the process that comes next finds all that was promised.
pub(crate) fn evictions(name: &'static str, percent: usize, (before, after): (Work, Work)) {
    explore(name, percent, |exploration, seed| {
        let mut random = Random::new(seed);
        for nth in 0.. {
            let (early, late) = (eviction(&mut random), eviction(&mut random));
            let _told = Told(format!("sync {nth}, {early:?}, {late:?}"));
            let mut world = World::new(seed);
            world.model.trouble(Kind::ONE_SYNC, if seed.is_multiple_of(3) { "" } else { ".log" }, nth);
            world.model.evict(early.clone());
            if before(&mut world).is_ok() && !world.model.has_struck() {
                break;
            }
            let promises = world.recorder.promises();
            let mut world = World::on(world.kill(), promises, seed);
            meet_damage(&mut world, after, late);
            world.check_order();
            exploration.some_moments(restarted(world, seed, after).moments(), &mut random);
        }
    });
}

/// The machine goes on: another process opens what the cache shows, and works on it.
fn restarted(world: World, seed: u64, work: Work) -> World {
    let promises = world.recorder.promises();
    let mut world = World::on(world.kill(), promises, seed);
    world.reopen_on_cache().unwrap();
    work(&mut world).unwrap();
    world.check_order();
    world
}

/// Soon, later, or not at all.
fn eviction(random: &mut Random) -> Option<Eviction> {
    let most = [1, 4, 40][usize::try_from(random.below(3)).unwrap()];
    let left = usize::try_from(random.below(most)).unwrap();
    let eviction = Eviction { left, share: 1 + random.below(4), random: random.clone() };
    (random.below(4) > 0).then_some(eviction)
}

/// Works on what may not be there any more at the next look.
fn meet_damage(world: &mut World, work: Work, eviction: Option<Eviction>) {
    world.reopen_on_cache().unwrap();
    world.model.evict(eviction);
    match work(world) {
        Ok(()) => {}
        // For whoever looks into a failure.
        Err(error @ (Error::Corrupt { .. } | Error::Poisoned { .. })) => {
            eprintln!("{}: {error}", world.recorder.doing());
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// Every so many calls of a life one fails; the others are failed by the lives of other seeds.
const STRIDE: usize = 17;

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
            world.check_order();
            let mut random = Random::new(seed << 20 | nth as u64);
            exploration.some_moments(world.moments_in_trouble(), &mut random);
            if nth.is_multiple_of(2) {
                world.drop_store();
            }
            exploration.some_moments(restarted(world, seed, after).moments(), &mut random);
        }
    });
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
