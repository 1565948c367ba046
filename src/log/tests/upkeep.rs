//! What partitions put down for later, and when it is due.

use super::place::Place;
use super::*;
use crate::doubles::{Call, FaultyFileSystem};
use crate::io::Deadline;
use crate::upkeep::{Due, Reason, Turn};

const HOUR: Duration = Duration::from_secs(3600);

/// Partitions that share this agenda.
fn logs<const N: usize>(places: &[Place; N], agenda: &Arc<Agenda>) -> [Arc<Log>; N] {
    std::array::from_fn(|at| {
        let place = &places[at];
        let mut context = context(&place.directory(), place.mode, Arc::clone(&place.clock));
        context.agenda = Arc::clone(agenda);
        context.options.sync_every_bytes = 160;
        Log::open(context, config(100_000)).unwrap().0
    })
}

fn places<const N: usize>() -> [Place; N] {
    std::array::from_fn(|_| Place::new(ReadMode::Mapped))
}

/// What is to be done for which log.
fn named(due: &[Due], logs: &[Arc<Log>]) -> Vec<(Reason, usize)> {
    due.iter().map(|due| (due.reason, logs.iter().position(|log| due.is_of(log)).unwrap())).collect()
}

#[test]
fn batches_are_written_in_the_order_in_which_their_lingers_end() {
    let (places, agenda) = (places(), Arc::new(Agenda::new(HOUR, Duration::MAX)));
    let logs: [_; 4] = logs(&places, &agenda);
    for (at, linger) in [HOUR, Duration::ZERO, Duration::ZERO, HOUR / 2].into_iter().enumerate() {
        assert_eq!(agenda.add_lingering(&logs[at], Deadline::after(linger)).1, at + 1);
    }
    assert_eq!(named(&agenda.due(), &logs), [(Reason::Due, 1), (Reason::Due, 2)]);
    assert!(agenda.due().is_empty());
    // To make room, the oldest goes, due or not.
    for expected in [3, 0] {
        let oldest = agenda.oldest_lingering().unwrap();
        assert_eq!(named(&[oldest], &logs), [(Reason::Room, expected)]);
    }
    assert!(agenda.oldest_lingering().is_none());
}

#[test]
fn whoever_waits_is_told_what_is_due_and_when_it_is_over() {
    let (places, agenda) = (places(), Arc::new(Agenda::new(HOUR, Duration::MAX)));
    let logs: [_; 2] = logs(&places, &agenda);
    agenda.add_lingering(&logs[0], Deadline::after(HOUR));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| agenda.wait());
        // Most likely it sleeps by now, until the first linger ends. One that ends earlier wakes it.
        std::thread::sleep(Duration::from_millis(20));
        agenda.add_lingering(&logs[1], Deadline::after(Duration::from_millis(1)));
        assert_eq!(named(&waiter.join().unwrap().unwrap(), &logs), [(Reason::Due, 1)]);
        let waiter = scope.spawn(|| agenda.wait());
        let rounds = scope.spawn(|| agenda.wait_for_round());
        agenda.stop();
        assert!(rounds.join().unwrap().is_none());
        assert!(waiter.join().unwrap().is_none());
    });
    assert!(agenda.wait().is_none(), "it stays stopped");
}

#[test]
fn a_look_at_all_partitions_is_due_every_so_often() {
    let agenda = Agenda::new(HOUR, Duration::from_millis(1));
    for _ in 0..3 {
        assert_eq!(agenda.wait_for_round(), Some(Turn::Round));
    }
}

