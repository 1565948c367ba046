//! A bank in the verbs of a client: what happened to its accounts are events, and a command is decided once.
//!
//! Versions of streams, conditions and snapshots are in the library and in no broker. What a broker has too is enough for one writer at a
//! time: a transactional id fences the writer before; it reads all events to know the balances, decides commands, and writes in one
//! transaction the events, the sum of each branch, which is a table, and that the command is done. Commands wait in a topic.
//!
//! `cargo run -p annals-port --example event_store` uses a temporary directory; `-- DIR` puts the store in DIR. This very file runs on a
//! cluster too: `cargo run --example ported -- event_store 127.0.0.1:9092` in `crates/annals-mirror`.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use annals::{CleanupPolicy, Record, TopicConfig, TopicPartition};
use annals_port::{Backend, Consume, Embedded, ErrorKind, Produce, Received, Result};

const ACCOUNTS: usize = 100;
const TRANSFERS: usize = 500;
const OPENING: i64 = 100;
const BRANCHES: [&str; 3] = ["harbour", "market", "station"];
/// Polls of half a second without a record before it is given up.
const IDLE: u32 = 240;

type Outcome<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let temporary = tempfile::tempdir()?;
    let dir = std::env::args_os().nth(1).map_or_else(|| temporary.path().join("store"), PathBuf::from);
    run(|| Embedded::open(&dir))
}

/// Both lives of the program. It knows nothing of what stands behind it.
pub(crate) fn run<B: Backend>(open: impl Fn() -> Result<B>) -> Outcome {
    {
        let kafka = open()?;
        kafka.create_topic("commands", TopicConfig::new().partitions(2))?;
        kafka.create_topic("accounts", TopicConfig::new().partitions(4))?;
        kafka.create_topic("branches", TopicConfig::new().cleanup_policy(CleanupPolicy::Compact))?;
        let mut producer = kafka.producer()?;
        for number in 0..ACCOUNTS {
            producer.send(
                Record::to("commands").key(&name(number)).value(&format!("open {number} 0 {OPENING}")),
            )?;
        }
        for number in 0..TRANSFERS {
            let (from, to) = (number * 7919 % ACCOUNTS, (number * 31 + 1) % ACCOUNTS);
            let command = format!("move {from} {to} {}", 1 + number % 40);
            producer.send(Record::to("commands").key(&name(from)).value(&command))?;
        }
        producer.flush()?;

        // The first decides something, and learns that a second one has taken its place.
        let mut first = Bank::open(&kafka)?;
        let decided = first.until(1, &kafka)?;
        let second = Bank::open(&kafka)?;
        let error = first.claim().err().ok_or("two banks write")?;
        if error.kind() != ErrorKind::Fenced {
            return Err(error.into());
        }
        println!("{decided} commands decided, then: {error}.");
        drop((first, second));
    }
    let kafka = open()?;
    let mut bank = Bank::open(&kafka)?;
    bank.until(ACCOUNTS + TRANSFERS, &kafka)?;
    let remembered = (bank.balances, bank.sums, bank.decided);
    let read = Bank::open(&kafka)?;
    println!("By branch: {:?}; {} commands decided.", read.sums, read.decided);
    let sums = [read.balances.values().sum::<i64>(), read.sums.values().sum()];
    let is_right = (read.balances, read.sums, read.decided) == remembered
        && remembered.2 == ACCOUNTS + TRANSFERS
        && sums == [OPENING * i64::try_from(ACCOUNTS)?; 2];
    if is_right { Ok(()) } else { Err("money was lost or made".into()) }
}

fn name(number: usize) -> String {
    format!("account-{number}")
}

fn branch(account: &str) -> &'static str {
    BRANCHES
        .get(account.bytes().map(usize::from).sum::<usize>() % BRANCHES.len())
        .copied()
        .unwrap_or_default()
}

/// The one that writes. What it holds in memory is what it has read, and what it has written since.
struct Bank<B: Backend> {
    balances: BTreeMap<String, i64>,
    sums: BTreeMap<String, i64>,
    decided: usize,
    commands: B::Consumer,
    producer: B::Producer,
}

