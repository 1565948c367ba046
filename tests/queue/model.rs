//! Random work on a queue, with restarts and kills, beside a plain map of messages.
//!
//! `ANNALS_QUEUE_SEEDS=2000 cargo test --test queue model::`, or `=500..1000` for a part of them

use std::collections::BTreeMap;
use std::time::Duration;

use annals::{Codec, Durability, Error, Message, QueueBuilder, Record, TopicConfig, Worker};
use annals_testing::Random;

use crate::world::{World, value};

const SEEDS: u64 = 12;
const STEPS: usize = 150;
const LIMIT: u16 = 4;
const LOCK_MS: i64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Not to be handed out before that time.
    Waiting(i64),
    OutUntil(i64),
    Done,
    Dead,
}

#[derive(Debug)]
struct Known {
    fate: Fate,
    count: u16,
    key: Option<u64>,
    order: usize,
}

struct Life {
    world: World,
    random: Random,
    is_ordered: bool,
    workers: Vec<Worker>,
    out: Vec<Message>,
    /// By its value.
    jobs: BTreeMap<String, Known>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let world = World::new(1 + u32::try_from(random.below(3)).unwrap());
        let is_ordered = random.one_in(2);
        if random.one_in(2) {
            let compressed = TopicConfig::new().compression_type(Codec::Lz4);
            world.store.alter_topic("jobs", compressed).unwrap();
        }
        let mut life =
            Self { world, random, is_ordered, workers: Vec::new(), out: Vec::new(), jobs: BTreeMap::new() };
        life.hire();
        life
    }

    fn hire(&mut self) {
        let builder = self.world.builder().delivery_limit(LIMIT).lock_timeout(Duration::from_millis(1000));
        let builder = if self.is_ordered { QueueBuilder::ordered_by_key(builder) } else { builder };
        self.workers = (0..3).map(|_| builder.clone().build().unwrap()).collect();
    }

    fn now(&self) -> i64 {
        use annals::io::Clock;
        self.world.clock.now()
    }

    fn step(&mut self) {
        match self.random.below(24) {
            0..5 => self.send(),
            5..11 => self.take(),
            11..19 => self.answer(),
            19..22 => self.world.clock.advance(Duration::from_millis(self.random.below(900))),
            22 if self.random.one_in(5) => self.die(),
            _ => {}
        }
    }

    /// Singly, or in one batch; at times behind a gap.
    fn send(&mut self) {
        if self.random.one_in(5) {
            let mut tx = self.world.store.transaction("aborted").unwrap();
            for _ in 0..=self.random.below(3) {
                tx.send(Record::to("jobs").value("never")).unwrap();
            }
            tx.abort().unwrap();
        }
        let jobs = self.world.store.topic("jobs").unwrap();
        let is_batch = jobs.partition_count() == 1 && self.random.one_in(2);
        let most = if is_batch { 12 } else { 4 };
        let mut texts = Vec::new();
        for _ in 0..=self.random.below(most) {
            let order = self.jobs.len();
            let name = format!("job {order}");
            let key = (!self.random.one_in(4)).then(|| self.random.below(5));
            texts.push((name.clone(), key.map(|key| key.to_string())));
            self.jobs.insert(name, Known { fate: Fate::Waiting(0), count: 0, key, order });
        }
        let mut records = Vec::new();
        for (name, key) in &texts {
            let record = Record::to("jobs").value(name);
            records.push(match key {
                Some(key) => record.key(key),
                None => record,
            });
        }
        if is_batch {
            jobs.partition(0).unwrap().append(&records, Durability::Os).unwrap();
        } else {
            for record in records {
                self.world.store.producer().send(record).unwrap();
            }
        }
    }

    /// Locks that are over by now.
    fn expire(&mut self) {
        let now = self.now();
        for known in self.jobs.values_mut() {
            if matches!(known.fate, Fate::OutUntil(until) if until <= now) {
                known.fate = Fate::Waiting(0);
            }
        }
    }

    fn take(&mut self) {
        self.expire();
        let now = self.now();
        let (worker, most) = (self.random.below(3), 1 + self.random.below(6));
        let worker = &mut self.workers[usize::try_from(worker).unwrap()];
        let messages = worker.take(usize::try_from(most).unwrap(), Duration::ZERO).unwrap();
        assert!(messages.len() <= usize::try_from(most).unwrap());
        for message in messages {
            let name = value(&message);
            let known = &self.jobs[&name];
            let older = |other: &Known| {
                self.is_ordered
                    && known.key.is_some()
                    && other.key == known.key
                    && other.order < known.order
                    && !matches!(other.fate, Fate::Done | Fate::Dead)
            };
            let blocked_by = self.jobs.values().find(|other| older(other) && other.count < LIMIT);
            assert!(blocked_by.is_none(), "{name} is out before {blocked_by:?}");
            assert!(matches!(known.fate, Fate::Waiting(from) if from <= now), "{name}: {known:?} at {now}");
            assert_eq!(message.delivery_count(), known.count + 1, "{name}");
            assert!(known.count < LIMIT, "{name}");
            let known = self.jobs.get_mut(&name).unwrap();
            (known.fate, known.count) = (Fate::OutUntil(now + LOCK_MS), known.count + 1);
            self.out.push(message);
        }
        self.bury();
    }

    /// What has been out as often as it may be, and is not out, is dead from the next look on.
    fn bury(&mut self) {
        for (_, known) in self.jobs.iter_mut().filter(|(_, known)| known.count >= LIMIT) {
            if matches!(known.fate, Fate::Waiting(_)) {
                known.fate = Fate::Dead;
            }
        }
    }

    fn answer(&mut self) {
        if self.out.is_empty() {
            return;
        }
        self.expire();
        let at = usize::try_from(self.random.below(self.out.len() as u64)).unwrap();
        let message = self.out.swap_remove(at);
        let (name, now) = (value(&message), self.now());
        let is_held = matches!(self.jobs[&name].fate, Fate::OutUntil(_))
            && message.delivery_count() == self.jobs[&name].count;
        let choice = self.random.below(8);
        let delay = self.random.below(1500);
        let due = now + i64::try_from(delay).unwrap();
        let (outcome, fate) = match choice {
            0..4 => (message.ack(), Fate::Done),
            4 => (message.reject("no"), Fate::Dead),
            5 => (message.release(Duration::from_millis(delay)), Fate::Waiting(due)),
            6 => {
                let renewed = message.renew();
                self.out.push(message);
                (renewed, Fate::OutUntil(now + LOCK_MS))
            }
            _ => {
                drop(message);
                (Ok(()), Fate::Waiting(0))
            }
        };
        match (is_held, outcome) {
            (true, Ok(())) => self.jobs.get_mut(&name).unwrap().fate = fate,
            (false, Err(Error::LockLost { .. })) => {}
            (false, Ok(())) if choice == 7 => {}
            (is_held, outcome) => panic!("{name}, held: {is_held}: {outcome:?}"),
        }
        if is_held && matches!(fate, Fate::Waiting(_)) {
            self.bury();
        }
    }

    /// The process is killed, or the store closed and opened again.
    fn die(&mut self) {
        let is_killed = self.random.one_in(2);
        let world = if is_killed {
            self.world.killed()
        } else {
            self.world.store.close().unwrap();
            self.world.killed()
        };
        std::mem::take(&mut self.out).into_iter().for_each(std::mem::forget);
        self.workers.clear();
        self.world = world;
        for known in self.jobs.values_mut() {
            if matches!(known.fate, Fate::OutUntil(_) | Fate::Waiting(_)) {
                known.fate = Fate::Waiting(0);
            }
        }
        self.hire();
    }

    /// All is done or dead in the end, each as the map says.
    fn finish(mut self) {
        self.out.clear();
        let is_over = |known: &Known| matches!(known.fate, Fate::Done | Fate::Dead);
        for _ in 0..1000 {
            if self.jobs.values().all(is_over) {
                break;
            }
            self.world.clock.advance(Duration::from_secs(10));
            self.expire();
            self.take();
            while let Some(message) = self.out.pop() {
                let name = value(&message);
                message.ack().unwrap();
                self.jobs.get_mut(&name).unwrap().fate = Fate::Done;
            }
        }
        // A take that has found as many as it may did not look at the other partitions, and those may have something to give up.
        assert!(self.workers[0].take(10, Duration::ZERO).unwrap().is_empty());
        let left: Vec<_> = self.jobs.iter().filter(|(_, known)| !is_over(known)).collect();
        assert!(left.is_empty(), "never handed out: {left:?}");
        let dead = |known: &Known| known.fate == Fate::Dead;
        let mut expected: Vec<_> =
            self.jobs.iter().filter(|(_, known)| dead(known)).map(|(name, _)| name.clone()).collect();
        expected.sort();
        let has_letters = self.world.store.topic("jobs.workers.dead").is_ok();
        let mut letters = if has_letters { self.world.values("jobs.workers.dead") } else { Vec::new() };
        letters.sort();
        assert_eq!(letters, expected);
    }
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(asked) = std::env::var("ANNALS_QUEUE_SEEDS") else { return 0..SEEDS };
    let (first, end) = asked.split_once("..").unwrap_or(("0", &asked));
    first.parse().unwrap()..end.parse().unwrap()
}

#[test]
fn a_queue_does_what_a_plain_map_says() {
    for seed in seeds() {
        let mut life = Life::new(seed);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            (0..STEPS).for_each(|_| life.step());
            life.finish();
        }));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
