//! The power fails, or the process dies, at every call that is made of the file system while records for later move, and topics cannot be synced any more.
//!
//! `ANNALS_LATER_STATES=20000 cargo test --test queue later_power -- --nocapture`

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::io::{Clock, ManualClock};
use annals::{Durability, Record, Store, TopicConfig};
use annals_testing::power_cut::{Change, Disk, Observer, PowerCutFileSystem};
use annals_testing::{Fault, Random};

const TOPICS: [&str; 4] = ["x0", "x1", "y", "z"];
/// So many of them can be synced no more in the end.
const BROKEN: usize = 2;
const RECORDS: usize = 24;
const STATES: usize = 160;
const SEEDS: u64 = 8;

/// What was sent, and whether that has returned.
type Sent = BTreeMap<String, bool>;

/// What the disk was before a call, what was sent by then, and which call it is.
type Moment = (Disk, Sent, String);

#[derive(Default)]
struct Moments {
    sent: Mutex<Sent>,
    seen: Mutex<Vec<Moment>>,
    /// What cannot be synced.
    broken: Mutex<Vec<String>>,
}

impl Observer for Moments {
    fn before(&self, disk: &mut Disk, change: &Change<'_>) -> Option<Fault> {
        let sent = self.sent.lock().unwrap().clone();
        self.seen.lock().unwrap().push((disk.clone(), sent, format!("before {change:?}")));
        let Change::Sync(path) = change else { return None };
        let is_of = |partition: &String| path.to_string_lossy().contains(&format!("/{partition}/"));
        self.broken.lock().unwrap().iter().any(is_of).then_some(Fault::Error(5))
    }
}

impl Moments {
    fn break_syncs(&self, partition: &str) {
        self.broken.lock().unwrap().push(partition.to_owned());
    }

    /// The first topics that can be synced; the next one cannot from here on.
    fn break_next(&self) {
        let mut partitions = TOPICS[..BROKEN].iter().map(|topic| format!("{topic}-0"));
        let next = partitions.find(|one| !self.broken.lock().unwrap().contains(one));
        next.into_iter().for_each(|one| self.break_syncs(&one));
    }
}

/// A life.
struct Life<'a> {
    machine: PowerCutFileSystem,
    store: Store,
    clock: Arc<ManualClock>,
    moments: &'a Arc<Moments>,
}

impl Life<'_> {
    fn send(&self, topic: &str, (value, delay): (&str, u64)) {
        self.moments.sent.lock().unwrap().insert(value.to_owned(), false);
        let record = Record::to(topic).key(value).value(value);
        let schedule = self.store.schedule().durability(Durability::Disk);
        schedule.deliver_after(record, Duration::from_millis(delay)).unwrap();
        self.moments.sent.lock().unwrap().insert(value.to_owned(), true);
    }

    fn pass(&self, (times, millis): (u32, u64)) {
        for _ in 0..times {
            self.clock.advance(Duration::from_millis(millis));
            drop(self.store.maintain());
        }
    }

    fn flush(&self, topic: &str) {
        drop(self.store.topic(topic).unwrap().flush());
    }

    /// One that came to its step beside a move to a poisoned topic stays, until that topic is deleted. What stands behind it moves before, to one
    /// that is poisoned then.
    fn one_moves_after_what_stands_behind_it(&self) {
        self.send("x0", ("of x0", 1024));
        self.send("y", ("stays", 1064));
        self.moments.break_syncs("x0-0");
        self.pass((1, 1024));
        self.flush("x0");
        self.pass((4, 20));
        self.moments.break_syncs("x1-0");
        self.send("x1", ("behind it", 32));
        self.pass((4, 20));
        self.flush("x1");
        // What was sent there goes with it.
        self.moments.sent.lock().unwrap().remove("of x0");
        self.store.delete_topic("x0").unwrap();
        self.pass((20, 80));
    }

    /// One whose id cannot be synced is passed over by one behind it. In the next life nothing of the topic to which that one was moved can be synced.
    fn one_moves_a_life_after_what_stands_behind_it(self) -> Self {
        let of_y = self.store.enqueuer_builder("y").unique_within(Duration::from_secs(3600), 100);
        let of_y = of_y.build().unwrap();
        self.moments.sent.lock().unwrap().insert("has an id".to_owned(), false);
        let record = Record::new().key("has an id").value("has an id");
        of_y.deliver_once_after("id", record, Duration::from_millis(32)).unwrap();
        self.moments.break_syncs("__message_ids-0");
        self.moments.break_syncs("x0-0");
        self.send("x0", ("behind it", 32));
        self.pass((4, 20));
        let Self { machine, store, clock, moments } = self;
        let next = PowerCutFileSystem::on(machine.kill(), Some(Arc::clone(moments) as _));
        drop((of_y, store));
        *moments.broken.lock().unwrap() = vec!["x0-0".to_owned()];
        let life = Life { store: open(&next, &clock), machine: next, clock, moments };
        life.flush("x0");
        life.pass((20, 80));
        life
    }

    /// A clock that was ahead has put one between two others; it goes to another step, which is poisoned then, before these go.
    fn one_between_others_moves_before_them(&self) {
        // Files are made before a sync fails.
        self.send("z", ("other", 5_000));
        self.send("y", ("first", 1024));
        self.clock.advance(Duration::from_secs(5));
        self.send("y", ("second", 1024));
        self.clock.set(1_000_000);
        self.send("z", ("third", 1024));
        self.moments.break_syncs("__delayed_messages-8");
        self.pass((1, 0));
        self.flush("__delayed_messages");
        self.pass((20, 80));
    }
}