#[test]
fn what_others_have_done_is_taken_over_before_the_next_look_at_all_partitions() {
    let agenda = Agenda::new(HOUR, HOUR);
    std::thread::scope(|scope| {
        let rounds = scope.spawn(|| agenda.wait_for_round());
        std::thread::sleep(Duration::from_millis(20));
        agenda.fold_at(Deadline::after(Duration::from_millis(1)));
        // The first of the wishes counts.
        agenda.fold_at(Deadline::after(HOUR));
        assert_eq!(rounds.join().unwrap(), Some(Turn::Fold));
    });
    assert!(agenda.due().is_empty(), "it is nothing for the other thread");
    let agenda = Agenda::new(HOUR, Duration::from_millis(1));
    agenda.fold_at(Deadline::after(HOUR));
    assert_eq!(agenda.wait_for_round(), Some(Turn::Round));
    agenda.fold_at(Deadline::after(HOUR));
    assert_eq!(agenda.wait_for_round(), Some(Turn::Round), "which has folded, too");
}

#[test]
fn a_sync_is_due_after_its_time_or_when_much_is_unsynced() {
    let (places, agenda) = (places(), Arc::new(Agenda::new(HOUR, Duration::MAX)));
    let logs: [_; 2] = logs(&places, &agenda);
    append(&logs[0], 0..1, Durability::Os);
    assert!(agenda.due().is_empty(), "two batches are less than 160 bytes");
    append(&logs[1], 0..1, Durability::Os);
    append(&logs[1], 1..2, Durability::Os);
    assert!(agenda.due().is_empty());
    append(&logs[1], 2..3, Durability::Os);
    // One sync is for all.
    assert_eq!(named(&agenda.due(), &logs), [(Reason::Sync, 0), (Reason::Sync, 1)]);
    logs.iter().for_each(|log| log.sync_in_background().unwrap());
    assert_eq!(logs.each_ref().map(|log| log.durable()), [1, 3]);
    append(&logs[1], 3..4, Durability::Os);
    assert!(agenda.due().is_empty(), "it is counted from the sync on");

    let soon = Arc::new(Agenda::new(Duration::from_millis(1), Duration::MAX));
    let places: [_; 1] = self::places();
    let logs: [_; 1] = self::logs(&places, &soon);
    append(&logs[0], 0..1, Durability::Os);
    assert_eq!(named(&soon.wait().unwrap(), &logs), [(Reason::Sync, 0)]);
}

#[test]
fn a_record_in_memory_is_on_the_list_once_and_again_after_its_linger() {
    let (places, agenda) = (places(), Arc::new(Agenda::new(HOUR, Duration::MAX)));
    let logs: [_; 2] = logs(&places, &agenda);
    let put = |log: &Arc<Log>, linger: Duration| {
        let how = Append { linger, ..how(Durability::Memory) };
        log.append(&[Record::new().value("value")], &how).unwrap();
        agenda.lingering()
    };
    for end in [2, 4] {
        assert_eq!([put(&logs[0], HOUR), put(&logs[0], HOUR)], [1, 1]);
        assert_eq!(logs[0].end(), end - 2, "nobody has written it");
        let oldest = agenda.oldest_lingering().unwrap();
        oldest.run().unwrap();
        assert_eq!(logs[0].end(), end);
    }
    assert_eq!([put(&logs[1], HOUR), put(&logs[0], HOUR)], [1, 2]);
    // Without a linger it is written by who sends it.
    put(&logs[1], Duration::ZERO);
    assert_eq!(logs[1].end(), 2);
    // A full batch is written by who fills it; what is behind it stays.
    let mut sent = 5;
    while logs[0].end() == 4 {
        put(&logs[0], HOUR);
        sent += 1;
    }
    assert!((5..sent).contains(&logs[0].end()), "{} of {sent}", logs[0].end());
}

/// Puts a record down in memory and returns what is due then.
fn due_after(log: &Arc<Log>, agenda: &Agenda, linger: Duration, batch_bytes: usize, len: usize) -> usize {
    let how = Append { linger, batch_bytes, ..how(Durability::Memory) };
    log.append(&[Record::new().value(&vec![b'v'; len])], &how).unwrap();
    agenda.due().into_iter().map(|due| due.run().unwrap()).count()
}

