//! Workers of queues in another process than the owner, and what is lost, full, broken or killed meanwhile.

use std::path::Path;
use std::time::Duration;

use annals::{Durability, Error, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

use crate::common::by_hand;
use crate::hooked::{Hook, Hooked};
use crate::workers::settings;
use crate::world::{
    GROUP, ORDERS, ack_all, attach, attach_hooked, attached, copy_of, counts, cut_log, failing, fill, killed,
    length_of, letters, make_room, offsets, open, open_on, owned, send, steps, take, take_at_home, worked,
    worked_on,
};

/// What a queue has done holds whether the owner lives or not, and when the next one has folded it: once or twice.
#[test]
fn steps_hold_whoever_dies_and_folding_twice_changes_nothing() {
    let (dir, store, reader) = attached(10);
    let mut worker =
        settings(reader.queue_builder(ORDERS, GROUP)).durability(Durability::Disk).build().unwrap();
    ack_all(take(&mut worker, 3));
    // The owner dies, and the worker goes on.
    std::mem::forget(store);
    let mut taken = take(&mut worker, 4).into_iter();
    taken.next().unwrap().ack().unwrap();
    taken.next().unwrap().reject("it is broken").unwrap();
    let (out, back) = (taken.next().unwrap(), taken.next().unwrap());
    back.put_back().unwrap();
    // A count is not synced: the last step may be torn.
    let again = take(&mut worker, 1);
    assert_eq!(reader.stats().unwrap().queues[0].unfinished, 6, "the letter is not written");
    let before: Vec<_> =
        steps(dir.path()).into_iter().map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect();
    let look = |dir: &Path| {
        let store = open(dir);
        let first = letters(&store);
        let mut home = settings(store.queue_builder(ORDERS, GROUP)).build().unwrap();
        let mut found = Vec::new();
        loop {
            let taken = take(&mut home, 9);
            if taken.is_empty() {
                break;
            }
            found.extend(counts(&taken));
            ack_all(taken);
        }
        found.sort_unstable();
        assert!(steps(dir).is_empty(), "it was folded");
        store.close().unwrap();
        (first, found)
    };
    let expected_letters = vec![(4, 1, "it is broken".to_owned())];
    let expected = vec![(5, 2), (6, 2), (7, 1), (8, 1), (9, 1)];
    let once = copy_of(dir.path());
    assert_eq!(look(once.path()), (expected_letters.clone(), expected.clone()));
    // A crash between the two steps of a fold leaves them in both places.
    let twice = copy_of(dir.path());
    open(twice.path()).close().unwrap();
    for (path, bytes) in &before {
        std::fs::write(twice.path().join(path.file_name().unwrap()), bytes).unwrap();
    }
    assert_eq!(look(twice.path()), (expected_letters, expected));
    // What was cut off in the middle of a step is that step alone.
    let torn = copy_of(dir.path());
    let (path, bytes) = &before[0];
    std::fs::write(torn.path().join(path.file_name().unwrap()), &bytes[..bytes.len() - 3]).unwrap();
    let (_, found) = look(torn.path());
    assert_eq!(found[..2], [(5, 2), (6, 1)], "the last step was that it was taken");
    drop((out, again));
}

/// What was read while it had to wait for its key, and handed out later, is known to be out when another owner comes.
#[test]
fn a_message_that_is_out_is_not_handed_out_again_because_the_owner_is_another() {
    let (dir, store) = owned(0);
    let send = |store: &Store| {
        _ = store.producer().send(Record::to(ORDERS).partition(0).key("alice").value("x")).unwrap()
    };
    send(&store);
    let reader = attach(dir.path());
    let mut worker = reader.queue_builder(ORDERS, GROUP).ordered_by_key().build().unwrap();
    let first = take(&mut worker, 9);
    send(&store);
    assert!(take(&mut worker, 9).is_empty());
    ack_all(first);
    let second = take(&mut worker, 9);
    assert_eq!(offsets(&second), [1]);
    store.close().unwrap();
    let store = open(dir.path());
    assert!(take(&mut worker, 9).is_empty());
    send(&store);
    assert!(take(&mut worker, 9).is_empty());
    ack_all(second);
    assert_eq!(offsets(&take(&mut worker, 9)), [2]);
}

/// One that was out when its process died, more than once, is tried alone, by whoever has the queue next.
#[test]
fn what_may_have_ended_a_process_elsewhere_is_tried_alone() {
    let (dir, store, reader) = attached(4);
    // This owner has worked on it before, and knows nothing of what comes.
    let mut home = store.queue(ORDERS, GROUP).unwrap();
    take(&mut home, 4).into_iter().for_each(|message| message.put_back().unwrap());
    drop(home);
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    take(&mut worker, 4).into_iter().for_each(|message| message.release(Duration::ZERO).unwrap());
    std::mem::forget(take(&mut worker, 4));
    let copy = copy_of(dir.path());
    let elsewhere = attach(copy.path());
    assert_eq!(take(&mut elsewhere.queue(ORDERS, GROUP).unwrap(), 9).len(), 1);
    drop((worker, reader));
    let mut home = store.queue(ORDERS, GROUP).unwrap();
    let alone = take(&mut home, 9);
    assert_eq!((alone.len(), alone[0].delivery_count()), (1, 3));
}

/// The rule holds in any process, over all queues that it has.
#[test]
fn a_last_attempt_elsewhere_is_out_beside_nothing_that_may_end_the_process() {
    let (dir, store) = owned(1);
    store.producer().send(Record::to(ORDERS).partition(1).value("0")).unwrap();
    let reader = attach(dir.path());
    let [one, two] = [GROUP, "billing"].map(|group| reader.queue_builder(ORDERS, group).delivery_limit(2));
    for queue in [&one, &two] {
        take(&mut queue.clone().build().unwrap(), 9).into_iter().for_each(drop);
    }
    let (mut one, mut two) = (one.build().unwrap(), two.build().unwrap());
    let first = take(&mut one, 9);
    assert_eq!(first.len(), 1);
    assert!(take(&mut one, 9).is_empty() && take(&mut two, 9).is_empty());
    let second = std::thread::scope(|scope| {
        let waits = scope.spawn(|| two.take(9, Duration::from_secs(10)).unwrap());
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waits.is_finished());
        ack_all(first);
        waits.join().unwrap()
    });
    assert_eq!(second.len(), 1, "nobody was woken");
    assert!(take(&mut one, 9).is_empty() && take(&mut two, 9).is_empty());
    ack_all(second);
    for _ in 0..2 {
        let out: Vec<_> = [&mut one, &mut two].into_iter().flat_map(|worker| take(worker, 9)).collect();
        assert_eq!(out.len(), 1);
        ack_all(out);
    }
    assert!(take(&mut one, 9).is_empty() && take(&mut two, 9).is_empty());
}

