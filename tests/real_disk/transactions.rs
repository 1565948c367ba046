//! The campaign of power cuts in transactions: each is there whole or not at all, with the job that is done with it; what was
//! acknowledged at `Disk` is there, what was refused never is, and what one life has found the next ones find.
//!
//! | line | before `READY`: found |
//! |---|---|
//! | `V topic` and numbers | the transactions whose records are in the topic |
//! | `J` and numbers | the jobs that are handed out |
//! | `B text` | something that is not as it should be |
//!
//! | line | behind it |
//! |---|---|
//! | `s job` | a job was sent, and is on the disk |
//! | `b number place=count… job` | a transaction begins; the job is 0 where there is none |
//! | `d number`, `o number` | committed at `Disk`, at `Os` |
//! | `n number` | it was aborted, or refused |
//! | `E text` | an error |

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use annals::{Durability, Error, Record, Store, TopicConfig, Worker};
use annals_testing::Random;

use crate::acknowledgements::{tell, tell_error};
use crate::common::now;
use crate::device::{Cut, Device, remove};
use crate::process::{Process, Words, life};
use crate::report::READY;
use crate::{Options, Outcome};

const PLACES: [&str; 3] = ["one", "two", "three"];
const JOBS: &str = "jobs";
const CUTS_EACH: u64 = 12;
const THREADS: u64 = 3;

type Number = u64;
type Places = BTreeMap<String, usize>;

/// Transacts until an error stops it: the disk's end, in most lives.
pub(crate) fn transact(dir: &Path, life: u64) -> Outcome {
    let opened = Store::builder(dir).sync_every(Duration::from_millis(5)).open();
    let store = opened.map_err(|error| format!("open: {error}"))?;
    tell_found(&store);
    if let Err(error) = ensure_topics(&store) {
        tell_error("topics", &error);
        return Ok(());
    }
    tell("WORKING\n");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                if let Err(error) = Transacting::new(store, (life, thread)).run() {
                    tell_error("work", &error);
                }
            });
        }
    });
    // Closing has to come to an end on a dead disk, too.
    drop(store.close());
    Ok(())
}

/// Says what is there, closes, and checks every file.
pub(crate) fn look(dir: &Path) -> Outcome {
    let store = Store::builder(dir).maintain_by_hand().open().map_err(|error| format!("open: {error}"))?;
    tell_found(&store);
    store.close().map_err(|error| format!("close: {error}"))?;
    let verified = Store::verify(dir).map_err(|error| format!("verify: {error}"))?;
    if verified.is_sound() { Ok(()) } else { Err(format!("verify: {verified:?}")) }
}

fn ensure_topics(store: &Store) -> annals::Result<()> {
    PLACES
        .into_iter()
        .chain([JOBS])
        .try_for_each(|name| store.ensure_topic(name, TopicConfig::new().segment_bytes(16 << 10)).map(drop))
}

fn worker(store: &Store) -> annals::Result<Worker> {
    store.queue_builder(JOBS, "workers").delivery_limit(u16::MAX).build()
}

fn tell_found(store: &Store) {
    let mut lines = String::new();
    if let Err(error) = find(store, &mut lines) {
        // Perhaps in the middle of a line.
        lines += if lines.is_empty() || lines.ends_with('\n') { "" } else { "\n" };
        lines += &format!("B {}\n", error.to_string().replace('\n', " "));
    }
    tell(&format!("{lines}{READY}\n"));
}

fn number(value: Option<&[u8]>) -> Number {
    value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()).unwrap_or(0)
}

fn find(store: &Store, lines: &mut String) -> annals::Result<()> {
    for topic in PLACES {
        let Ok(found) = store.topic(topic) else { continue };
        let partition = found.partition(0)?;
        if partition.stable() != partition.end() {
            *lines += &format!("B {topic}: a transaction is left open\n");
        }
        *lines += &format!("V {topic}");
        for record in partition.read(..)? {
            *lines += &format!(" {}", number(record?.value.as_deref()));
        }
        lines.push('\n');
    }
    if store.topic(JOBS).is_ok() {
        let (mut worker, mut held) = (worker(store)?, Vec::new());
        loop {
            let messages = worker.take(1000, Duration::ZERO)?;
            if messages.is_empty() {
                break;
            }
            held.extend(messages);
        }
        *lines += "J";
        held.iter().for_each(|message: &annals::Message| {
            *lines += &format!(" {}", number(message.value.as_deref()));
        });
        lines.push('\n');
    }
    Ok(())
}

/// One thread.
struct Transacting<'a> {
    store: &'a Store,
    thread: u64,
    random: Random,
    next: Number,
}

impl<'a> Transacting<'a> {
    fn new(store: &'a Store, (life, thread): (u64, u64)) -> Self {
        let random = Random::new(life * 31 + thread + 1);
        Self { store, thread, random, next: (life * THREADS + thread) * 1_000_000 + 1 }
    }

