//! Ids of records that others take out beside their senders, or before they are read.

use std::thread;

use annals::{CleanupPolicy, Error, TopicConfig};
use annals_testing::{Call, Fault, Times};

use crate::ids_kept::{Frail, ids, is_known, send};

/// What the deletion was asked for is not there yet when it has ids written, and is when it takes records out.
#[test]
fn an_id_outlives_a_record_that_was_sent_beside_a_deletion_up_to_it() {
    let frail = Frail::new();
    let partition = frail.store.create_topic("jobs", TopicConfig::new()).unwrap().partition(0).unwrap();
    let of_jobs = ids(&frail.store, "jobs");
    for round in 0..50_i64 {
        let id = format!("meanwhile {round}");
        thread::scope(|scope| {
            let deletion = scope.spawn(|| {
                while matches!(partition.delete_records(round + 1), Err(Error::OffsetOutOfRange { .. })) {}
            });
            send(&of_jobs, &id, 0);
            deletion.join().unwrap();
        });
        assert_eq!(partition.start(), round + 1);
        assert!(is_known(&frail.killed().store, "jobs", &id), "{id}");
    }
}

/// They are in the records alone, and the next round knows no more of them.
#[test]
fn no_compaction_takes_records_while_the_ids_of_an_earlier_life_cannot_be_read() {
    let frail = Frail::new();
    let config = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).segment_bytes(1024);
    let config = config.min_cleanable_dirty_ratio(0.0);
    frail.store.create_topic("jobs", config).unwrap();
    let of_jobs = ids(&frail.store, "jobs");
    (0..20_u32).for_each(|id| send(&of_jobs, &id.to_string(), 0));
    let next = frail.killed();
    let jobs = next.store.topic("jobs").unwrap().partition(0).unwrap();
    let there = || jobs.read(..).unwrap().into_iter().count();
    next.faulty.fail(
        &[Call::Open, Call::Read, Call::Map],
        "__message_ids-0",
        (0, Times::ForEver),
        Fault::Error(5),
    );
    assert!(next.store.maintain().is_err());
    assert_eq!(there(), 20);
    let after = next.killed();
    (0..20_u32).for_each(|id| assert!(is_known(&after.store, "jobs", &id.to_string()), "{id}"));
    next.faulty.heal();
    next.store.maintain().unwrap();
    assert!(there() < 20);
}
