//! Keys that are erased while messages of theirs are out.

use crate::world::{World, take, values};

/// Its worker has it in hand, and gives it up by a rejection or by the last of its deliveries.
#[test]
fn a_message_that_was_erased_while_it_was_out_leaves_no_letter() {
    for is_rejected in [false, true] {
        let world = World::new(1);
        world.send_keyed(&[("alice", "hers"), ("bob", "his")]);
        let mut worker = world.builder().delivery_limit(1).build().unwrap();
        let out = take(&mut worker, 2);
        let reports = world.store.erase("jobs", "alice").unwrap();
        assert_eq!(reports.iter().map(|report| report.records).sum::<u64>(), 1);
        for message in out {
            if is_rejected { message.reject("no").unwrap() } else { message.retry().unwrap() }
        }
        assert_eq!(world.values("jobs.workers.dead"), ["his"], "rejected: {is_rejected}");
        world.pass(3600);
        assert_eq!(values(&take(&mut worker, 9)), [""; 0], "both are done");
    }
}
