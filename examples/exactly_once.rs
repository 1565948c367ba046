//! Each order is invoiced once, although the program that invoices is killed again and again: what it has read, what it writes and
//! its position are one transaction.
//!
//! The program starts itself again as a child that reads orders, writes invoices and commits the offsets of the orders with
//! them. It kills the child somewhere, starts another, and so on until one of them finds nothing left to do. The invoices
//! are those of a run that nobody killed.
//!
//! `cargo run --release --example exactly_once` uses a temporary directory; `-- DIR` puts the stores in DIR, which must be empty.

use std::error::Error;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use annals::{Consumer, Durability, Record, Records, Store, TopicConfig};

const ORDERS: &str = "orders";
const INVOICES: &str = "invoices";
const COUNT: usize = 2_000;
const CENTS_PER_APPLE: usize = 35;
/// A child is killed some time after that many steps. The last child is not killed.
const KILLS: [usize; 5] = [1, 6, 2, 12, 4];

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let mut arguments = std::env::args_os().skip(1);
    let (first, second) = (arguments.next(), arguments.next());
    if let (Some("--child"), Some(dir)) = (first.as_deref().and_then(OsStr::to_str), &second) {
        let mut out = std::io::stdout();
        return invoice_all(Path::new(dir), || Ok(writeln!(out, "step").and_then(|()| out.flush())?));
    }
    let temporary = tempfile::tempdir()?;
    let dir = first.map_or_else(|| temporary.path().to_owned(), PathBuf::from);

    let (undisturbed, killed) = (dir.join("undisturbed"), dir.join("killed"));
    take_orders(&undisturbed)?;
    invoice_all(&undisturbed, || Ok(()))?;

    take_orders(&killed)?;
    for steps in KILLS.into_iter().map(Some).chain([None]) {
        run_child(&killed, steps)?;
        println!("{} of {COUNT} orders are invoiced.", invoices(&killed)?.iter().flatten().count());
    }

    let (expected, found) = (invoices(&undisturbed)?, invoices(&killed)?);
    if expected != found || found.iter().flatten().count() != COUNT {
        return Err("the invoices are not those of a run without kills".into());
    }
    println!("The invoices are those of a run without kills: each order once, in order.");
    Ok(())
}

fn take_orders(dir: &Path) -> Outcome {
    let store = Store::open(dir)?;
    for topic in [ORDERS, INVOICES] {
        store.create_topic(topic, TopicConfig::new().partitions(2))?;
    }
    let orders = store.producer_builder().durability(Durability::Memory).build()?.bind(ORDERS)?;
    for number in 0..COUNT {
        let (customer, apples) = (format!("customer-{}", number % 17), (number % 9 + 1).to_string());
        orders.send(Record::new().key(&customer).value(&apples))?;
    }
    orders.flush()?;
    store.close()?;
    Ok(())
}

/// Invoices the orders that are not invoiced yet; `after_step` is called after each commit.
fn invoice_all(dir: &Path, mut after_step: impl FnMut() -> Outcome) -> Outcome {
    let store = Store::open(dir)?;
    let mut billing = store.consumer_builder().group("billing").max_poll_records(20).build()?;
    billing.subscribe([ORDERS])?;
    loop {
        let orders = billing.poll(Duration::ZERO)?;
        if orders.is_empty() && billing.lag()? == 0 {
            break;
        }
        step(&store, &billing, &orders)?;
        after_step()?;
    }
    drop(billing);
    store.close()?;
    Ok(())
}

/// Reads, works, writes, and commits how far it has read: all of it or nothing.
fn step(store: &Store, billing: &Consumer, orders: &Records) -> Outcome {
    // Written as it comes, so that a kill finds half of it in the files. By default, it would be kept in memory.
    let mut step = store.transaction_builder("billing").buffer_bytes(200).begin()?;
    // First: whatever fails after it takes the consumer back to these orders.
    step.commit_offsets(billing)?;
    for order in orders {
        let apples: usize = std::str::from_utf8(order.value().unwrap_or_default())?.parse()?;
        let invoice = format!("{apples} apples, {} cents", apples * CENTS_PER_APPLE);
        step.send(Record::to(INVOICES).key(order.key().unwrap_or_default()).value(&invoice))?;
    }
    step.commit()?;
    Ok(())
}

/// Kills a child after that many steps; without a number, the child runs to its end.
fn run_child(dir: &Path, steps: Option<usize>) -> Outcome {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.arg("--child").arg(dir).stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stdout.take().ok_or("the child has no output")?).lines();
    for line in lines.take(steps.unwrap_or(usize::MAX)) {
        line?;
    }
    if steps.is_some() {
        child.kill()?;
    }
    let status = child.wait()?;
    if steps.is_none() && !status.success() { Err("the last child failed".into()) } else { Ok(()) }
}

/// The invoices of each partition in order. Their offsets are left out: markers and aborted records have some.
fn invoices(dir: &Path) -> Outcome<Vec<Vec<(String, String)>>> {
    let store = Store::open(dir)?;
    let mut partitions = Vec::new();
    for partition in store.topic(INVOICES)?.partitions() {
        let mut invoices = Vec::new();
        for record in partition.read(..)? {
            let record = record?;
            let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap_or_default());
            invoices.push((text(record.key)?, text(record.value)?));
        }
        partitions.push(invoices);
    }
    store.close()?;
    Ok(partitions)
}