    fn run(&mut self) -> annals::Result<()> {
        let mut worker = worker(self.store)?;
        let jobs = self.store.producer_builder().durability(Durability::Disk).build()?;
        loop {
            let number = self.next;
            self.next += 1;
            if self.random.one_in(2) {
                jobs.send(Record::to(JOBS).value(&number.to_string()))?;
                tell(&format!("s {number}\n"));
            }
            let message =
                if self.random.one_in(2) { worker.take(1, Duration::ZERO)?.into_iter().next() } else { None };
            self.transaction(number, message)?;
            if self.thread == 0 && self.random.one_in(40) {
                self.compact_decisions()?;
            }
        }
    }

    fn compact_decisions(&self) -> annals::Result<()> {
        match self.store.topic("__transaction_state") {
            Ok(decisions) => decisions.compact().map(drop),
            // There was none yet.
            Err(Error::UnknownTopic { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn transaction(&mut self, id: Number, message: Option<annals::Message>) -> annals::Result<()> {
        let mut places = Places::new();
        for _ in 0..=self.random.below(4) {
            let place = usize::try_from(self.random.below(3)).unwrap_or(0);
            *places.entry(PLACES[place].to_owned()).or_default() += 1;
        }
        let job = message.as_ref().map_or(0, |message| number(message.value.as_deref()));
        let words: Vec<_> = places.iter().map(|(place, count)| format!("{place}={count}")).collect();
        tell(&format!("b {id} {} {job}\n", words.join(" ")));
        let is_durable = self.random.below(3) > 0;
        let builder = self.store.transaction_builder(&format!("name {}", self.thread));
        let builder = builder.durability(if is_durable { Durability::Disk } else { Durability::Os });
        let builder = if self.random.one_in(3) { builder.buffer_bytes(0) } else { builder };
        let mut tx = builder.begin()?;
        if self.random.one_in(4) {
            let seen = self.store.topic("one")?.partition(0)?;
            tx.expect_end(&seen, seen.stable());
        }
        if let Some(message) = message {
            tx.ack(message);
        }
        let value = id.to_string();
        let sent = places.iter().try_for_each(|(place, count)| {
            (0..*count).try_for_each(|_| tx.send(Record::to(place).value(&value)))
        });
        let is_aborted = self.random.one_in(8);
        let ended = sent.and_then(|()| if is_aborted { tx.abort() } else { tx.commit().map(drop) });
        match ended {
            Ok(()) if is_aborted => tell(&format!("n {id}\n")),
            Ok(()) => tell(&format!("{} {id}\n", if is_durable { 'd' } else { 'o' })),
            Err(Error::UnexpectedEnd { .. }) => tell(&format!("n {id}\n")),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What was begun, and what is known of it.
#[derive(Debug, Default)]
struct Ledger {
    begun: BTreeMap<Number, Begun>,
    jobs: BTreeSet<Number>,
    acknowledged: usize,
}

#[derive(Debug)]
struct Begun {
    places: Places,
    job: Number,
    must_be_there: bool,
    may_be_there: bool,
}

impl Ledger {
    /// What a life has said it does; only of the first `counted` lines that it was done.
    fn told(&mut self, lines: &[String], counted: usize) -> Outcome {
        for (at, line) in lines.iter().enumerate() {
            let wrong = || format!("not a line of ours: {line:?}");
            let words: Vec<_> = line.split(' ').collect();
            let number =
                |at: usize| words.get(at).and_then(|word| word.parse::<Number>().ok()).ok_or_else(wrong);
            match words.as_slice() {
                ["b", id, places @ .., job] => {
                    let place = |word: &&str| {
                        let (place, count) = word.split_once('=')?;
                        Some((place.to_owned(), count.parse().ok()?))
                    };
                    let places = places.iter().map(place).collect::<Option<_>>().ok_or_else(wrong)?;
                    let job = job.parse().map_err(|_| wrong())?;
                    let begun = Begun { places, job, must_be_there: false, may_be_there: true };
                    self.begun.insert(id.parse().map_err(|_| wrong())?, begun);
                }
                ["s", _] if at < counted => _ = self.jobs.insert(number(1)?),
                ["d", _] if at < counted => {
                    self.begun.get_mut(&number(1)?).ok_or_else(wrong)?.must_be_there = true;
                    self.acknowledged += 1;
                }
                // Whenever it was said.
                ["n", _] => self.begun.get_mut(&number(1)?).ok_or_else(wrong)?.may_be_there = false,
                ["E", ..] if at < counted => return Err(format!("before the cut: {line}")),
                _ => {}
            }
        }
        Ok(())
    }

    /// What a life has found. After a remount all of it is on the disk.
    fn found(&mut self, lines: &[String]) -> Outcome<usize> {
        let mut counts: BTreeMap<Number, Places> = BTreeMap::new();
        let mut waiting = BTreeSet::new();
        for line in lines {
            let mut words = line.split(' ');
            let kind = words.next().unwrap_or_default();
            let place = if kind == "V" { words.next().unwrap_or_default() } else { "" };
            let numbers = words.map(|word| word.parse::<Number>().map_err(|_| line.clone()));
            match kind {
                "V" => numbers.into_iter().try_for_each(|number| {
                    *counts.entry(number?).or_default().entry(place.to_owned()).or_default() += 1;
                    Ok::<(), String>(())
                })?,
                "J" => waiting = numbers.collect::<Result<_, _>>()?,
                _ => return Err(line.clone()),
            }
        }
        if let Some(other) = counts.keys().find(|number| !self.begun.contains_key(number)) {
            return Err(format!("nobody has begun transaction {other}"));
        }
        for (number, begun) in &mut self.begun {
            let there = counts.get(number);
            if there.is_some_and(|there| *there != begun.places) {
                return Err(format!("transaction {number} is there in part: {there:?} of {begun:?}"));
            }
            if there.is_some() && !begun.may_be_there {
                return Err(format!("transaction {number} is there: {begun:?}"));
            }
            if there.is_none() && begun.must_be_there {
                return Err(format!("transaction {number} is gone, LOST: {begun:?}"));
            }
            if begun.job > 0 && there.is_some() == waiting.contains(&begun.job) && there.is_some() {
                return Err(format!("job {} is done and waits: {begun:?}", begun.job));
            }
            (begun.may_be_there, begun.must_be_there) = (there.is_some(), there.is_some());
        }
        let done: BTreeSet<_> =
            self.begun.values().filter(|begun| begun.may_be_there).map(|begun| begun.job).collect();
        if let Some(job) = self.jobs.iter().find(|job| !done.contains(job) && !waiting.contains(job)) {
            return Err(format!("job {job} is gone, LOST, and no transaction has done it"));
        }
        Ok(counts.len())
    }
}

/// `count` cuts, of which none may lose or halve anything.
pub(crate) fn run(options: &Options) -> Outcome {
    let count = options.number("count")?;
    let seed = options.number("seed").unwrap_or_else(|_| u64::from(std::process::id()));
    println!("seed {seed}");
    let (device, mut random) = (Device::of(options)?, Random::new(seed));
    let (started, mut done, mut acknowledged, mut found) = (now(), 0, 0, 0);
    while done < count {
        let cuts = CUTS_EACH.min(count - done);
        let mut ledger = Ledger::default();
        let dir = device.root.join(format!("store{done}"));
        for number in done..done + cuts {
            let words = one_life(&device, &dir, number, &mut random)?;
            found += judge(&mut ledger, &words).map_err(|wrong| format!("life {number}: {wrong}"))?;
        }
        let mut last = Process::start(life("transact-look", &dir, 0))?;
        last.await_line(READY)?;
        let words = last.words(usize::MAX)?;
        if !words.status.success() {
            return Err(format!("the last look of store {done}: {}", words.errors));
        }
        found += judge(&mut ledger, &words).map_err(|wrong| format!("the last look: {wrong}"))?;
        acknowledged += ledger.acknowledged;
        remove(&dir)?;
        done += cuts;
    }
    let took = started.elapsed();
    println!(
        "{count} cuts, {acknowledged} transactions acknowledged at Disk, none missing, none in part; {found} found; {took:.0?}"
    );
    if acknowledged as u64 > count { Ok(()) } else { Err("hardly anything was committed".to_owned()) }
}

fn judge(ledger: &mut Ledger, words: &Words) -> Outcome<usize> {
    let Some(ready) = words.lines.iter().position(|line| line == READY) else {
        // One that was cut while it opened.
        let is_of_the_cut = words.errors.is_empty() || words.errors.contains("os error");
        return if is_of_the_cut { Ok(0) } else { Err(words.errors.clone()) };
    };
    let (before, after) = (&words.lines[..ready], &words.lines[ready + 1..]);
    // The disk died while it looked.
    let is_cut_off = ready >= words.counted
        && before.iter().any(|line| line.starts_with("B ") && line.contains("(os error"));
    let found = if is_cut_off { 0 } else { ledger.found(before)? };
    ledger.told(after, words.counted.saturating_sub(ready + 1))?;
    Ok(found)
}

/// A process transacts for a while, and the power fails.
fn one_life(device: &Device, dir: &Path, number: u64, random: &mut Random) -> Outcome<Words> {
    let mut process = Process::start(life("transact", dir, number))?;
    if random.one_in(8) {
        std::thread::sleep(Duration::from_micros(random.below(8_000)));
    } else {
        // Often while it writes what the last cut has left to be done.
        let is_early = random.one_in(4);
        process.await_line(if is_early { READY } else { "WORKING" })?;
        std::thread::sleep(Duration::from_micros(random.below(if is_early { 10_000 } else { 150_000 })));
    }
    // Said before the cut is requested.
    let counted = process.heard();
    device.cut(if random.one_in(3) { Cut::JournalFlushed } else { Cut::NothingFlushed })?;
    if random.one_in(4) {
        std::thread::sleep(Duration::from_millis(5));
    }
    process.kill();
    let words = process.words(counted)?;
    device.remount()?;
    Ok(words)
}
