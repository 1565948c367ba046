//! What partitions put down for later, and when it is due.

use super::place::Place;
use super::*;

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
fn named(chores: &[Chore], logs: &[Arc<Log>]) -> Vec<(&'static str, usize)> {
    let at = |log: &Arc<Log>| logs.iter().position(|other| Arc::ptr_eq(log, other)).unwrap();
    chores
        .iter()
        .map(|chore| match chore {
            Chore::Write(log) => ("write", at(log)),
            Chore::Sync(log) => ("sync", at(log)),
            Chore::Round => ("round", 0),
        })
        .collect()
}

#[test]
fn batches_are_written_in_the_order_in_which_their_lingers_end() {
    let (places, agenda) = (places(), Arc::new(Agenda::new(HOUR, Duration::MAX)));
    let logs: [_; 4] = logs(&places, &agenda);
    assert_eq!(agenda.add_lingering(&logs[0], HOUR), 1);
    assert_eq!(agenda.add_lingering(&logs[1], Duration::ZERO), 2);
    assert_eq!(agenda.add_lingering(&logs[2], Duration::ZERO), 3);
    assert_eq!(agenda.add_lingering(&logs[3], HOUR / 2), 4);
    assert_eq!(named(&agenda.due(), &logs), [("write", 1), ("write", 2)]);
    assert!(agenda.due().is_empty());
    // To make room, the oldest goes, due or not.
    for expected in [3, 0] {
        assert!(Arc::ptr_eq(&agenda.oldest_lingering().unwrap(), &logs[expected]));
    }
    assert!(agenda.oldest_lingering().is_none());
}

#[test]
fn whoever_waits_is_told_what_is_due_and_when_it_is_over() {
    let (places, agenda) = (places(), Arc::new(Agenda::new(HOUR, Duration::MAX)));
    let logs: [_; 2] = logs(&places, &agenda);
    agenda.add_lingering(&logs[0], HOUR);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| agenda.wait());
        // Most likely it sleeps by now, until the first linger ends. One that ends earlier wakes it.
        std::thread::sleep(Duration::from_millis(20));
        agenda.add_lingering(&logs[1], Duration::from_millis(1));
        assert_eq!(named(&waiter.join().unwrap().unwrap(), &logs), [("write", 1)]);
        let waiter = scope.spawn(|| agenda.wait());
        agenda.stop();
        assert!(waiter.join().unwrap().is_none());
    });
    assert!(agenda.wait().is_none(), "it stays stopped");
}

#[test]
fn a_look_at_all_partitions_is_due_every_so_often() {
    let agenda = Agenda::new(HOUR, Duration::from_millis(1));
    for _ in 0..3 {
        assert!(matches!(agenda.wait().unwrap()[..], [Chore::Round]));
    }
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
    assert_eq!(named(&agenda.due(), &logs), [("sync", 0), ("sync", 1)]);
    logs.iter().for_each(|log| log.sync_in_background().unwrap());
    assert_eq!(logs.each_ref().map(|log| log.durable()), [1, 3]);
    append(&logs[1], 3..4, Durability::Os);
    assert!(agenda.due().is_empty(), "it is counted from the sync on");

    let soon = Arc::new(Agenda::new(Duration::from_millis(1), Duration::MAX));
    let places: [_; 1] = self::places();
    let logs: [_; 1] = self::logs(&places, &soon);
    append(&logs[0], 0..1, Durability::Os);
    assert_eq!(named(&soon.wait().unwrap(), &logs), [("sync", 0)]);
}

#[test]
fn a_record_in_memory_is_on_the_list_once_and_again_after_its_linger() {
    let (places, agenda) = (places(), Arc::new(Agenda::new(HOUR, Duration::MAX)));
    let logs: [_; 2] = logs(&places, &agenda);
    let put = |log: &Arc<Log>, linger: Duration| {
        let how = Append { linger, ..how(Durability::Memory) };
        log.append(&[Record::new().value("value")], &how).unwrap().open_batches
    };
    for end in [2, 4] {
        assert_eq!([put(&logs[0], HOUR), put(&logs[0], HOUR)], [Some(1), None]);
        assert_eq!(logs[0].end(), end - 2, "nobody has written it");
        let oldest = agenda.oldest_lingering().unwrap();
        oldest.end_linger();
        assert_eq!(logs[0].end(), end);
    }
    assert_eq!([put(&logs[1], HOUR), put(&logs[0], HOUR)], [Some(1), Some(2)]);
    // Without a linger it is written by who sends it.
    assert_eq!(put(&logs[1], Duration::ZERO), None);
    assert_eq!(logs[1].end(), 2);
    // A full batch is written by who fills it; what is behind it stays.
    let mut sent = 5;
    while logs[0].end() == 4 {
        put(&logs[0], HOUR);
        sent += 1;
    }
    assert!((5..sent).contains(&logs[0].end()), "{} of {sent}", logs[0].end());
}
