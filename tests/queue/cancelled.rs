//! What is taken back while nobody knows whether it was delivered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{Error, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, MemoryFileSystem, Times};

use crate::world::World;

const EIO: i32 = 5;
const DECISIONS: &str = "__transaction_state-0/00000000000000000000.log";

#[test]
fn a_record_that_was_cancelled_in_the_middle_of_its_move_was_delivered() {
    let broken_off = [Fault::Panic, Fault::Torn(usize::MAX, EIO)];
    for fault in broken_off {
        let what = format!("{fault:?}");
        let is_there = matches!(fault, Fault::Torn(..));
        let (memory, clock) = (MemoryFileSystem::new(), Arc::new(ManualClock::at(1_000_000)));
        let disk = FaultyFileSystem::over(Arc::new(memory.clone()));
        let builder = Store::builder("/store").file_system(disk.clone()).clock(clock.clone());
        let store = builder.maintain_by_hand().open().unwrap();
        for topic in ["jobs", "other"] {
            store.create_topic(topic, TopicConfig::new()).unwrap();
        }
        let mut tx = store.transaction("first").unwrap();
        ["jobs", "other"].iter().for_each(|topic| tx.send(Record::to(topic).value("first")).unwrap());
        tx.commit().unwrap();
        let schedule = store.schedule();
        let later = |key: &str, millis| {
            let record = Record::to("jobs").key(key).value(key);
            schedule.deliver_after(record, Duration::from_millis(millis)).unwrap();
        };
        // They wait on different steps, the second one on that from which it goes to its topic.
        later("far", 100_000_000);
        later("cancelled", 16);
        // The decision is there, and its write was said to have failed; or it came to nothing.
        disk.fail(&[Call::Write], DECISIONS, (0, Times::Once), fault);
        disk.fail(&[Call::SetLen], DECISIONS, (0, Times::ForEver), Fault::Error(EIO));
        for _ in 0..200 {
            clock.advance(Duration::from_millis(16));
            drop(catch_unwind(AssertUnwindSafe(|| store.maintain())));
        }
        let cancelled = schedule.cancel("jobs", "cancelled");
        assert!(matches!(cancelled, Err(Error::OffsetUndecided { .. })), "{what}: {cancelled:?}");
        assert_eq!(schedule.cancel("jobs", "far").unwrap(), 1, "{what}: nothing has moved it");
        assert_eq!(schedule.cancel("jobs", "nobody").unwrap(), 0, "{what}");
        let world = World { disk: memory, clock, store }.killed();
        let was_delivered = world.values("jobs").contains(&"cancelled".to_owned());
        assert_eq!(was_delivered, is_there, "{what}");
        let waited = world.store.schedule().cancel("jobs", "cancelled").unwrap();
        assert_eq!(waited, u64::from(!was_delivered), "{what}");
        for _ in 0..60 {
            world.pass(30);
            world.store.maintain().unwrap();
        }
        let jobs = world.values("jobs");
        let times = jobs.iter().filter(|job| *job == "cancelled").count();
        assert_eq!(times, usize::from(was_delivered), "{what}");
    }
}
