//! An event store: a bank whose accounts are streams of one topic.
//!
//! Opening 100,000 accounts costs no more than 100,000 events. A transfer is a transaction over two streams: it takes effect
//! if both are at the version that was read; otherwise another teller was faster, and it is decided again. Accounts with many
//! events get snapshots. A projection adds up what every branch holds; its sums and its position are committed together. After
//! a restart, the sums and the accounts agree.
//!
//! `cargo run --release --example event_store` uses a temporary directory; `-- ACCOUNTS DIR` sets the number of accounts and the directory.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use annals::{CleanupPolicy, Expected, Offset, Query, Record, Snapshots, Store, Stream, Topic, TopicConfig};

const TELLERS: u64 = 4;
const TRANSFERS: u64 = 500;
const BRANCHES: [&str; 3] = ["harbour", "market", "station"];
const OPENING: i64 = 100;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[expect(clippy::disallowed_methods, reason = "it says how long things take")]
fn main() -> Outcome {
    let mut given = std::env::args_os().skip(1);
    let accounts: u64 = given.next().map_or(Ok(100_000), |number| number.to_string_lossy().parse())?;
    let temporary = tempfile::tempdir()?;
    let dir = given.next().map_or_else(|| temporary.path().join("store"), PathBuf::from);

    let store = Store::open(&dir)?;
    let bank = store.ensure_topic("accounts", TopicConfig::new().partitions(4).key_index(true))?;
    store.ensure_topic(
        "branches",
        TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).key_index(true),
    )?;
    let begin = Instant::now();
    open_accounts(&bank, accounts)?;
    println!("{accounts} accounts opened in {:?}.", begin.elapsed());

    let begin = Instant::now();
    let conflicts = AtomicUsize::new(0);
    thread::scope(|scope| {
        let tellers: Vec<_> = (0..TELLERS)
            .map(|teller| {
                scope.spawn({
                    let (store, conflicts) = (&store, &conflicts);
                    move || transfers(store, teller, accounts, conflicts)
                })
            })
            .collect();
        tellers.into_iter().try_for_each(|teller| teller.join().map_err(|_| "a teller panicked")?)
    })?;
    let transfers = TELLERS * TRANSFERS;
    println!("{transfers} transfers in {:?}, {} decided again.", begin.elapsed(), conflicts.into_inner());
    let before = project(&store)?;
    store.close()?;

    let store = Store::open(&dir)?;
    let (after, snapshots) = (project(&store)?, store.snapshots("accounts")?);
    let mut sum = 0;
    for number in 0..accounts {
        sum += Account::load(&snapshots, &name(number))?.balance;
    }
    println!("By branch: {after:?}; by account, after a restart: {sum}.");
    let expected = i64::try_from(accounts)? * OPENING;
    let is_right = before == after && sum == expected && after.values().sum::<i64>() == expected;
    if is_right { Ok(()) } else { Err("money was lost or made".into()) }
}

fn name(number: u64) -> String {
    format!("account-{number}")
}

/// Opens each account with its opening event, if it has none yet.
fn open_accounts(bank: &Topic, accounts: u64) -> Outcome {
    for number in 0..accounts {
        let event = Record::new().header("type", "moved").header("tag", branch(number)).value("100");
        match bank.append_to(name(number), Expected::NoStream, &[event]) {
            Err(conflict) if conflict.is_conflict() => {}
            other => drop(other?),
        }
    }
    Ok(())
}

fn branch(number: u64) -> &'static str {
    BRANCHES.get(usize::try_from(number % 3).unwrap_or(0)).copied().unwrap_or_default()
}

