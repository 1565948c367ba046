//! Two real processes, an owner and a worker of its queue, and either is killed at any moment.
//!
//! `ANNALS_PROCESS_KILLS` is the number of kills, 12 by default. Each tells what it has done once the call has returned: what was told has
//! to hold in all lives that follow, and one answer of each that was killed may hold that was not.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use annals::{Message, QueueBuilder, Record, Store, StoreReader, TopicConfig};
use annals_testing::Random;

use crate::common::{by_hand, count_from_env, fast_dir};
use crate::pair::{child, kill, of_child, say};

const JOBS: &str = "jobs";
const GROUP: &str = "workers";
const LIMIT: u16 = 4;

/// Partition and offset.
type Place = (u32, i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// So often it was told that it was handed out.
    Waits(u16),
    Out(u16),
    /// It was out when its worker was killed, and may have been answered.
    Doubtful(u16),
    Over,
}

fn open(dir: &Path) -> Store {
    let store = by_hand(dir).open().unwrap();
    store.ensure_topic(JOBS, TopicConfig::new().partitions(2).segment_bytes(20_000)).unwrap();
    store
}

fn settings(builder: QueueBuilder) -> QueueBuilder {
    builder.delivery_limit(LIMIT).ordered_by_key()
}

fn key_of(message: &Message) -> String {
    String::from_utf8(message.key.clone().unwrap_or_default()).unwrap()
}

#[test]
fn owns_until_it_is_killed() {
    let Some((dir, mut random)) = of_child() else { return };
    let store = open(&dir);
    loop {
        for _ in 0..random.below(6) {
            let (partition, key) = (random.below(2), random.below(5).to_string());
            let record = Record::to(JOBS).partition(u32::try_from(partition).unwrap()).key(&key).value("x");
            let sent = store.producer().send(record).unwrap();
            say(&format!("s {} {} {key}", sent.partition, sent.offset));
        }
        match random.below(3) {
            0 => store.maintain().unwrap(),
            1 => drop(store.stats().unwrap()),
            _ => std::thread::sleep(Duration::from_micros(random.below(2000))),
        }
    }
}

#[test]
fn works_until_it_is_killed() {
    let Some((dir, mut random)) = of_child() else { return };
    let reader = StoreReader::attach(dir).unwrap();
    let mut worker = settings(reader.queue_builder(JOBS, GROUP)).build().unwrap();
    say("ready");
    loop {
        let most = usize::try_from(1 + random.below(6)).unwrap();
        let messages: Vec<_> = worker.take(most, Duration::from_millis(2)).unwrap().into_iter().collect();
        for message in &messages {
            let (partition, offset, count) = (message.partition, message.offset, message.delivery_count());
            say(&format!("t {partition} {offset} {count} {}", key_of(message)));
        }
        for message in messages {
            let place = format!("{} {}", message.partition, message.offset);
            let how = match random.below(8) {
                0 => message.reject("no").map(|()| "r"),
                1 | 2 => message.retry().map(|()| "b"),
                _ => message.ack().map(|()| "a"),
            };
            say(&format!("{} {place}", how.unwrap()));
        }
    }
}

#[derive(Default)]
struct Told {
    messages: BTreeMap<Place, (String, Known)>,
    rejected: Vec<Place>,
    kills: u16,
    what: String,
}

impl Told {
    fn line(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let [what, partition, offset, rest @ ..] = &words[..] else { return };
        let (Ok(partition), Ok(offset)) = (partition.parse(), offset.parse()) else { return };
        let place: Place = (partition, offset);
        match (*what, rest) {
            // It may have been handed out before that was told.
            ("s", [key]) => {
                self.messages.entry(place).or_insert_with(|| ((*key).to_owned(), Known::Waits(0)));
            }
            ("t", [count, key]) => self.taken(place, (count.parse().unwrap(), key)),
            ("a", []) => self.over(place),
            ("r", []) => {
                self.over(place);
                self.rejected.push(place);
            }
            ("b", []) => {
                let Some((_, Known::Out(count))) = self.messages.get(&place).cloned() else { return };
                let known = if count >= LIMIT { Known::Over } else { Known::Waits(count) };
                self.messages.get_mut(&place).unwrap().1 = known;
            }
            _ => {}
        }
    }

    fn over(&mut self, place: Place) {
        self.messages.get_mut(&place).unwrap().1 = Known::Over;
    }

    fn taken(&mut self, place: Place, (count, key): (u16, &str)) {
        let what = &self.what;
        let (_, known) = self.messages.entry(place).or_insert_with(|| (key.to_owned(), Known::Waits(0)));
        let (Known::Waits(told) | Known::Doubtful(told)) = *known else {
            panic!("{what}: {place:?} is {known:?}, and is handed out");
        };
        // A handing out that was not told counts, too.
        assert!(
            count > told && count <= (told + 1 + self.kills).min(LIMIT),
            "{what}: {place:?} {count}, told {told}"
        );
        *known = Known::Out(count);
        for (before, (other, known)) in self.messages.range_mut((place.0, 0)..place) {
            match known {
                _ if other != key => {}
                Known::Over => {}
                // Its answer was not told.
                Known::Doubtful(_) => *known = Known::Over,
                _ => panic!("{what}: {place:?} before {before:?}, which is {known:?}"),
            }
        }
    }

