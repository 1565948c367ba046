//! Money moves between two accounts, each in a topic of its own. A transfer is one transaction: it takes money out of one account and
//! puts it into the other, or does neither. The program is killed in the middle of it, five times, and not a cent is missing.
//!
//! The program starts itself again as a child that transfers without a pause and says which transfers are committed. It kills
//! the child somewhere, opens the store and counts.
//!
//! `cargo run --release --example transfer` uses a temporary directory; `-- DIR` puts the store in DIR.

use std::error::Error;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use annals::{Durability, Partition, Record, Store, TopicConfig};

const ACCOUNTS: [&str; 2] = ["account-alice", "account-bob"];
const DEPOSIT: i64 = 1_000;
/// The child is killed some time after it has reported this many transfers.
const KILLS: [usize; 5] = [1, 30, 7, 90, 15];

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let mut arguments = std::env::args_os().skip(1);
    let (first, second) = (arguments.next(), arguments.next());
    if let (Some("--child"), Some(dir)) = (first.as_deref().and_then(OsStr::to_str), &second) {
        return transfer_for_ever(Path::new(dir));
    }
    let temporary = tempfile::tempdir()?;
    let dir = first.map_or_else(|| temporary.path().join("store"), PathBuf::from);

    let mut before = open_accounts(&dir)?;
    for transfers in KILLS {
        let said = run_and_kill(&dir, transfers)?;
        let after = look(&dir)?;
        let done = after.transfers - before.transfers;
        println!(
            "Killed after {said} transfers or one more: {done} are there. Alice has {}, Bob has {}.",
            after.balances[0], after.balances[1]
        );
        // A transfer may be decided without a report: the child was killed in between.
        if after.sum() != before.sum() || !(said..=said + 1).contains(&done) {
            return Err(format!("{} cents, {done} of {said} transfers", after.sum()).into());
        }
        before = after;
    }
    println!("The sum was {} all the time.", before.sum());
    Ok(())
}

/// What the accounts hold, and after how many transfers.
struct Books {
    balances: [i64; 2],
    transfers: usize,
}

impl Books {
    fn sum(&self) -> i64 {
        self.balances.iter().sum()
    }
}

fn open_accounts(dir: &Path) -> Outcome<Books> {
    let store = Store::open(dir)?;
    for account in ACCOUNTS {
        let account = store.ensure_topic(account, TopicConfig::new())?.partition(0)?;
        if account.end() == 0 {
            let deposit = DEPOSIT.to_string();
            account.append(&[Record::new().key("deposit").value(&deposit)], Durability::Disk)?;
        }
    }
    store.close()?;
    look(dir)
}

/// A transaction that was left undecided is aborted when the store is opened, before anybody reads.
fn look(dir: &Path) -> Outcome<Books> {
    let store = Store::open(dir)?;
    let mut books = Books { balances: [0; 2], transfers: 0 };
    for (account, balance) in ACCOUNTS.iter().zip(&mut books.balances) {
        let account = store.topic(account)?.partition(0)?;
        (*balance, books.transfers) = add_up(&account)?;
    }
    store.close()?;
    Ok(books)
}

/// The balance of an account, and how many transfers it has seen.
fn add_up(account: &Partition) -> Outcome<(i64, usize)> {
    let (mut balance, mut transfers) = (0, 0);
    for record in account.read(..)? {
        let record = record?;
        balance += std::str::from_utf8(record.value.as_deref().unwrap_or_default())?.parse::<i64>()?;
        transfers += usize::from(record.key.as_deref() == Some(&b"transfer"[..]));
    }
    Ok((balance, transfers))
}

/// Returns how many transfers the child has said are committed.
fn run_and_kill(dir: &Path, transfers: usize) -> Outcome<usize> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.arg("--child").arg(dir).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("the child has no output")?).lines();
    let mut said = 0;
    while said < transfers && lines.next().transpose()?.is_some() {
        said += 1;
    }
    child.kill()?;
    child.wait()?;
    // What the child reported before it died.
    for line in lines {
        said += usize::from(line? == "committed");
    }
    if said < transfers { Err("the child ended by itself".into()) } else { Ok(said) }
}

fn transfer_for_ever(dir: &Path) -> Outcome {
    let store = Store::open(dir)?;
    let [alice, bob] = ACCOUNTS;
    for number in 1_i64.. {
        let (from, to) = if number % 2 == 0 { (bob, alice) } else { (alice, bob) };
        let cents = number % 50 + 1;
        let (taken, put) = ((-cents).to_string(), cents.to_string());
        // Nobody else writes to the accounts. Where others do, `expect_end` makes a transfer depend on the balance it has seen.
        let builder = store.transaction_builder("bank");
        // Every third transfer is written as it comes, so that a kill finds half of it in the files.
        let builder = if number % 3 == 0 { builder.buffer_bytes(0) } else { builder };
        let mut transfer = builder.begin()?;
        transfer.send(Record::to(from).key("transfer").value(&taken))?;
        transfer.send(Record::to(to).key("transfer").value(&put))?;
        transfer.commit()?;
        let mut out = std::io::stdout();
        writeln!(out, "committed")?;
        out.flush()?;
    }
    Ok(())
}