fn open(machine: &PowerCutFileSystem, clock: &Arc<ManualClock>) -> Store {
    let builder = Store::builder("/store").file_system(machine.shared()).clock(Arc::clone(clock) as _);
    builder.maintain_by_hand().open().unwrap()
}

/// Sends and moves; one topic after the other cannot be synced from some moment on. Says how many were there in the topics that can.
fn work(moments: &Arc<Moments>, seed: u64) -> usize {
    let (mut random, clock) = (Random::new(seed), Arc::new(ManualClock::at(1_000_000)));
    let machine = PowerCutFileSystem::on(Disk::new(), Some(Arc::clone(moments) as _));
    let mut life = Life { store: open(&machine, &clock), machine, clock, moments };
    for topic in TOPICS {
        let topic = life.store.create_topic(topic, TopicConfig::new()).unwrap();
        topic.partition(0).unwrap().append(&[Record::new().value("before")], Durability::Disk).unwrap();
    }
    match seed % 4 {
        1 => life.one_moves_after_what_stands_behind_it(),
        2 => life.one_between_others_moves_before_them(),
        3 => life = life.one_moves_a_life_after_what_stands_behind_it(),
        _ => {}
    }
    let is_there = |topic: &&&str| life.store.topic(topic).is_ok();
    let topics: Vec<&str> = TOPICS.iter().filter(is_there).copied().collect();
    for number in 0..RECORDS {
        let topic = topics[usize::try_from(random.below(topics.len() as u64)).unwrap()];
        let delay = [20, 20, 50, 1100][usize::try_from(random.below(4)).unwrap()];
        life.send(topic, (&number.to_string(), delay));
        life.pass((1, random.below(3) * 20));
        if seed % 4 == 2 && number % 8 == 5 {
            life.clock.set(life.clock.now() - 2_000);
        }
        if number % 8 == 3 {
            moments.break_next();
        }
    }
    pass(&life.store, &life.clock);
    let there = found(&life.store, &TOPICS[BROKEN..]).len();
    drop(life.store.close());
    there
}

fn pass(store: &Store, clock: &ManualClock) {
    for _ in 0..24 {
        clock.advance(Duration::from_millis(80));
        drop(store.maintain());
    }
}

fn found(store: &Store, topics: &[&str]) -> Vec<String> {
    let topics = topics.iter().filter_map(|topic| store.topic(topic).ok());
    let records = topics.flat_map(|topic| topic.partition(0).unwrap().read(..).unwrap());
    let values = records.map(|record| String::from_utf8(record.unwrap().value.unwrap()).unwrap());
    values.filter(|value| value != "before").collect()
}

/// Each is there once, in the next life and, after a power cut that takes whatever was not synced, in the one after it.
fn judge(machine: &PowerCutFileSystem, sent: &Sent) {
    let clock = Arc::new(ManualClock::at(3_600_000));
    let store = open(machine, &clock);
    for life in ["next", "last"] {
        let store = if life == "next" { &store } else { &open(&machine.cut_power(0), &clock) };
        pass(store, &clock);
        let there = found(store, &TOPICS);
        for (value, has_returned) in sent {
            let times = there.iter().filter(|other| *other == value).count();
            assert!(times == 1 || (times == 0 && !has_returned), "{value}: {times} times in the {life} life");
        }
    }
}

#[test]
fn nothing_is_lost_nor_there_twice_whenever_the_power_fails_beside_a_poisoned_topic() {
    let states = std::env::var("ANNALS_LATER_STATES").ok().and_then(|states| states.parse().ok());
    let each = states.unwrap_or(STATES) / usize::try_from(SEEDS).unwrap();
    let mut looked = 0;
    for seed in 0..SEEDS {
        let moments = Arc::new(Moments::default());
        let there = work(&moments, seed);
        let seen = std::mem::take(&mut *moments.seen.lock().unwrap());
        let mut random = Random::new(seed);
        for _ in 0..each {
            let at = usize::try_from(random.below(seen.len() as u64)).unwrap();
            let (disk, sent, doing) = &seen[at];
            let machine = PowerCutFileSystem::on(disk.clone(), None);
            let cut = random.below(8);
            let next = if cut == 7 {
                machine.restart()
            } else {
                machine.cut_power(cut * 1000 + random.below(1000) * u64::from(cut > 1))
            };
            let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(&next, sent)));
            assert!(judged.is_ok(), "seed {seed}, moment {at} of {}, cut {cut}, {doing}", seen.len());
            looked += 1;
        }
        println!("seed {seed}: {there} moved on, {} moments", seen.len());
    }
    println!("{looked} states");
}
