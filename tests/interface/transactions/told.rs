//! Of what a caller is told that it survives a power cut: all that it rests on does, and what it does not rest on keeps nobody.

use std::time::Duration;

use annals::{Consumer, Durability, Partition, Record, TopicConfig};
use annals_testing::{Call, Fault, Times};

use crate::transactions::laid_over::{World, is_poisoned};

const ENOSPC: i32 = 28;

/// In topics `q` and `r`, and at a position of another group: what a transaction rests on that cannot become durable, and that all others have
/// seen that commit offsets.
fn with_a_decision_in_the_way() -> World {
    let world = World::new();
    for topic in ["q", "r"] {
        world.store.create_topic(topic, TopicConfig::new()).unwrap();
    }
    append(&world.partition("q"));
    let mut others = world.store.consumer("others").unwrap();
    others.assign([("q", 0)]).unwrap();
    others.poll(Duration::ZERO).unwrap();
    let mut tx = world.store.transaction("stuck").unwrap();
    tx.send(Record::to("q").value("stuck")).unwrap();
    tx.send(Record::to("r").value("stuck")).unwrap();
    tx.commit_offsets(&others).unwrap();
    tx.commit().unwrap();
    world.disk.fail(&[Call::Sync], "q-0", (0, Times::ForEver), Fault::Error(5));
    world.partition("q").flush().unwrap_err();
    world
}

fn append(partition: &Partition) {
    partition.append(&[Record::new().value("work")], Durability::Disk).unwrap();
}

/// One that commits by itself, so that it survives a power cut, what it has read of `in` and `other`.
fn automatic(world: &World, interval: Duration) -> Consumer {
    let consumer = world.store.consumer_builder().group("g").commit_durability(Durability::Disk);
    let mut consumer = consumer.auto_commit(interval).build().unwrap();
    consumer.assign([("in", 0), ("other", 0)]).unwrap();
    consumer
}

fn at(world: &World, topic: &str) -> Option<i64> {
    world.store.committed("g").get(&(topic, 0).into()).map(|at| at.offset)
}

#[test]
fn a_position_that_was_committed_at_os_hid_the_work_below_it_from_later_ones() {
    for kills in [false, true] {
        for later in ["disk", "task", "transaction"] {
            let mut world = World::new();
            let mut consumer = world.consumer(Durability::Os);
            world.step(&mut consumer, ("first", "x")).unwrap();
            world.read_ten(&mut consumer);
            consumer.commit().unwrap();
            drop(consumer);
            if kills {
                world = world.after_a_kill();
            }
            world.poison();
            let mut consumer = world.consumer(Durability::Disk);
            world.read_ten(&mut consumer);
            let outcome = match later {
                "disk" => consumer.commit(),
                "task" => smol::block_on(consumer.commit_async()),
                _ => world.step(&mut consumer, ("second", "y")),
            };
            // What an earlier life has left may be there in the next one, and then so are both.
            let is_told = kills && later == "transaction";
            assert_eq!(outcome.is_ok(), is_told, "killed: {kills}, {later}: {outcome:?}");
        }
    }
}

#[test]
fn a_second_commit_of_a_task_did_not_wait_for_the_work_that_the_first_one_went_over() {
    let world = World::new();
    let mut consumer = world.consumer(Durability::Os);
    world.step(&mut consumer, ("first", "x")).unwrap();
    world.read_ten(&mut consumer);
    drop(consumer.commit_async());
    world.read_ten(&mut consumer);
    smol::block_on(consumer.commit_async()).unwrap();
    drop(consumer);
    let world = world.after_a_power_cut();
    assert_eq!((world.committed(), world.values("x").len()), (30, 1));
}

#[test]
fn a_position_that_goes_back_to_the_beginning_stands_over_no_work() {
    let world = World::new();
    let mut consumer = world.consumer(Durability::Os);
    world.step(&mut consumer, ("first", "x")).unwrap();
    world.poison();
    consumer.commit_offsets([(("in", 0).into(), 0)]).unwrap();
    consumer.seek(("in", 0), 0).unwrap();
    world.step(&mut consumer, ("second", "y")).unwrap();
}

#[test]
fn a_task_was_told_that_a_commit_is_durable_over_work_of_an_earlier_life_that_a_power_cut_took_back() {
    let world = World::new();
    let mut consumer = world.consumer(Durability::Os);
    world.step(&mut consumer, ("first", "x")).unwrap();
    drop(consumer);
    let world = world.after_a_kill();
    world.disk.fail(&[Call::Sync], "x-0", (0, Times::ForEver), Fault::Error(5));
    let mut consumer = world.consumer(Durability::Os);
    world.read_ten(&mut consumer);
    let told = smol::block_on(consumer.commit_async());
    drop(consumer);
    let told = told.and_then(|()| world.partition("in").flush());
    world.after_a_power_cut().check();
    assert!(told.is_err());
}

#[test]
fn a_task_failed_for_a_decision_that_has_nothing_to_do_with_it() {
    let world = with_a_decision_in_the_way();
    let mut consumer = world.consumer(Durability::Os);
    world.step(&mut consumer, ("first", "x")).unwrap();
    smol::block_on(consumer.commit_async()).unwrap();
    world.step(&mut consumer, ("second", "y")).unwrap();
    let mut reader = world.store.consumer("readers").unwrap();
    reader.assign([("y", 0)]).unwrap();
    reader.poll(Duration::ZERO).unwrap();
    smol::block_on(reader.commit_async()).unwrap();
    // What rests on that is told.
    let mut reader = world.store.consumer("readers of it").unwrap();
    reader.assign([("r", 0)]).unwrap();
    reader.poll(Duration::ZERO).unwrap();
    is_poisoned(smol::block_on(reader.commit_async()));
    drop((consumer, reader));
    let world = world.after_a_power_cut();
    assert_eq!((world.values("x").len(), world.values("y").len()), (1, 1));
}

