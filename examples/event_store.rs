//! An event store: what happened to an account is a log of its own, its balance is what the log adds up to, and a decision
//! is only stored if no other decision was stored meanwhile.
//!
//! One partition per account. To act on an account one replays it to its balance, decides, and appends the event with
//! `append_if` at the end one has seen. When that is refused, another thread was faster: read on, decide again. Four threads
//! draw on the same accounts; no account is ever overdrawn; after a restart the replay comes to the same balances.
//!
//! `cargo run --release --example event_store` uses a temporary directory; `-- DIR` puts the store in DIR.

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use annals::{Durability, Offset, OwnedRecord, Partition, Record, Store, TopicConfig};

const TOPIC: &str = "accounts";
const ACCOUNTS: u32 = 3;
const TELLERS: usize = 4;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let dir = given.unwrap_or_else(|| temporary.path().join("store"));

    let store = Store::open(&dir)?;
    let topic = store.ensure_topic(TOPIC, TopicConfig::new().partitions(ACCOUNTS))?;
    for account in topic.partitions() {
        Account::replay(account)?.decide(|_| Some(Event::Deposited(100)))?;
    }
    let (conflicts, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let tellers: Vec<_> = (0..TELLERS)
            .map(|_| {
                let partitions = topic.partitions();
                scope.spawn(|| draw(partitions, &conflicts, &refused))
            })
            .collect();
        tellers.into_iter().try_for_each(|teller| teller.join().map_err(|_| "a teller panicked")?)
    })?;
    println!(
        "{TELLERS} tellers: {} withdrawals refused, {} decisions taken again because another came first.",
        refused.into_inner(),
        conflicts.into_inner()
    );
    let before = balances(topic.partitions())?;
    store.close()?;

    let store = Store::open(&dir)?;
    let after = balances(store.topic(TOPIC)?.partitions())?;
    println!("Balances after a restart: {after:?}");
    let overdrawn = after.iter().any(|balance| *balance < 0);
    if before == after && !overdrawn { Ok(()) } else { Err("the replay differs".into()) }
}

fn draw(partitions: Vec<Partition>, conflicts: &AtomicUsize, refused: &AtomicUsize) -> Outcome {
    let accounts = partitions.into_iter().map(Account::replay);
    let mut accounts = accounts.collect::<Outcome<Vec<_>>>()?;
    for _ in 0..3 {
        for account in &mut accounts {
            // Twelve withdrawals of 15 are asked of an account that holds 100: six go through.
            let taken = account.decide(|balance| (balance >= 15).then_some(Event::Withdrawn(15)))?;
            refused.fetch_add(usize::from(!taken.stored), Ordering::Relaxed);
            conflicts.fetch_add(taken.conflicts, Ordering::Relaxed);
        }
    }
    Ok(())
}

fn balances(partitions: Vec<Partition>) -> Outcome<Vec<i64>> {
    partitions.into_iter().map(|partition| Ok(Account::replay(partition)?.balance)).collect()
}

/// What can happen to an account.
enum Event {
    Deposited(i64),
    Withdrawn(i64),
}

impl Event {
    fn encode(&self) -> String {
        match self {
            Self::Deposited(amount) => format!("deposited {amount}"),
            Self::Withdrawn(amount) => format!("withdrawn {amount}"),
        }
    }

    fn decode(record: &OwnedRecord) -> Outcome<Self> {
        let text = std::str::from_utf8(record.value.as_deref().unwrap_or_default())?;
        match text.split_once(' ') {
            Some(("deposited", amount)) => Ok(Self::Deposited(amount.parse()?)),
            Some(("withdrawn", amount)) => Ok(Self::Withdrawn(amount.parse()?)),
            _ => Err(format!("offset {}: no such event: {text:?}", record.offset).into()),
        }
    }
}

/// An account as the events below `end` have made it.
struct Account {
    log: Partition,
    end: Offset,
    balance: i64,
}

/// How a decision ended.
struct Decision {
    /// False when there was nothing to do.
    stored: bool,
    /// How often another thread was faster.
    conflicts: usize,
}

impl Account {
    fn replay(log: Partition) -> Outcome<Self> {
        let mut account = Self { end: log.start(), log, balance: 0 };
        account.catch_up()?;
        Ok(account)
    }

    fn catch_up(&mut self) -> Outcome {
        for record in self.log.read_from(self.end)? {
            let record = record?;
            match Event::decode(&record)? {
                Event::Deposited(amount) => self.balance += amount,
                Event::Withdrawn(amount) => self.balance -= amount,
            }
            self.end = record.offset + 1;
        }
        Ok(())
    }

    /// Stores the event that `rule` makes of the balance, if the balance is still that one.
    fn decide(&mut self, rule: impl Fn(i64) -> Option<Event>) -> Outcome<Decision> {
        let mut conflicts = 0;
        loop {
            let Some(event) = rule(self.balance) else { return Ok(Decision { stored: false, conflicts }) };
            let value = event.encode();
            match self.log.append_if(self.end, &[Record::new().value(&value)], Durability::Disk) {
                Err(annals::Error::UnexpectedEnd { .. }) => conflicts += 1,
                other => {
                    other?;
                    self.catch_up()?;
                    return Ok(Decision { stored: true, conflicts });
                }
            }
            self.catch_up()?;
        }
    }
}
