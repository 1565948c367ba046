//! Transactions while the power fails: each is found in every partition or in none, one that was acknowledged at `Disk` is found,
//! and what one life has found the next one finds too.

use std::collections::{BTreeMap, BTreeSet};

use annals::{Durability, Error, Isolation, Record, Store, TopicConfig};

use crate::common::count_from_env;
use crate::power_cut::model::Model;
use crate::power_cut::promise::{Outcome, Promises};
use crate::power_cut::record::{Moment, Recorder};
use crate::power_cut::scenes::{clock, open};
use annals_testing::Random;
use annals_testing::power_cut::{Disk, Fate, all_fates, cut, drawn_fates, points};

const TOPICS: [&str; 3] = ["one", "two", "three"];

/// What is known of a transaction, by what each of its records says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransactionPromise {
    /// The partitions that it has records in, and how many.
    places: BTreeMap<&'static str, usize>,
    /// Where it has moved the group to, if it has.
    offset: Option<i64>,
    must_be_there: bool,
    may_be_there: bool,
}

/// A store on a machine whose power will fail.
struct Machine {
    model: Model,
    recorder: std::sync::Arc<Recorder>,
    store: Store,
    random: Random,
    seed: u64,
}

impl Machine {
    fn begin(seed: u64) -> Self {
        let recorder = std::sync::Arc::new(Recorder::default());
        let model = Model::new(Disk::new(), Some(std::sync::Arc::clone(&recorder)));
        let store = open(&model, &clock(), if seed.is_multiple_of(2) { 1 } else { 100 }).unwrap();
        for topic in TOPICS {
            store.create_topic(topic, TopicConfig::new().segment_bytes(1500)).unwrap();
        }
        store.create_topic("input", TopicConfig::new()).unwrap();
        recorder.promise(|_| {});
        model.record();
        Self { model, recorder, store, random: Random::new(seed), seed }
    }

    fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.random.below(bound)).unwrap()
    }

    /// One transaction, from its first record to its end.
    fn transaction(&mut self, number: usize) {
        let name = format!("name {}", number % 2);
        let durability =
            [Durability::Memory, Durability::Os, Durability::Disk, Durability::Disk][self.below(4)];
        let buffer_bytes = if self.below(3) == 0 { 0 } else { 1 << 20 };
        let (is_aborted, has_offsets) = (self.below(5) == 0, self.below(3) == 0);
        let mut places = BTreeMap::new();
        for _ in 0..=self.below(4) {
            *places.entry(TOPICS[self.below(3)]).or_insert(0) += 1;
        }
        let mut consumer = has_offsets.then(|| {
            self.store.producer().send(Record::to("input").value("in")).unwrap();
            let mut consumer = self.store.consumer_builder().group("group").build().unwrap();
            consumer.assign([("input", 0)]).unwrap();
            consumer.seek_to_end();
            consumer
        });
        let offset = consumer.as_mut().map(|consumer| consumer.position(("input", 0)).unwrap());
        let promise = TransactionPromise {
            places: places.clone(),
            offset,
            must_be_there: false,
            may_be_there: !is_aborted,
        };
        self.recorder.attempt(&format!("transaction {number} {durability:?}"), |promises| {
            promises.transactions.push(promise);
        });
        let builder = self.store.transaction_builder(&name).durability(durability);
        let mut tx = builder.buffer_bytes(buffer_bytes).begin().unwrap();
        let value = format!("{number}");
        for (topic, count) in places {
            for _ in 0..count {
                tx.send(Record::to(topic).key("k").value(&value)).unwrap();
            }
        }
        if let Some(consumer) = &consumer {
            tx.commit_offsets(consumer).unwrap();
        }
        if is_aborted {
            tx.abort().unwrap();
        } else {
            tx.commit().unwrap();
        }
        self.recorder.promise(|promises| {
            let last = promises.transactions.last_mut().unwrap();
            last.must_be_there = !is_aborted && durability == Durability::Disk;
        });
        self.model.record();
    }

    fn life(mut self) -> Vec<Moment> {
        let count = 4 + self.below(5);
        for number in 0..count {
            match self.below(6) {
                0 => {
                    let value = "plain";
                    let topic = TOPICS[self.below(3)];
                    self.store.producer().send(Record::to(topic).value(value)).unwrap();
                }
                1 => self.store.maintain().unwrap(),
                _ => {}
            }
            self.transaction(number);
        }
        if self.seed.is_multiple_of(3) {
            self.store.close().unwrap();
        }
        self.model.record();
        self.model.kill();
        self.recorder.take_moments()
    }
}

