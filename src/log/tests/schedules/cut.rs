//! A cut through two logs, beside one who sends to both.

use shuttle::thread;

use super::explore;
use super::world::{ONE_SEGMENT, World};
use crate::log::Log;
use crate::types::Durability;

#[test]
fn an_effect_is_in_no_cut_without_its_cause() {
    explore(|| {
        let [first, second] = [World::new(ONE_SEGMENT), World::new(ONE_SEGMENT)];
        let sender = {
            let (first, second) = (first.clone(), second.clone());
            thread::spawn(move || {
                for (at, durability) in [(0, Durability::Memory), (1, Durability::Os)] {
                    assert_eq!(first.send("cause", durability).unwrap(), at);
                    assert_eq!(second.send("effect", durability).unwrap(), at);
                }
            })
        };
        // The one that is sent to last is locked first.
        let held = [&second, &first].map(|world| world.log.hold_for_copy().unwrap());
        let cut = Log::cut_through(&[&held[0], &held[1]]);
        let [effects, causes] = [cut.points[0].end, cut.points[1].end];
        assert!(effects <= causes, "{effects} effects of {causes} causes");
        for (one, point) in held.iter().zip(&cut.points) {
            let plan = one.plan(*point).unwrap().expect("nothing fails");
            assert_eq!(plan.bounds(), (0, point.end));
        }
        drop(held);
        sender.join().unwrap();
    });
}
