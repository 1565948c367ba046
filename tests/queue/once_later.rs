//! Records for later, each id once, whatever ends the process.
//!
//! `ANNALS_ONCE_STATES=20000 cargo test --test queue once_later:: -- --nocapture`

use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::io::{Clock, ManualClock};
use annals::{Durability, Enqueuer, Error, Record, Store, TopicConfig};
use annals_testing::Random;
use annals_testing::power_cut::{Change, Disk, Observer, PowerCutFileSystem};

use crate::world::{World, take};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn enqueuer(world: &World) -> Enqueuer {
    world.store.enqueuer_builder("jobs").unique_within(HOUR, 100).build().unwrap()
}

fn is_refused<T: std::fmt::Debug>(sent: annals::Result<T>) -> bool {
    match sent {
        Err(Error::DuplicateMessage { .. }) => true,
        Ok(_) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Has time pass, and maintenance with it.
fn pass(world: &World, time: Duration) {
    let until = world.clock.now() + i64::try_from(time.as_millis()).unwrap();
    while world.clock.now() < until {
        world.clock.advance(time / 40);
        world.store.maintain().unwrap();
    }
}

#[test]
fn an_id_for_later_is_refused_while_it_waits_when_it_is_there_and_until_its_window_ends() {
    let mut world = World::new(3);
    let first = enqueuer(&world);
    first.deliver_once_after("a", Record::new().value("a"), 10 * MINUTE).unwrap();
    first.send_once("b", Record::new().value("b")).unwrap();
    for life in 0..4 {
        let jobs = enqueuer(&world);
        assert!(is_refused(jobs.deliver_once_after("a", Record::new(), HOUR)), "life {life}");
        assert!(is_refused(jobs.send_once("a", Record::new())), "life {life}");
        assert!(is_refused(jobs.deliver_once_after("b", Record::new(), HOUR)), "life {life}");
        assert_eq!(world.values("jobs").len(), if life < 2 { 1 } else { 2 });
        if life == 1 {
            pass(&world, 12 * MINUTE);
        }
        world = world.killed();
    }
    let message = take(&mut world.worker(), 2).into_iter().find(|job| job.value.as_deref() == Some(b"a"));
    let message = message.unwrap();
    assert_eq!(message.headers.len(), 1, "{:?}", message.headers);
    assert_eq!(message.headers[0].key, "annals.message.id.later");
    assert!(message.headers[0].value.as_deref().unwrap().ends_with(b"a"));
    drop(message);
    // From the sending, not from the delivery.
    let jobs = enqueuer(&world);
    world.clock.set(1_000_000 + 3_599_999);
    assert!(is_refused(jobs.send_once("a", Record::new())));
    world.clock.set(1_000_000 + 3_600_000);
    assert!(!is_refused(jobs.deliver_once_at("a", Record::new().value("again"), 0)), "at once");
    assert_eq!(world.values("jobs").len(), 3);
}

#[test]
fn an_id_whose_record_was_cancelled_stays_known() {
    let world = World::new(1);
    let jobs = enqueuer(&world);
    jobs.deliver_once_after("a", Record::new().key("k").value("a"), 10 * MINUTE).unwrap();
    assert_eq!(world.store.schedule().cancel("jobs", "k").unwrap(), 1);
    assert!(is_refused(jobs.send_once("a", Record::new())));
    let next = world.killed();
    assert!(is_refused(enqueuer(&next).deliver_once_after("a", Record::new(), MINUTE)));
    pass(&next, 11 * MINUTE);
    assert!(next.values("jobs").is_empty());
}

#[test]
fn the_last_ids_are_known_be_they_for_now_or_later() {
    let world = World::new(2);
    let window = |world: &World| world.store.enqueuer_builder("jobs").unique_within(HOUR, 4).build().unwrap();
    let jobs = window(&world);
    let send = |number: u32| {
        let (id, record) = (number.to_string(), Record::new().value("mail"));
        match number % 2 {
            0 => jobs.send_once(&id, record).map(drop).unwrap(),
            _ => jobs.deliver_once_after(&id, record, MINUTE).unwrap(),
        }
    };
    (0..10).for_each(send);
    pass(&world, 2 * MINUTE);
    for next in [world.killed(), world.without_power()] {
        let jobs = window(&next);
        assert!((6..10).all(|number: u32| is_refused(jobs.send_once(&number.to_string(), Record::new()))));
        assert!(!is_refused(jobs.send_once("5", Record::new())), "it is not among the last four");
    }
}

#[test]
fn a_record_for_later_with_an_id_is_refused_as_others_are() {
    let world = World::new(1);
    let jobs = enqueuer(&world);
    let timed = jobs.deliver_once_after("a", Record::new().timestamp(5), MINUTE);
    assert!(matches!(timed, Err(Error::InvalidArgument { .. })));
    let large = vec![0; 2 << 20];
    let too_large = jobs.deliver_once_after("a", Record::new().value(&large), MINUTE);
    assert!(matches!(too_large, Err(Error::RecordTooLarge { .. })), "{too_large:?}");
    let none = world.store.enqueuer_builder("jobs").build().unwrap();
    assert!(matches!(
        none.deliver_once_after("a", Record::new(), MINUTE),
        Err(Error::InvalidArgument { .. })
    ));
    assert!(!is_refused(jobs.deliver_once_after("a", Record::new().value("a"), MINUTE)), "nothing was sent");
    world.store.delete_topic("jobs").unwrap();
    assert!(matches!(jobs.deliver_once_after("b", Record::new(), MINUTE), Err(Error::UnknownTopic { .. })));
}

/// What was on the disk before a call, which ids were sent, and when.
struct Moment {
    disk: Disk,
    sent: Vec<String>,
    now: i64,
    doing: String,
}

#[derive(Default)]
struct Moments {
    /// Ids whose sending has returned.
    sent: Mutex<Vec<String>>,
    seen: Mutex<Vec<Moment>>,
    clock: Mutex<Option<Arc<ManualClock>>>,
}

impl Observer for Moments {
    fn before(&self, disk: &mut Disk, change: &Change<'_>) -> Option<annals_testing::Fault> {
        let sent = self.sent.lock().unwrap().clone();
        let now = self.clock.lock().unwrap().as_ref().map_or(0, |clock| clock.now());
        let doing = format!("{change:?}");
        self.seen.lock().unwrap().push(Moment { disk: disk.clone(), sent, now, doing });
        None
    }
}

fn open(machine: &PowerCutFileSystem, clock: &Arc<ManualClock>) -> Store {
    let builder = Store::builder("/store").file_system(machine.shared()).clock(Arc::clone(clock) as _);
    builder.maintain_by_hand().open().unwrap()
}

fn send(jobs: &Enqueuer, number: u64) -> annals::Result<()> {
    let id = number.to_string();
    let delay = Duration::from_millis(30 * (number % 4));
    match number % 4 {
        0 => jobs.send_once(&id, Record::new().value(&id)).map(drop),
        _ => jobs.deliver_once_after(&id, Record::new().value(&id), delay),
    }
}

fn enqueuer_of(store: &Store, durability: Durability) -> Enqueuer {
    let builder = store.enqueuer_builder("jobs").unique_within(HOUR, 1000).durability(durability);
    builder.build().unwrap()
}

/// Whoever sends all of them again has each there once.
#[test]
fn each_is_there_once_whatever_call_was_the_last_when_all_are_sent_again() {
    let states =
        std::env::var("ANNALS_ONCE_STATES").ok().and_then(|states| states.parse().ok()).unwrap_or(600);
    for durability in [Durability::Os, Durability::Disk] {
        let (moments, clock) = (Arc::new(Moments::default()), Arc::new(ManualClock::at(1_000_000)));
        *moments.clock.lock().unwrap() = Some(Arc::clone(&clock));
        let machine = PowerCutFileSystem::on(Disk::new(), Some(Arc::clone(&moments) as _));
        let store = open(&machine, &clock);
        store.create_topic("jobs", TopicConfig::new().partitions(2)).unwrap();
        let jobs = enqueuer_of(&store, durability);
        for number in 0..12 {
            send(&jobs, number).unwrap();
            moments.sent.lock().unwrap().push(number.to_string());
            clock.advance(Duration::from_millis(25));
            if number % 3 == 0 {
                store.maintain().unwrap();
            }
        }
        store.close().unwrap();
        let seen = std::mem::take(&mut *moments.seen.lock().unwrap());
        let mut random = Random::new(states as u64);
        for number in 0..states / 2 {
            let at = if states / 2 >= seen.len() {
                number % seen.len()
            } else {
                usize::try_from(random.below(seen.len() as u64)).unwrap()
            };
            let Moment { disk, sent, now, doing } = &seen[at];
            let machine = PowerCutFileSystem::on(disk.clone(), None);
            let cut = random.below(6);
            let next =
                if cut < 2 { machine.restart() } else { machine.cut_power(cut * 1000 + random.below(1000)) };
            judge(
                &next,
                (sent, *now),
                (durability, cut < 2),
                &format!("{doing}, moment {at}, cut {cut}, {durability:?}"),
            );
        }
    }
}

fn judge(
    machine: &PowerCutFileSystem,
    (sent, now): (&[String], i64),
    (durability, is_killed): (Durability, bool),
    what: &str,
) {
    let clock = Arc::new(ManualClock::at(now));
    let store = open(machine, &clock);
    if store.topic("jobs").is_err() {
        assert!(sent.is_empty(), "{what}");
        return;
    }
    if store.topic("jobs").unwrap().partition_count() < 2 {
        return;
    }
    // Some of the time maintenance comes first.
    if now % 50 == 0 {
        store.maintain().unwrap();
    }
    let jobs = enqueuer_of(&store, durability);
    for number in 0..12 {
        let is_again = is_refused(send(&jobs, number));
        let is_kept = sent.contains(&number.to_string()) && (is_killed || durability == Durability::Disk);
        assert!(is_again || !is_kept, "{number} was sent, and is sent again; {what}");
    }
    for _ in 0..20 {
        clock.advance(Duration::from_millis(16));
        store.maintain().unwrap();
    }
    let records = store.topic("jobs").unwrap().partitions().into_iter().flat_map(|one| one.read(..).unwrap());
    let mut all: Vec<u64> =
        records.map(|one| String::from_utf8(one.unwrap().value.unwrap()).unwrap().parse().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..12).collect::<Vec<_>>(), "{what}");
}
