//! Random lives of a queue that goes from process to process, against a model: what is done or given up never comes again, what is not comes
//! until its limit, counts are those of the handings out, keys keep their order, and each letter is there once.
//!
//! `ANNALS_QUEUES_ELSEWHERE` is the number of lives, 20 by default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::{Durability, Error, Message, QueueBuilder, Record, Store, StoreReader, TopicConfig, Worker};
use annals_testing::Random;

use crate::common::{by_hand, copy_dir, count_from_env, fast_dir};
use crate::hooked::Hooked;

const JOBS: &str = "jobs";
const GROUP: &str = "workers";
const LIMIT: u16 = 3;
const PARTITIONS: u32 = 2;

/// Partition and offset.
type Place = (u32, i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Waits(u16),
    Out(u16),
    Done,
    GivenUp,
}

#[derive(Default)]
struct Model {
    messages: BTreeMap<Place, (Option<u64>, Known)>,
}

impl Model {
    fn is_over(known: Known) -> bool {
        matches!(known, Known::Done | Known::GivenUp)
    }

    fn set(&mut self, place: Place, known: Known) {
        self.messages.get_mut(&place).unwrap().1 = known;
    }

    fn take(&mut self, message: &Message, (ordered, what): (bool, &str)) {
        let place = (message.partition, message.offset);
        let (key, known) = self.messages[&place];
        let Known::Waits(count) = known else { panic!("{what}: {place:?} is {known:?}, and handed out") };
        assert_eq!(message.delivery_count(), count + 1, "{what}: {place:?}");
        assert!(count < LIMIT, "{what}: {place:?} comes too often");
        if ordered && key.is_some() {
            let mut before = self.messages.range((place.0, 0)..place);
            let in_front = before.find(|(_, (other, known))| *other == key && !Self::is_over(*known));
            assert!(in_front.is_none(), "{what}: {place:?} comes before {in_front:?}");
        }
        self.set(place, Known::Out(count + 1));
    }

    /// It is handed out again, or was handed out as often as it may be.
    fn back(&mut self, place: Place) {
        if let Known::Out(count) = self.messages[&place].1 {
            self.set(place, if count >= LIMIT { Known::GivenUp } else { Known::Waits(count) });
        }
    }

    fn put_back(&mut self, place: Place) {
        if let Known::Out(count) = self.messages[&place].1 {
            self.set(place, Known::Waits(count - 1));
        }
    }

    /// The process that has the queue dies: what was out as often as it may be is given up by the next.
    fn crash(&mut self) {
        for (_, known) in self.messages.values_mut() {
            if let Known::Out(count) = *known {
                *known = if count >= LIMIT { Known::GivenUp } else { Known::Waits(count) };
            }
        }
    }
}

/// The one process that has the queue.
struct Holder {
    party: usize,
    worker: Worker,
    out: Vec<Message>,
}

struct Life {
    dir: PathBuf,
    /// The copies of those that have crashed.
    dirs: Vec<tempfile::TempDir>,
    hooked: Arc<Hooked>,
    store: Option<Store>,
    readers: [StoreReader; 2],
    holder: Option<Holder>,
    model: Model,
    random: Random,
    ordered: bool,
    durability: Durability,
    what: String,
}

fn open(dir: &Path, hooked: &Arc<Hooked>) -> Store {
    let store = by_hand(dir).file_system(hooked.files()).open().unwrap();
    store.ensure_topic(JOBS, TopicConfig::new().partitions(PARTITIONS).retention_until_consumed()).unwrap();
    store
}

fn attach(dir: &Path) -> [StoreReader; 2] {
    [StoreReader::attach(dir).unwrap(), StoreReader::attach(dir).unwrap()]
}

impl Life {
    fn new(seed: u64) -> Self {
        let (first, hooked) = (fast_dir(), Hooked::new());
        let dir = first.path().to_path_buf();
        let store = open(&dir, &hooked);
        let mut random = Random::new(seed);
        let ordered = random.one_in(2);
        let durability = if random.one_in(4) { Durability::Disk } else { Durability::Os };
        Self {
            readers: attach(&dir),
            dir,
            dirs: vec![first],
            hooked,
            store: Some(store),
            holder: None,
            model: Model::default(),
            random,
            ordered,
            durability,
            what: String::new(),
        }
    }

    fn builder(&self, party: usize) -> Option<QueueBuilder> {
        let builder = match party {
            0 => self.store.as_ref()?.queue_builder(JOBS, GROUP),
            other => self.readers[other - 1].queue_builder(JOBS, GROUP),
        };
        let builder = builder.delivery_limit(LIMIT).durability(self.durability);
        Some(if self.ordered { builder.ordered_by_key() } else { builder })
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random.below(limit)
    }

    fn send(&mut self) {
        let Some(store) = self.store.clone() else { return };
        for _ in 0..self.below(8) {
            let partition = u32::try_from(self.below(u64::from(PARTITIONS))).unwrap();
            let key = Some(self.below(4)).filter(|key| *key != 0);
            let text = key.map(|key| format!("{key}"));
            let mut record = Record::to(JOBS).partition(partition).value("x");
            if let Some(text) = &text {
                record = record.key(text);
            }
            if self.random.one_in(8) {
                let mut tx = store.transaction_builder("nobody").buffer_bytes(0).begin().unwrap();
                tx.send(record).unwrap();
                tx.abort().unwrap();
                continue;
            }
            let sent = store.producer().send(record).unwrap();
            self.model.messages.insert((partition, sent.offset), (key, Known::Waits(0)));
        }
    }

