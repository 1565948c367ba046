//! The power fails, or the process dies, at every call that is made of the file system while records for later move, and topics cannot be synced any more.
//!
//! `ANNALS_LATER_STATES=20000 cargo test --test queue later_power -- --nocapture`

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::io::ManualClock;
use annals::{Durability, Record, Store, TopicConfig};
use annals_testing::power_cut::{Change, Disk, Observer, PowerCutFileSystem};
use annals_testing::{Fault, Random};

const TOPICS: [&str; 4] = ["x0", "x1", "y", "z"];
/// So many of them can be synced no more in the end.
const BROKEN: usize = 2;
const RECORDS: usize = 24;
const STATES: usize = 160;
const SEEDS: u64 = 4;

/// What was sent, and whether that has returned.
type Sent = BTreeMap<String, bool>;

/// What the disk was before a call, what was sent by then, and which call it is.
type Moment = (Disk, Sent, String);

#[derive(Default)]
struct Moments {
    sent: Mutex<Sent>,
    seen: Mutex<Vec<Moment>>,
    broken: AtomicUsize,
}

impl Observer for Moments {
    fn before(&self, disk: &mut Disk, change: &Change<'_>) -> Option<Fault> {
        let sent = self.sent.lock().unwrap().clone();
        self.seen.lock().unwrap().push((disk.clone(), sent, format!("before {change:?}")));
        let Change::Sync(path) = change else { return None };
        let broken = &TOPICS[..self.broken.load(Ordering::SeqCst)];
        let is_of = |topic: &&str| path.to_string_lossy().contains(&format!("/{topic}-0/"));
        broken.iter().any(is_of).then_some(Fault::Error(5))
    }
}

fn open(machine: &PowerCutFileSystem, clock: &Arc<ManualClock>) -> Store {
    let builder = Store::builder("/store").file_system(machine.shared()).clock(Arc::clone(clock) as _);
    builder.maintain_by_hand().open().unwrap()
}

/// Sends and moves; one topic after the other cannot be synced from some moment on. Says how many were there in the topics that can.
fn work(machine: &PowerCutFileSystem, moments: &Moments, seed: u64) -> usize {
    let (mut random, clock) = (Random::new(seed), Arc::new(ManualClock::at(1_000_000)));
    let store = open(machine, &clock);
    for topic in TOPICS {
        let topic = store.create_topic(topic, TopicConfig::new()).unwrap();
        topic.partition(0).unwrap().append(&[Record::new().value("before")], Durability::Disk).unwrap();
    }
    let schedule = store.schedule().durability(Durability::Disk);
    for number in 0..RECORDS {
        let value = number.to_string();
        let topic = TOPICS[usize::try_from(random.below(4)).unwrap()];
        let delay = Duration::from_millis([20, 20, 50, 1100][usize::try_from(random.below(4)).unwrap()]);
        moments.sent.lock().unwrap().insert(value.clone(), false);
        schedule.deliver_after(Record::to(topic).key(&value).value(&value), delay).unwrap();
        moments.sent.lock().unwrap().insert(value, true);
        clock.advance(Duration::from_millis(random.below(3) * 20));
        drop(store.maintain());
        if number % 8 == 3 {
            let broken = moments.broken.load(Ordering::SeqCst);
            moments.broken.store((broken + 1).min(BROKEN), Ordering::SeqCst);
        }
    }
    pass(&store, &clock);
    let there = found(&store, &TOPICS[BROKEN..]).len();
    drop(store.close());
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
        let machine = PowerCutFileSystem::on(Disk::new(), Some(Arc::clone(&moments) as _));
        let there = work(&machine, &moments, seed);
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