impl<B: Backend> Bank<B> {
    /// Fences those before, and reads all that they have written: up to a mark that it writes itself, as nothing of them can come behind.
    fn open(kafka: &B) -> Outcome<Self> {
        let mut producer = kafka.transactional_producer("bank")?;
        let mark = RandomState::new().hash_one(0).to_string();
        let mut ahead = BTreeSet::new();
        for topic in ["accounts", "branches"] {
            let count = kafka.partition_count(topic)?;
            ahead.extend((0..count).map(|number| TopicPartition::new(topic, number)));
        }
        producer.begin_transaction()?;
        for place in &ahead {
            let record = Record::to(place.topic()).partition(place.partition());
            producer.send(record.key("mark").value(&mark))?;
        }
        producer.commit_transaction()?;

        let mut commands = kafka.consumer("bank")?;
        commands.subscribe(&["commands"])?;
        let (balances, sums) = (BTreeMap::new(), BTreeMap::new());
        let mut bank = Self { balances, sums, decided: 0, commands, producer };
        // Commits nothing, so it begins at the first event each time.
        let mut reader = kafka.consumer("bank-events")?;
        reader.assign(&ahead.iter().cloned().collect::<Vec<_>>())?;
        let mut idle = 0;
        while !ahead.is_empty() {
            let events = reader.poll(Duration::from_millis(500))?;
            idle = if events.is_empty() { idle + 1 } else { 0 };
            if idle > IDLE {
                return Err(format!("no end of {ahead:?}").into());
            }
            for event in &events {
                let (key, value) = (text(event.key.as_deref()), text(event.value.as_deref()));
                match key.as_str() {
                    "mark" if value == mark => _ = ahead.remove(&event.topic_partition()),
                    "mark" => {}
                    _ => bank.apply(event, key, value.parse()?),
                }
            }
        }
        Ok(bank)
    }

    fn apply(&mut self, event: &Received, key: String, amount: i64) {
        if event.topic == "branches" {
            self.sums.insert(key, amount);
        } else {
            *self.balances.entry(key).or_default() += amount;
            self.decided += usize::from(event.headers.iter().any(|(name, _)| name == "decides"));
        }
    }

    /// Decides commands until there were so many. Returns how many there were.
    fn until(&mut self, count: usize, kafka: &B) -> Outcome<usize> {
        let mut idle = 0;
        while self.decided < count {
            let before = self.decided;
            match self.step() {
                // A bank before was still a member of the group. What was decided here did not take effect.
                Err(error) if matches!(error.kind(), ErrorKind::NotAssigned | ErrorKind::Retriable) => {
                    *self = Self::open(kafka)?;
                }
                other => other?,
            }
            idle = if self.decided == before { idle + 1 } else { 0 };
            if idle > IDLE {
                return Err(format!("{} commands are decided, and no more come", self.decided).into());
            }
        }
        Ok(self.decided)
    }

    /// Decides what waits: all of it, or nothing.
    fn step(&mut self) -> Result<()> {
        let commands = self.commands.poll(Duration::from_millis(500))?;
        if commands.is_empty() {
            return Ok(());
        }
        self.producer.begin_transaction()?;
        for command in &commands {
            self.decide(&text(command.value.as_deref()))?;
            self.decided += 1;
        }
        self.producer.send_offsets(&mut self.commands)?;
        self.producer.commit_transaction()
    }

    fn decide(&mut self, command: &str) -> Result<()> {
        let mut words = command.split(' ');
        let verb = words.next().unwrap_or_default();
        let mut number = || words.next().and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
        let (from, to) = (name(number()), name(number()));
        let amount = i64::try_from(number()).unwrap_or(0);
        if verb == "open" {
            return self.book(&from, amount, Decides::Yes);
        }
        // Money that is not there is not moved; that is a decision, too.
        let is_there = self.balances.get(&from).is_some_and(|balance| *balance >= amount);
        if !is_there || !self.balances.contains_key(&to) {
            return self.book(&from, 0, Decides::Yes);
        }
        self.book(&from, -amount, Decides::Yes)?;
        self.book(&to, amount, Decides::No)
    }

    fn book(&mut self, account: &str, amount: i64, decides: Decides) -> Result<()> {
        let amount_text = amount.to_string();
        let event = Record::to("accounts").key(account).value(&amount_text);
        self.producer.send(match decides {
            Decides::Yes => event.header("decides", "1"),
            Decides::No => event,
        })?;
        *self.balances.entry(account.to_owned()).or_default() += amount;
        let sum = self.sums.entry(branch(account).to_owned()).or_default();
        *sum += amount;
        self.producer.send(Record::to("branches").key(branch(account)).value(&sum.to_string()))
    }

    /// Writes nothing that counts, to see whether it still may.
    fn claim(&mut self) -> Result<()> {
        self.producer.begin_transaction()?;
        self.producer.send(Record::to("accounts").partition(0).key("mark").value("claim"))?;
        self.producer.commit_transaction()
    }
}

/// Whether an event is the one that counts for its command.
#[derive(Debug, Clone, Copy)]
enum Decides {
    Yes,
    No,
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}