    fn take(&mut self) {
        let party = usize::try_from(self.below(3)).unwrap();
        let Some(builder) = self.builder(party) else { return };
        match &self.holder {
            Some(holder) if holder.party != party => {
                let refused = builder.build();
                assert!(matches!(refused, Err(Error::GroupInUse { .. })), "{}: {refused:?}", self.what);
            }
            Some(_) => {}
            None => {
                let worker = builder.build().unwrap();
                self.holder = Some(Holder { party, worker, out: Vec::new() });
            }
        }
        let most = usize::try_from(1 + self.below(6)).unwrap();
        let Some(holder) = self.holder.as_mut() else { return };
        for message in holder.worker.take(most, Duration::ZERO).unwrap() {
            self.model.take(&message, (self.ordered, &self.what));
            holder.out.push(message);
        }
    }

    fn answer(&mut self) {
        let (number, how) = (self.below(1 << 20), self.below(8));
        let Some(holder) = self.holder.as_mut().filter(|holder| !holder.out.is_empty()) else { return };
        let number = usize::try_from(number).unwrap() % holder.out.len();
        let message = holder.out.swap_remove(number);
        let place = (message.partition, message.offset);
        match how {
            0..3 => {
                message.ack().unwrap();
                self.model.set(place, Known::Done);
            }
            3 => {
                message.reject("no").unwrap();
                self.model.set(place, Known::GivenUp);
            }
            4 => {
                message.put_back().unwrap();
                self.model.put_back(place);
            }
            5 => {
                message.renew().unwrap();
                holder.out.push(message);
            }
            _ => {
                message.retry().unwrap();
                self.model.back(place);
            }
        }
    }

    fn leave(&mut self) {
        let Some(Holder { worker, out, .. }) = self.holder.take() else { return };
        out.iter().for_each(|message| self.model.back((message.partition, message.offset)));
        drop((worker, out));
    }

    fn own(&mut self) {
        let number = self.below(8);
        let Some(store) = &self.store else {
            if number < 3 {
                self.store = Some(open(&self.dir, &self.hooked));
            }
            return;
        };
        match number {
            0..3 => store.maintain().unwrap(),
            3 => drop(store.stats().unwrap()),
            4 => drop(store.drop_done(JOBS).unwrap()),
            5 => {
                if self.holder.as_ref().is_some_and(|holder| holder.party == 0) {
                    self.leave();
                }
                let store = self.store.take();
                store.into_iter().for_each(|store| store.close().unwrap());
            }
            _ => {}
        }
    }

    /// All processes are killed, now or where a fold is about to take steps out.
    fn crash(&mut self) {
        let copy = fast_dir();
        let is_copied = Arc::new(Mutex::new(false));
        if let Some(store) = self.store.as_ref().filter(|_| self.random.one_in(2)) {
            let (from, to, done) = (self.dir.clone(), copy.path().to_path_buf(), Arc::clone(&is_copied));
            self.hooked.at_rename(move |path| {
                let mut done = done.lock().unwrap();
                if path.to_string_lossy().contains("annals.steps") && !*done {
                    copy_dir(&from, &to);
                    *done = true;
                }
            });
            store.maintain().unwrap();
            self.hooked.at_rename(|_| {});
        }
        if !*is_copied.lock().unwrap() {
            copy_dir(&self.dir, copy.path());
        }
        std::mem::forget(self.holder.take());
        std::mem::forget(self.store.take());
        self.model.crash();
        self.dir = copy.path().to_path_buf();
        self.dirs.push(copy);
        self.readers = attach(&self.dir);
    }

    fn step(&mut self) {
        match self.below(40) {
            0..4 => self.send(),
            4..15 => self.take(),
            15..30 => self.answer(),
            30..32 => self.leave(),
            32..39 => self.own(),
            _ => self.crash(),
        }
    }

    /// Whatever is not done comes, and whatever was given up is a letter, once.
    fn finish(mut self) {
        self.leave();
        let store = self.store.take().unwrap_or_else(|| open(&self.dir, &self.hooked));
        self.store = Some(store.clone());
        let party = usize::try_from(self.below(3)).unwrap();
        let mut worker = self.builder(party).unwrap().build().unwrap();
        let mut empty = 0;
        while empty < 3 {
            let messages = worker.take(9, Duration::ZERO).unwrap();
            empty = if messages.is_empty() { empty + 1 } else { 0 };
            for message in messages {
                self.model.take(&message, (self.ordered, &self.what));
                self.model.set((message.partition, message.offset), Known::Done);
                message.ack().unwrap();
            }
        }
        drop(worker);
        store.maintain().unwrap();
        let mut given_up: Vec<_> = self.model.messages.iter().collect();
        assert!(given_up.iter().all(|(_, (_, known))| Model::is_over(*known)), "{}: {given_up:?}", self.what);
        given_up.retain(|(_, (_, known))| *known == Known::GivenUp);
        let expected: Vec<_> = given_up.into_iter().map(|(place, _)| *place).collect();
        let letters = store.dead_letters(JOBS, GROUP).and_then(|mut letters| letters.take(1000));
        let mut found: Vec<_> =
            letters.unwrap_or_default().iter().map(|letter| (letter.partition, letter.offset)).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{}", self.what);
    }
}

#[test]
fn a_queue_that_goes_from_process_to_process_does_what_one_at_home_does() {
    let lives = count_from_env("ANNALS_QUEUES_ELSEWHERE", 20);
    let first = count_from_env("ANNALS_SEED", 1);
    for seed in first..first + lives {
        let mut life = Life::new(seed as u64);
        for step in 0..150 {
            life.what = format!("ANNALS_SEED={seed}, step {step}");
            life.step();
        }
        life.finish();
    }
}