/// It was found behind an older one of its key, and handed out later.
#[test]
fn a_message_that_had_to_wait_for_its_key_and_is_done_does_not_come_again_with_another_owner() {
    let (dir, store) = owned(0);
    let keyed = || Record::to(ORDERS).partition(0).key("k").value("x");
    store.producer().send(keyed()).unwrap();
    let reader = attach(dir.path());
    let mut worker = reader.queue_builder(ORDERS, GROUP).ordered_by_key().build().unwrap();
    let first = take(&mut worker, 9);
    store.producer().send(keyed()).unwrap();
    assert!(take(&mut worker, 9).is_empty());
    ack_all(first);
    let second = take(&mut worker, 9);
    assert_eq!(offsets(&second), [1]);
    ack_all(second);
    drop(store);
    let store = open(dir.path());
    assert!(take(&mut worker, 9).is_empty(), "it was acknowledged");
    store.producer().send(keyed()).unwrap();
    assert_eq!(offsets(&take(&mut worker, 9)), [2]);
}

/// A power cut that takes records takes what was done of them, and the next records there are handed out.
#[test]
fn steps_of_records_that_a_power_cut_took_are_cut() {
    let (dir, store, _reader, mut worker) = worked(3);
    ack_all(take(&mut worker, 3));
    let length = length_of(&store, ORDERS);
    send(&store, 3);
    let mut taken = take(&mut worker, 3);
    taken.remove(0).reject("no").unwrap();
    ack_all(taken);
    let copy = killed(store, dir.path());
    cut_log(copy.path(), ORDERS, length);
    // Without an owner, what is not there is not done.
    let elsewhere = attach(copy.path());
    let mut without = elsewhere.queue(ORDERS, GROUP).unwrap();
    assert!(take(&mut without, 9).is_empty());
    let store = open(copy.path());
    send(&store, 3);
    // Whoever had the queue does not know what is there any more, and is told.
    let refused = without.take(9, Duration::ZERO);
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    drop(without);
    let mut anew = elsewhere.queue(ORDERS, GROUP).unwrap();
    let messages = take(&mut anew, 9);
    assert_eq!(counts(&messages), [(3, 1), (4, 1), (5, 1)]);
    ack_all(messages);
    drop(anew);
    assert!(letters(&store).is_empty());
    assert!(take_at_home(&store).is_empty());
}

#[test]
fn a_full_disk_hands_nothing_out_and_takes_no_answer() {
    let (dir, store) = owned(4);
    let (hooked, reader) = attach_hooked(dir.path());
    let mut worker = reader.queue_builder(ORDERS, GROUP).build().unwrap();
    let mut taken = take(&mut worker, 2);
    fill(&hooked, "annals.steps");
    let refused = taken.remove(0).ack();
    assert!(refused.as_ref().is_err_and(Error::is_disk_full), "{refused:?}");
    let refused = worker.take(2, Duration::ZERO);
    assert!(refused.as_ref().is_err_and(Error::is_disk_full), "{refused:?}");
    make_room(&hooked);
    taken.remove(0).ack().unwrap();
    let next = take(&mut worker, 9);
    assert_eq!(counts(&next), [(2, 1), (3, 1)]);
    ack_all(next);
    drop(worker);
    let mut home = store.queue(ORDERS, GROUP).unwrap();
    assert_eq!(counts(&take(&mut home, 9)), [(0, 2)]);
}

