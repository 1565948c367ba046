//! The power fails, once or again in the life after that.

use crate::power_cut::explore::Work;
use crate::power_cut::explore::exploration::{Exploration, explore};
use crate::power_cut::promise::Promises;
use crate::power_cut::scenes::World;
use annals_testing::Random;
use annals_testing::power_cut::Disk;
use annals_testing::power_cut::{cut, drawn_fates, points};

/// The power fails at every moment of a workload.
pub(crate) fn cuts(name: &'static str, percent: usize, work: Work) {
    explore(name, percent, |exploration, seed| {
        let mut world = World::new(seed);
        work(&mut world).unwrap();
        world.check_order();
        let moments = world.moments();
        exploration.moments(&moments, exploration.most_of_a_life(), seed);
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

/// A process is killed at some moments of a workload. Another one goes on, on what the cache shows, and the power fails at every moment of
/// that.
pub(crate) fn cuts_behind_kills(name: &'static str, percent: usize, (before, after): (Work, Work)) {
    explore(name, percent, |exploration, seed| {
        let mut world = World::new(seed);
        before(&mut world).unwrap();
        let mut random = Random::new(seed);
        for moment in world.moments().iter().filter(|_| random.below(3) == 0) {
            let mut world = World::on(moment.disk.clone(), moment.promises.clone(), seed);
            world.reopen_on_cache().unwrap();
            after(&mut world).unwrap();
            world.check_order();
            exploration.moments(&world.moments(), exploration.most_of_a_life() / 40, seed);
        }
    });
}

fn second_life(exploration: &mut Exploration, (left, promises): (Disk, &Promises), seed: u64, work: Work) {
    let mut world = World::on(left, promises.clone(), seed);
    world.reopen().unwrap();
    work(&mut world).unwrap();
    world.check_order();
    let moments = world.moments();
    exploration.moments(&moments, exploration.most_of_a_life() / 40, seed);
}
