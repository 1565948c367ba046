//! A store on a machine whose power will fail: several lives, one after the other, of transactions of every kind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use annals::{Durability, Error, Expected, Record, Result, Store, TopicConfig, Transaction, Worker};

use crate::power_cut::model::Model;
use crate::power_cut::promise::Promises;
use crate::power_cut::record::{Moment, Recorder};
use crate::power_cut::scenes::{clock, open};
use crate::power_cut::transactions::Seen;
use crate::power_cut::transactions::promise::{TransactionPromise, acknowledge, found};
use crate::power_cut::trouble::Kind;
use annals_testing::Random;
use annals_testing::power_cut::{Disk, cut, drawn_fates, points};

const TOPICS: [&str; 5] = ["one", "two", "three", "four", "five"];
/// Of streams.
pub(super) const EVENTS: &str = "events";
pub(super) const INPUT: &str = "input";
/// Where transactions have records.
pub(super) const PLACES: [&str; 7] = ["one", "two", "three", "four", "five", INPUT, EVENTS];
pub(super) const GROUP: &str = "group";
pub(super) const JOBS: &str = "jobs";
/// Topics that the store writes to for them.
pub(super) const DONE: &str = "__share_group_state";
pub(super) const COMMITS: &str = "__consumer_offsets";
const DECISIONS: &str = "__transaction_state";

pub(super) fn new_worker(store: &Store) -> Result<Worker> {
    store.queue_builder(JOBS, "workers").delivery_limit(u16::MAX).build()
}

/// Has the decisions that nobody needs go, as maintenance does when there are enough of them.
pub(super) fn compact_decisions(store: &Store) -> Result<()> {
    match store.topic(DECISIONS) {
        Ok(topic) => topic.compact().map(drop),
        Err(_) => Ok(()),
    }
}

pub(super) struct Machine<'a> {
    model: Model,
    recorder: Arc<Recorder>,
    store: Store,
    random: Random,
    jobs: usize,
    /// This life is one of small transactions at `Os`, each of which has seen others, and a few at `Disk`.
    is_chained: bool,
    seen: &'a mut Seen,
}

/// What one transaction is about to do.
struct Plan {
    durability: Durability,
    is_streamed: bool,
    is_aborted: bool,
    /// It asks for what is not so.
    is_refused: bool,
    /// Which writes fail from when it has begun to its end, and after how many.
    failing: Option<(Kind, usize)>,
    promise: TransactionPromise,
}

/// What the machine is left as for the next life.
struct Left {
    disk: Disk,
    promises: Promises,
    jobs: usize,
    is_on_disk: bool,
}

impl<'a> Machine<'a> {
    /// Every life of one seed, with what it was promised at each moment.
    pub(super) fn lives(seed: u64, seen: &'a mut Seen) -> Vec<Moment> {
        let mut random = Random::new(seed);
        let mut left = Left { disk: Disk::new(), promises: Promises::default(), jobs: 0, is_on_disk: true };
        let mut moments = Vec::new();
        for _ in 0..=random.below(3) {
            let machine = Machine::begin(left, Random::new(random.below(1 << 40)), seen);
            left = machine.life(&mut moments);
        }
        moments
    }

    fn begin(left: Left, mut random: Random, seen: &'a mut Seen) -> Self {
        let Left { disk, promises, jobs, is_on_disk } = left;
        let recorder = Arc::new(Recorder::default());
        recorder.attempt("open", |now| *now = promises);
        let model = Model::new(disk, Some(Arc::clone(&recorder)));
        let store = open(&model, &clock(), if random.one_in(2) { 1 } else { 100 }).unwrap();
        for topic in TOPICS {
            // Of so few bytes that two records of one transaction are two batches.
            let config = TopicConfig::new().segment_bytes(1500).max_message_bytes(128);
            store.ensure_topic(topic, config).unwrap();
        }
        store.ensure_topic(EVENTS, TopicConfig::new().segment_bytes(1500).key_index(true)).unwrap();
        for topic in [INPUT, JOBS] {
            store.ensure_topic(topic, TopicConfig::new()).unwrap();
        }
        let is_chained = random.one_in(2);
        let machine = Self { model, recorder, store, random, jobs, is_chained, seen };
        machine.note_what_was_left(is_on_disk);
        machine.model.record();
        machine
    }

    /// What is not there does not come back; what is there, and on the disk, stays.
    fn note_what_was_left(&self, is_on_disk: bool) {
        let there = found(&self.store, &self.recorder.promises().transactions).unwrap().transactions;
        self.recorder.promise(|promises| {
            for (number, promise) in promises.transactions.iter_mut().enumerate() {
                promise.may_be_there &= there.contains(&number);
                promise.must_be_there |= is_on_disk && promise.may_be_there;
            }
        });
    }

    fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.random.below(bound)).unwrap()
    }

    fn life(mut self, moments: &mut Vec<Moment>) -> Left {
        self.seen.lives += 1;
        if self.random.one_in(3) {
            // Before it has written a marker that the last life has left out.
            self.recorder.attempt("compact decisions", |_| {});
            compact_decisions(&self.store).unwrap();
        }
        for _ in 0..if self.is_chained { 4 } else { 2 } + self.below(5) {
            match self.below(8) {
                0 => {
                    let topic = TOPICS[self.below(5)];
                    self.store.producer().send(Record::to(topic).value("plain")).unwrap();
                }
                1 => self.store.maintain().unwrap(),
                2 => compact_decisions(&self.store).unwrap(),
                _ => {}
            }
            self.transaction();
        }
        self.end(moments)
    }

    fn place(&mut self) -> &'static str {
        PLACES[self.below(6)]
    }

    /// Where the last transaction has records, if there was one.
    fn written_last(&mut self) -> &'static str {
        let transactions = self.recorder.promises().transactions;
        let last = transactions.iter().rfind(|one| one.may_be_there);
        let place = last.and_then(|one| one.places.keys().find(|place| **place != EVENTS));
        place.copied().unwrap_or_else(|| self.place())
    }

    /// What a transaction asks about.
    fn looked_at(&mut self) -> Option<&'static str> {
        match self.below(6) {
            0 | 1 => Some(self.place()),
            2 => None,
            _ if self.is_chained => Some(self.written_last()),
            _ => None,
        }
    }

    fn plan(&mut self) -> Plan {
        let durability = match self.below(4) {
            0 => Durability::Memory,
            1 => Durability::Os,
            2 if self.is_chained => Durability::Os,
            _ => Durability::Disk,
        };
        let mut places = BTreeMap::new();
        // One of a single partition is decided in another way.
        let most = if self.is_chained { 2 } else { 5 };
        for _ in 0..=self.below(most) {
            // What one at the end of a chain has seen stands before its own.
            let goes_on = self.is_chained && durability == Durability::Disk;
            let place = if goes_on { self.written_last() } else { self.place() };
            *places.entry(place).or_insert(0) += 1;
        }
        Plan {
            durability,
            is_streamed: self.random.one_in(3),
            is_aborted: self.random.one_in(5),
            is_refused: self.random.one_in(6),
            failing: self.random.one_in(3).then(|| (Kind::FAILING_WRITES[self.below(3)], self.below(9))),
            promise: TransactionPromise {
                places,
                offset: None,
                job: None,
                seen: BTreeSet::new(),
                durability,
                must_be_there: false,
                may_be_there: false,
            },
        }
    }

    /// One transaction, from its first record to its end.
    fn transaction(&mut self) {
        let mut plan = self.plan();
        let number = self.recorder.promises().transactions.len();
        let mut consumer = self.random.one_in(if self.is_chained { 5 } else { 3 }).then(|| {
            self.store.producer().send(Record::to(INPUT).value("in")).unwrap();
            let mut consumer = self.store.consumer_builder().group(GROUP).build().unwrap();
            consumer.assign([(INPUT, 0)]).unwrap();
            consumer.seek_to_end();
            consumer
        });
        plan.promise.offset = consumer.as_mut().map(|consumer| consumer.position((INPUT, 0)).unwrap());
        let mut worker = None;
        let message = (!self.is_chained && self.random.one_in(2)).then(|| {
            self.store.producer().send(Record::to(JOBS).value(&self.jobs.to_string())).unwrap();
            self.jobs += 1;
            let worker = worker.insert(new_worker(&self.store).unwrap());
            worker.take(1, Duration::ZERO).unwrap().into_iter().next()
        });
        let message = message.flatten();
        plan.promise.job = message
            .as_ref()
            .map(|message| String::from_utf8(message.value.clone().unwrap()).unwrap().parse().unwrap());
        let stream = self.random.one_in(if self.is_chained { 4 } else { 2 }).then(|| {
            let name = format!("stream {}", self.random.below(2));
            self.store.topic(EVENTS).unwrap().stream(name).unwrap()
        });
        let version = stream.as_ref().and_then(|stream| stream.version().unwrap());
        if stream.is_some() {
            plan.promise.places.insert(EVENTS, 1);
        }
        plan.promise.seen.extend(self.looked_at());
        plan.promise.may_be_there = !plan.is_aborted && !plan.is_refused;
        self.seen.note(&plan.promise, plan.is_refused);
        let promise = plan.promise.clone();
        let doing = format!("transaction {number} {:?}", plan.durability);
        self.recorder.attempt(&doing, |promises| promises.transactions.push(promise));

        let builder = self.store.transaction_builder(&format!("name {}", number % 2));
        let builder = builder.durability(plan.durability);
        let mut tx = builder.buffer_bytes(if plan.is_streamed { 0 } else { 1 << 20 }).begin().unwrap();
        if let Some((kind, nth)) = plan.failing {
            self.model.trouble(kind, ".log", nth);
        }
        if let Some(message) = message {
            tx.ack(message);
        }
        if let Some(consumer) = &consumer {
            tx.commit_offsets(consumer).unwrap();
        }
        let value = number.to_string();
        let sent = stream.map_or(Ok(()), |stream| {
            let expected = match version {
                _ if plan.is_refused => Expected::Version(1 << 40),
                Some(version) => Expected::Version(version),
                None => Expected::NoStream,
            };
            tx.append_to(&stream, expected, &[Record::new().value(&value)])
        });
        let sent = sent.and_then(|()| self.send(&mut tx, &plan, &value));
        let ended = sent.and_then(|()| if plan.is_aborted { tx.abort() } else { tx.commit().map(drop) });
        self.note_end(&plan, ended);
    }

    /// What is promised of it from here on.
    fn note_end(&mut self, plan: &Plan, ended: Result<()>) {
        let has_failed = self.model.has_struck() && matches!(ended, Err(Error::Io { .. }));
        self.model.heal();
        match ended {
            Ok(()) => assert!(plan.is_aborted || !plan.is_refused, "its condition does not hold"),
            Err(Error::UnexpectedEnd { .. } | Error::Conflict { .. }) if plan.is_refused => {}
            Err(_) if has_failed => {
                self.seen.failed += 1;
                self.recorder
                    .promise(|promises| promises.transactions.last_mut().unwrap().may_be_there = false);
            }
            Err(error) => panic!("{error}"),
        }
        self.note_acknowledged();
        self.model.record();
    }

    /// The last transaction has returned.
    fn note_acknowledged(&mut self) {
        let mut seen_by_others = 0;
        self.recorder.promise(|promises| {
            let last = promises.transactions.last_mut().unwrap();
            if last.may_be_there && last.durability == Durability::Disk {
                seen_by_others = acknowledge(&mut promises.transactions);
            }
        });
        self.seen.seen_by_others += seen_by_others;
    }

    /// Its records in topics that are no streams, and what it expects of one of these.
    fn send(&self, tx: &mut Transaction, plan: &Plan, value: &str) -> Result<()> {
        if let Some(topic) = plan.promise.seen.first().copied().or(plan.is_refused.then_some("one")) {
            let looked_at = self.store.topic(topic)?.partition(0)?;
            tx.expect_end(&looked_at, looked_at.end() + i64::from(plan.is_refused));
        }
        for (topic, count) in plan.promise.places.iter().filter(|(topic, _)| **topic != EVENTS) {
            for _ in 0..*count {
                tx.send(Record::to(topic).key(&[b'k'; 40]).value(value))?;
            }
        }
        Ok(())
    }

    /// A close, whole or on a disk that has no room for markers; a kill; or the power fails.
    fn end(mut self, moments: &mut Vec<Moment>) -> Left {
        let way = self.below(5);
        match way {
            0 => {
                self.recorder.attempt("close", |_| {});
                self.store.close().unwrap();
                self.recorder.promise(|promises| {
                    promises.transactions.iter_mut().for_each(|one| one.must_be_there |= one.may_be_there);
                });
                self.seen.closes += 1;
            }
            1 => {
                self.recorder.attempt("close without room", |_| {});
                self.model.trouble(Kind::NO_ROOM, ".log", 0);
                drop(self.store.close());
                self.seen.closes_without_room += 1;
            }
            2 => {
                // One that is under way, of which something is written.
                let builder = self.store.transaction_builder("left open").buffer_bytes(0);
                let mut tx = builder.begin().unwrap();
                self.recorder.attempt("left open", |promises| {
                    promises.transactions.push(TransactionPromise {
                        places: BTreeMap::from([("one", 2)]),
                        offset: None,
                        job: None,
                        seen: BTreeSet::new(),
                        durability: Durability::Disk,
                        must_be_there: false,
                        may_be_there: false,
                    });
                });
                let value = (self.recorder.promises().transactions.len() - 1).to_string();
                tx.send(Record::to("one").key("k").value(&value)).unwrap();
                self.store.topic("one").unwrap().flush().unwrap();
                std::mem::forget(tx);
            }
            _ => {}
        }
        self.model.record();
        let disk = self.model.kill();
        moments.extend(self.recorder.take_moments());
        let is_cut = way == 4 || self.random.one_in(3);
        let disk = if is_cut {
            let disk = disk.reachable();
            let points = points(&disk);
            let number = self.below(40);
            cut(&disk, &drawn_fates(&points, number, &mut self.random))
        } else {
            disk
        };
        Left { disk, promises: self.recorder.promises(), jobs: self.jobs, is_on_disk: is_cut }
    }
}