/// The owner's disk is full: the queue goes on elsewhere, and is nobody's at home before there is room.
#[test]
fn an_owner_that_cannot_fold_does_not_take_the_queue() {
    let hooked = Hooked::new();
    let (_dir, store, reader, mut worker) = worked_on(&hooked, 4);
    ack_all(take(&mut worker, 2));
    drop(worker);
    fill(&hooked, "__share_group_state");
    let refused = store.queue(ORDERS, GROUP);
    assert!(refused.as_ref().is_err_and(Error::is_disk_full), "{refused:?}");
    make_room(&hooked);
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    ack_all(take(&mut worker, 1));
    drop(worker);
    assert_eq!(offsets(&take_at_home(&store)), [3]);
}

#[test]
fn a_broken_step_is_told_and_stops_no_other_queue() {
    let (dir, store, reader) = attached(4);
    // What was synced.
    let builder = reader.queue_builder(ORDERS, GROUP).durability(Durability::Disk);
    let mut worker = builder.build().unwrap();
    ack_all(take(&mut worker, 1));
    store.maintain().unwrap();
    ack_all(take(&mut worker, 2));
    drop(worker);
    let path = steps(dir.path()).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    for refused in [reader.queue(ORDERS, GROUP), store.queue(ORDERS, GROUP)] {
        assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    }
    assert!(matches!(store.maintain(), Err(Error::Corrupt { .. })));
    let copy = copy_of(dir.path());
    let forgets = open(copy.path());
    forgets.delete_group(GROUP).unwrap();
    assert_eq!(offsets(&take(&mut forgets.queue(ORDERS, GROUP).unwrap(), 1)), [0]);
    ack_all(take(&mut reader.queue(ORDERS, "billing").unwrap(), 1));
    assert_eq!(offsets(&take(&mut store.queue(ORDERS, "billing").unwrap(), 1)), [1]);
    store.close().unwrap();
    let store = open(dir.path());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(offsets(&take(&mut store.queue(ORDERS, GROUP).unwrap(), 1)), [1]);
}

/// What is wrong with a topic's files can be set right: its queues go on where they were.
#[test]
fn states_of_queues_on_a_topic_that_cannot_be_opened_are_there_when_it_can() {
    let (dir, store) = owned(0);
    store.create_topic("another", TopicConfig::new()).unwrap();
    send(&store, 3);
    ack_all(take(&mut store.queue(ORDERS, GROUP).unwrap(), 1));
    ack_all(take(&mut attach(dir.path()).queue(ORDERS, "billing").unwrap(), 2));
    let copy = killed(store, dir.path());
    let state = copy.path().join("orders-0/annals.state");
    let sound = std::fs::read(&state).unwrap();
    std::fs::write(&state, "nothing that anybody understands").unwrap();
    let store = by_hand(copy.path()).open().unwrap();
    assert!(store.topic(ORDERS).is_err());
    store.delete_topic("another").unwrap();
    store.maintain().unwrap();
    store.close().unwrap();
    std::fs::write(&state, sound).unwrap();
    let store = open(copy.path());
    assert_eq!(offsets(&take_at_home(&store)), [1, 2]);
    assert_eq!(offsets(&take(&mut store.queue(ORDERS, "billing").unwrap(), 9)), [2]);
}

/// A power cut takes records that a queue had done at home. The owner sends others in their place while another process reads what is
/// written of the queue.
#[test]
fn records_sent_in_the_place_of_lost_ones_while_a_process_takes_the_queue_are_handed_out() {
    let (dir, store) = owned(3);
    ack_all(take_at_home(&store));
    let length = length_of(&store, ORDERS);
    send(&store, 3);
    ack_all(take_at_home(&store));
    let copy = killed(store, dir.path());
    cut_log(copy.path(), ORDERS, length);
    // No room at the open: what it has cut is written before the first record.
    let files = FaultyFileSystem::new();
    let writes = [Call::Write, Call::Allocate, Call::Create];
    files.fail(&writes, "__share_group_state", (0, Times::ForEver), Fault::Error(28));
    let store = open_on(copy.path(), failing(&files));
    files.heal();
    let (hooked, reader) = attach_hooked(copy.path());
    let sender = store.clone();
    hooked.at_open(move |path| {
        if !path.to_string_lossy().contains("orders-0") {
            return Ok(Hook::Stays);
        }
        send(&sender, 2);
        Ok(Hook::IsOver)
    });
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    assert!(hooked.is_over());
    assert_eq!(offsets(&take(&mut worker, 9)), [3, 4]);
}