    /// The worker is dead.
    fn killed(&mut self) {
        self.kills += 1;
        for (_, known) in self.messages.values_mut() {
            // One may have been handed out, and even answered, that was not told.
            if let Known::Out(count) | Known::Waits(count) = *known {
                *known = Known::Doubtful(count);
            }
        }
    }
}

/// What a child says, as it says it.
fn lines_of(process: &mut Child) -> Receiver<String> {
    let (sender, receiver): (Sender<String>, _) = channel();
    let out = BufReader::new(process.stdout.take().unwrap());
    std::thread::spawn(move || {
        out.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    receiver
}

/// A worker at home does what is left to it, or some of it.
fn work_at_home(store: &Store, told: &mut Told, most: usize) {
    let mut worker = settings(store.queue_builder(JOBS, GROUP)).build().unwrap();
    let (mut done, mut empty) = (0, 0);
    while done < most && empty < 3 {
        let messages = worker.take(8, Duration::ZERO).unwrap();
        empty = if messages.is_empty() { empty + 1 } else { 0 };
        for message in messages {
            done += 1;
            let place = (message.partition, message.offset);
            told.taken(place, (message.delivery_count(), &key_of(&message)));
            message.ack().unwrap();
            told.over(place);
        }
    }
}

fn check_letters(store: &Store, told: &Told) {
    let letters = store.dead_letters(JOBS, GROUP).and_then(|mut letters| letters.take(100_000));
    let mut found: Vec<_> =
        letters.unwrap_or_default().iter().map(|letter| (letter.partition, letter.offset)).collect();
    found.sort_unstable();
    let count = found.len();
    found.dedup();
    assert_eq!(found.len(), count, "{}: a letter is there twice", told.what);
    let missing: Vec<_> = told.rejected.iter().filter(|place| !found.contains(place)).collect();
    assert!(missing.is_empty(), "{}: no letters of {missing:?}", told.what);
}

#[test]
fn no_answer_is_lost_and_no_message_when_worker_and_owner_are_killed() {
    let kills = count_from_env("ANNALS_PROCESS_KILLS", 12);
    let seed = count_from_env("ANNALS_SEED", std::process::id() as usize);
    let mut random = Random::new(seed as u64);
    let dir = fast_dir();
    open(dir.path()).close().unwrap();
    let mut told = Told::default();
    let spawn = |test: &str, random: &mut Random| {
        let mut process = child(&format!("workers_killed::{test}"), dir.path(), random.below(1 << 40));
        let lines = lines_of(&mut process);
        (process, lines)
    };
    let mut owner = None;
    let mut worker = None;
    for life in 0..kills {
        told.what = format!("ANNALS_SEED={seed}, life {life}");
        owner = owner.or_else(|| Some(spawn("owns_until_it_is_killed", &mut random)));
        worker = worker.or_else(|| Some(spawn("works_until_it_is_killed", &mut random)));
        let until = Instant::now() + Duration::from_millis(40 + random.below(120));
        while Instant::now() < until {
            let (Some((_, sent)), Some((_, done))) = (&owner, &worker) else { break };
            sent.try_iter().for_each(|line| told.line(&line));
            done.try_iter().for_each(|line| told.line(&line));
            std::thread::sleep(Duration::from_millis(1));
        }
        let which = random.below(3);
        if which != 0
            && let Some((process, lines)) = owner.take()
        {
            kill(process);
            lines.iter().for_each(|line| told.line(&line));
        }
        if which != 1
            && let Some((process, lines)) = worker.take()
        {
            kill(process);
            lines.iter().for_each(|line| told.line(&line));
            told.killed();
        }
        if owner.is_none() && worker.is_none() {
            let store = open(dir.path());
            work_at_home(&store, &mut told, 20);
            check_letters(&store, &told);
            store.close().unwrap();
        }
    }
    for (process, lines) in owner.into_iter().chain(worker) {
        kill(process);
        lines.iter().for_each(|line| told.line(&line));
    }
    told.killed();
    let store = open(dir.path());
    work_at_home(&store, &mut told, usize::MAX);
    check_letters(&store, &told);
    // An answer that was not told, one for each that was killed; and whatever was out as often as it may be.
    let open: Vec<_> = told.messages.iter().filter(|(_, (_, known))| *known != Known::Over).collect();
    let untold = open.iter().filter(|(_, (_, known))| !matches!(known, Known::Doubtful(LIMIT))).count();
    let letters = store.dead_letters(JOBS, GROUP).and_then(|mut letters| letters.take(100_000));
    let letters = letters.map_or(0, |letters| letters.len());
    assert!(untold <= usize::from(told.kills) + letters, "{}: {open:?}", told.what);
    assert!(!told.messages.is_empty());
}