#[test]
fn a_flush_without_a_thread_left_half_of_a_transaction_to_be_taken_back() {
    for flushes_topic in [false, true] {
        let world = World::new();
        let mut tx = world.store.transaction("both").unwrap();
        tx.send(Record::to("x").value("half")).unwrap();
        tx.send(Record::to("y").value("half")).unwrap();
        tx.commit().unwrap();
        let producer = world.store.producer();
        smol::block_on(if flushes_topic {
            producer.bind("x").unwrap().flush_async()
        } else {
            world.partition("x").flush_async()
        })
        .unwrap();
        drop(producer);
        let world = world.after_a_power_cut();
        assert_eq!(
            (world.values("x"), world.values("y")),
            (vec!["half".to_owned()], vec!["half".to_owned()])
        );
    }
    let world = with_a_decision_in_the_way();
    is_poisoned(smol::block_on(world.partition("r").flush_async()));
    smol::block_on(world.partition("in").flush_async()).unwrap();
}

#[test]
fn what_was_committed_automatically_came_again_for_a_position_that_was_left_out() {
    let world = World::new();
    world.store.create_topic("other", TopicConfig::new()).unwrap();
    let mut first = world.consumer(Durability::Os);
    world.step(&mut first, ("first", "x")).unwrap();
    drop(first);
    world.poison();
    let mut consumer = automatic(&world, Duration::ZERO);
    append(&world.partition("other"));
    world.read_ten(&mut consumer);
    consumer.poll(Duration::ZERO).unwrap();
    assert!(consumer.auto_commit_failure().is_some());
    assert_eq!((at(&world, "in"), at(&world, "other")), (Some(10), Some(1)));
    let mut tx = world.store.transaction("aborted").unwrap();
    tx.commit_offsets(&consumer).unwrap();
    tx.abort().unwrap();
    let again = consumer.poll(Duration::ZERO).unwrap();
    let topics: Vec<_> = again.iter().map(|record| record.topic().to_owned()).collect();
    assert_eq!(topics, ["in"; 10], "and nothing of what is committed");
}

#[test]
fn an_automatic_commit_that_has_committed_all_said_that_it_failed() {
    let mut outcomes = [0, 0];
    for failures in [0, 1, 2, 3, 4, 5, 40] {
        let world = World::new();
        world.store.create_topic("other", TopicConfig::new()).unwrap();
        let mut first = world.consumer(Durability::Os);
        world.step(&mut first, ("first", "x")).unwrap();
        drop(first);
        let world = world.after_a_kill();
        // There is no room for a copy of what the earlier life has left, so often.
        for nth in 0..failures {
            world.disk.fail(&[Call::Sync], "x-0", (nth, Times::Once), Fault::Error(ENOSPC));
        }
        let mut consumer = automatic(&world, Duration::from_secs(3600));
        append(&world.partition("other"));
        world.read_ten(&mut consumer);
        let told = consumer.close();
        let is_all = at(&world, "in") == Some(20);
        assert_eq!(told.is_ok(), is_all, "{failures}: {told:?}");
        assert_eq!(at(&world, "other"), Some(1), "{failures}");
        if is_all {
            let world = world.after_a_power_cut();
            assert_eq!((world.committed(), world.values("x").len()), (20, 1), "{failures}");
        }
        outcomes[usize::from(is_all)] += 1;
    }
    assert!(outcomes.iter().all(|times| *times > 0), "{outcomes:?}");
}

#[test]
fn a_position_that_has_not_moved_over_work_that_is_taken_back_kept_a_consumer_from_committing_others() {
    let world = World::new();
    world.store.create_topic("other", TopicConfig::new()).unwrap();
    let mut consumer = world.store.consumer("g").unwrap();
    consumer.assign([("in", 0), ("other", 0)]).unwrap();
    world.step(&mut consumer, ("first", "x")).unwrap();
    world.poison();
    append(&world.partition("other"));
    consumer.poll(Duration::ZERO).unwrap();
    let mut tx = world.store.transaction("second").unwrap();
    tx.send(Record::to("y").value("of other")).unwrap();
    tx.commit_offsets(&consumer).unwrap();
    tx.commit().unwrap();
    drop(consumer);
    world.sync_the_rest();
    let world = world.after_a_power_cut();
    assert_eq!((world.committed(), world.values("x").len()), (0, 0));
    assert_eq!((at(&world, "other"), world.values("y").len()), (Some(1), 1));
}

/// It stands where it stood; the work is another.
#[test]
fn work_that_was_done_once_more_stood_without_the_position_that_it_was_done_to() {
    let world = World::new();
    let mut consumer = world.consumer(Durability::Os);
    world.step(&mut consumer, ("first", "x")).unwrap();
    world.poison();
    // Nothing was read since: the position is left out.
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    let again = |consumer: &Consumer, name: &str| {
        let mut tx = world.store.transaction_builder(name).durability(Durability::Disk).begin().unwrap();
        tx.send(Record::to("y").value(name)).unwrap();
        tx.commit_offsets(consumer).unwrap();
        tx.commit()
    };
    again(&consumer, "untouched").unwrap();
    consumer.seek(("in", 0), 0).unwrap();
    while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
    is_poisoned(again(&consumer, "second"));
    drop(consumer);
    world.sync_the_rest();
    let world = world.after_a_power_cut();
    assert_eq!((world.committed(), world.values("y")), (0, vec!["untouched".to_owned()]));
}