/// Which transactions are there: all of each, or nothing.
fn found(store: &Store, promises: &[TransactionPromise]) -> Outcome<BTreeSet<usize>> {
    let mut counts: Vec<BTreeMap<&str, usize>> = vec![BTreeMap::new(); promises.len()];
    for topic in TOPICS {
        let Ok(found) = store.topic(topic) else { continue };
        let partition = found.partition(0).map_err(|error| error.to_string())?;
        if partition.stable() != partition.end() {
            return Err(format!("{topic}: a transaction is left open"));
        }
        let reader =
            partition.read(..).map_err(|error| error.to_string())?.isolation(Isolation::ReadCommitted);
        for record in reader {
            let value = record.map_err(|error| error.to_string())?.value.unwrap();
            if value == b"plain" {
                continue;
            }
            let number: usize = String::from_utf8(value).unwrap().parse().unwrap();
            *counts[number].entry(topic).or_insert(0) += 1;
        }
    }
    let mut there = BTreeSet::new();
    let mut committed = None;
    for (number, (promise, counts)) in promises.iter().zip(counts).enumerate() {
        let is_there = !counts.is_empty();
        if is_there && counts != promise.places {
            for topic in TOPICS {
                let partition = store.topic(topic).unwrap().partition(0).unwrap();
                let all = partition.read(..).unwrap().isolation(Isolation::ReadUncommitted).into_iter();
                let all: Vec<_> = all
                    .map(|record| record.map(|r| (r.offset, String::from_utf8(r.value.unwrap()).unwrap())))
                    .collect();
                eprintln!("{topic}: end {} {all:?}", partition.end());
            }
            return Err(format!("transaction {number} is there in part: {counts:?} of {:?}", promise.places));
        }
        if is_there && !promise.may_be_there {
            return Err(format!("transaction {number} was aborted, and is there"));
        }
        if !is_there && promise.must_be_there {
            return Err(format!("transaction {number} was acknowledged as durable, and is gone"));
        }
        if is_there {
            there.insert(number);
            committed = promise.offset.or(committed);
        }
    }
    let found = store.committed("group").get(&("input", 0).into()).map(|committed| committed.offset);
    if found != committed {
        return Err(format!(
            "the group stands at {found:?}, the transactions that are there say {committed:?}"
        ));
    }
    Ok(there)
}

fn reopened(
    disk: Disk,
    promises: &Promises,
    before: Option<&BTreeSet<usize>>,
) -> Outcome<(Model, Store, BTreeSet<usize>)> {
    let model = Model::new(disk, None);
    let store = open(&model, &clock(), 100).map_err(|error| format!("does not open: {error}"))?;
    let there = found(&store, &promises.transactions)?;
    if before.is_some_and(|before| *before != there) {
        return Err(format!("{before:?} were there, now {there:?}"));
    }
    Ok((model, store, there))
}

/// Opens what a cut left, looks, lives on as `variant` says, has the power fail again perhaps, and looks once more.
fn judge(disk: Disk, promises: &Promises, variant: usize) -> Outcome<()> {
    let (model, store, there) = reopened(disk, promises, None)?;
    let text = |error: Error| error.to_string();
    match variant % 5 {
        0 => {}
        1 => store.maintain().map_err(text)?,
        2 => {
            // Appended where a decision may have missed something.
            for topic in TOPICS.iter().filter(|topic| store.topic(topic).is_ok()) {
                for _ in 0..4 {
                    let plain = Record::to(topic).value("plain");
                    store
                        .producer_builder()
                        .durability(Durability::Disk)
                        .build()
                        .map_err(text)?
                        .send(plain)
                        .map_err(text)?;
                }
            }
        }
        3 => {
            store.maintain().map_err(text)?;
            for topic in TOPICS.iter().filter(|topic| store.topic(topic).is_ok()) {
                store.topic(topic).map_err(text)?.flush().map_err(text)?;
            }
        }
        _ => store.close().map_err(text)?,
    }
    let disk = model.kill();
    if let Some(violation) = model.violations().first() {
        return Err(violation.clone());
    }
    let disk = if variant.is_multiple_of(2) {
        disk
    } else {
        let disk = disk.reachable();
        cut(&disk, &vec![Fate::Lost; points(&disk).len()])
    };
    // What the first cut left is on the disk: what was found there is found again.
    reopened(disk, promises, Some(&there)).map(drop).map_err(|why| format!("the next life: {why}"))
}

fn explore(percent: usize) {
    let most = count_from_env("ANNALS_CRASH_STATES", 100_000) * percent / 100;
    let first = u64::try_from(count_from_env("ANNALS_CRASH_SEED", 1)).unwrap();
    let (mut states, mut seed, mut moments_seen) = (0, first, 0);
    while states < most {
        let moments = Machine::begin(seed).life();
        moments_seen += moments.len();
        let each = (most / 8 / moments.len().max(1)).clamp(6, 200);
        for (number, moment) in moments.iter().enumerate() {
            let points = points(&moment.disk);
            let mut random = Random::new(seed << 20 | number as u64);
            let plans = all_fates(&points, each).unwrap_or_else(|| {
                (0..each).map(|number| drawn_fates(&points, number, &mut random)).collect()
            });
            for fates in plans {
                states += 1;
                if let Err(why) = judge(cut(&moment.disk, &fates), &moment.promises, states) {
                    let doing = &moment.doing;
                    panic!(
                        "ANNALS_CRASH_SEED={seed}: {doing}: variant {}: {why}\n{fates:?}\n{:#?}",
                        states % 5,
                        moment.promises.transactions
                    );
                }
            }
        }
        seed += 1;
        if std::env::var_os("ANNALS_CRASH_SEED").is_some() {
            break;
        }
    }
    println!("transactions: {states} states of {moments_seen} moments in {} lives", seed - first);
}

#[test]
fn transactions() {
    explore(12);
}