#[test]
fn a_record_waits_no_longer_than_its_own_linger_whoever_came_first() {
    const NOW: Duration = Duration::from_nanos(1);
    for first in [HOUR, Duration::MAX] {
        let (places, agenda) = (places(), Arc::new(Agenda::new(HOUR, Duration::MAX)));
        let logs: [_; 1] = logs(&places, &agenda);
        assert_eq!(due_after(&logs[0], &agenda, first, 300, 1), 0);
        assert_eq!(due_after(&logs[0], &agenda, NOW, 300, 1), 1, "the second has a shorter linger");
        assert_eq!(logs[0].end(), 2);
        // And once more: what the first had put down is not in the way of those who follow.
        assert_eq!(due_after(&logs[0], &agenda, NOW, 300, 1), 1);
        assert_eq!(logs[0].end(), 3);
    }
}

#[test]
fn a_batch_keeps_its_linger_when_the_one_before_it_is_written() {
    let (places, agenda) = (places(), Arc::new(Agenda::new(HOUR, Duration::MAX)));
    let logs: [_; 1] = logs(&places, &agenda);
    let (log, soon) = (&logs[0], Duration::from_millis(300));
    due_after(log, &agenda, soon, 300, 1);
    log.flush().unwrap();
    due_after(log, &agenda, HOUR, 300, 1);
    std::thread::sleep(soon);
    agenda.due().into_iter().for_each(|due| due.run().unwrap());
    assert_eq!(log.end(), 1, "it had an hour");
    let oldest = agenda.oldest_lingering().expect("it is on the list again");
    oldest.run().unwrap();
    assert_eq!(log.end(), 2);
}

/// A chore of a layer above.
#[derive(Debug, Default)]
struct Timeout(crate::locks::AtomicU64);

impl crate::upkeep::Chore for Timeout {
    fn run(self: Arc<Self>, reason: Reason) -> crate::error::Result<()> {
        assert_eq!(reason, Reason::Due);
        self.0.fetch_add(1, crate::locks::Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn a_timer_runs_at_its_time_and_not_when_it_was_taken_back() {
    let agenda = Agenda::new(HOUR, Duration::MAX);
    let timeouts: [Arc<Timeout>; 3] = Default::default();
    let at = |linger| Deadline::after(linger);
    agenda.add_timer(&timeouts[0], at(Duration::ZERO));
    let ticket = agenda.add_timer(&timeouts[1], at(Duration::ZERO));
    agenda.add_timer(&timeouts[2], at(HOUR));
    agenda.remove_timer(ticket);
    assert!(agenda.oldest_lingering().is_none(), "it holds no records");
    agenda.due().into_iter().for_each(|due| due.run().unwrap());
    assert_eq!(timeouts.each_ref().map(|timeout| timeout.0.load(crate::locks::Ordering::SeqCst)), [1, 0, 0]);
}

#[test]
fn lingers_and_syncs_do_not_wait_while_a_segment_of_an_earlier_life_is_gone_through_for_its_keys() {
    let disk = FaultyFileSystem::new();
    let place = Place::in_memory(ReadMode::Positional, Arc::clone(&disk) as _);
    let with_keys = || {
        let log = place.open();
        log.set_config(LogConfig { key_index: true, ..config(500) });
        log
    };
    let put = |log: &Arc<Log>| {
        log.append(&[Record::new().key("k").value("value")], &how(Durability::Os)).unwrap();
    };
    let log = with_keys();
    (0..3).for_each(|_| put(&log));
    drop(log);
    let log = with_keys();
    while place.logs().len() == 1 {
        put(&log);
    }
    disk.forget();
    log.agenda.due().into_iter().for_each(|due| due.run().unwrap());
    assert_eq!(disk.count(Call::Read, ".log"), 0);
    let file = format!("{:020}.keyindex", 0);
    assert!(!place.files().contains(&file));
    log.write_keys_owed();
    assert!(disk.count(Call::Read, ".log") > 0 && place.files().contains(&file));
    // What is known is written at once.
    while place.logs().len() == 2 {
        put(&log);
    }
    log.agenda.due().into_iter().for_each(|due| due.run().unwrap());
    assert!(place.files().contains(&format!("{:020}.keyindex", place.logs()[1])));
}