fn transfers(store: &Store, teller: u64, accounts: u64, conflicts: &AtomicUsize) -> Outcome {
    let snapshots = store.snapshots("accounts")?;
    for number in 0..TRANSFERS {
        // A few accounts are used by everybody.
        let from = if number % 4 == 0 { number % 7 } else { (number * 7919 + teller) % accounts };
        let to = (from + 1 + number) % accounts;
        if from % accounts == to {
            continue;
        }
        let (from, to) = ((from % accounts, name(from % accounts)), (to, name(to)));
        loop {
            let (payer, payee) = (Account::load(&snapshots, &from.1)?, Account::load(&snapshots, &to.1)?);
            if payer.balance < 1 {
                break;
            }
            let mut tx = store.transaction(&format!("teller-{teller}"))?;
            for (account, amount, number) in [(&payer, "-1", from.0), (&payee, "1", to.0)] {
                let event = Record::new().header("type", "moved").header("tag", branch(number)).value(amount);
                tx.append_to(&account.stream, account.expected(), &[event])?;
            }
            match tx.commit() {
                Ok(_) => break,
                // Not as expected, or not decided yet: another teller is using the account.
                Err(error) if error.asks_for_new_decision() => _ = conflicts.fetch_add(1, Ordering::Relaxed),
                Err(other) => return Err(other.into()),
            }
        }
    }
    Ok(())
}

/// What every branch holds. The sums are records of a table, written together with the position of the projection.
fn project(store: &Store) -> Outcome<BTreeMap<&'static str, i64>> {
    let table = store.topic("branches")?;
    let sum = |branch: &str| -> Outcome<i64> {
        let stored = table.get(branch)?.and_then(|record| record.value).unwrap_or_else(|| b"0".to_vec());
        Ok(std::str::from_utf8(&stored)?.parse()?)
    };
    let mut sums =
        BRANCHES.into_iter().map(|branch| Ok((branch, sum(branch)?))).collect::<Outcome<BTreeMap<_, _>>>()?;
    let mut projection = store.projection("sums-of-branches", "accounts")?.only(Query::of_type("moved"));
    while projection.lag()? > 0 {
        projection.step_together(Duration::from_secs(1), |events, tx| {
            for event in events {
                let amount =
                    event.value().and_then(|value| std::str::from_utf8(value).ok()?.parse::<i64>().ok());
                let tag = event.header("tag");
                let branch = BRANCHES.into_iter().find(|name| Some(name.as_bytes()) == tag);
                let (amount, branch) =
                    amount.zip(branch).ok_or_else(|| format!("no such event: {event:?}"))?;
                *sums.entry(branch).or_default() += amount;
            }
            // One row for each branch, however many events came in the step.
            for (branch, sum) in &sums {
                tx.send(Record::to("branches").key(*branch).value(&sum.to_string()))?;
            }
            Outcome::Ok(())
        })?;
    }
    Ok(sums)
}

/// The state of an account after its events up to a version.
struct Account {
    stream: Stream,
    version: Option<Offset>,
    balance: i64,
}

impl Account {
    /// Reads from its snapshot on, if it has one. If many events follow, the account gets a new snapshot.
    fn load(snapshots: &Snapshots, key: &str) -> Outcome<Self> {
        let (snapshot, events) = snapshots.read(key)?;
        let mut version = snapshot.as_ref().map(|snapshot| snapshot.version);
        let mut balance = match &snapshot {
            Some(snapshot) => std::str::from_utf8(&snapshot.state)?.parse()?,
            None => 0,
        };
        let mut number = 0;
        // All of them: one `fetch` of the reader would return only some.
        for event in events {
            let event = event?;
            balance += std::str::from_utf8(event.value.as_deref().unwrap_or_default())?.parse::<i64>()?;
            version = Some(event.offset);
            number += 1;
        }
        if let Some(version) = version.filter(|_| number > 50) {
            snapshots.store(key, version, balance.to_string().as_bytes())?;
        }
        Ok(Self { stream: snapshots.streams().stream(key)?, version, balance })
    }

    fn expected(&self) -> Expected {
        self.version.map_or(Expected::NoStream, Expected::Version)
    }
}
