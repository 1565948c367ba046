//! Does a program keep its promises when the power fails? A test to copy: a small till that says "paid" only when the payment is
//! durable, and hundreds of power cuts.
//!
//! ```sh
//! cargo run --example power_cut
//! ```

use annals::{Durability, Record, Result, Store, TopicConfig};
use annals_testing::PowerCutFileSystem;

/// The till. What it has said "paid" to is in `paid`.
fn pay(store: &Store, amounts: &[u32], paid: &mut Vec<u32>) -> Result<()> {
    let till = store.ensure_topic("till", TopicConfig::new().segment_bytes(4096))?.partition(0)?;
    for amount in amounts {
        till.append(&[Record::new().value(&amount.to_string())], Durability::Disk)?;
        paid.push(*amount);
    }
    Ok(())
}

fn open(machine: &PowerCutFileSystem) -> Result<Store> {
    Store::builder("/till").file_system(machine.shared()).maintain_by_hand().open()
}

/// What stands in the till.
fn amounts(store: &Store) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for record in store.topic("till")?.partition(0)?.read_from(0)? {
        found.push(String::from_utf8_lossy(&record?.value.unwrap_or_default()).into_owned());
    }
    Ok(found)
}

fn main() -> Result<()> {
    let machine = PowerCutFileSystem::new();
    let mut paid = Vec::new();
    let store = open(&machine)?;
    let mut cuts = 0;
    for customer in 1..=20 {
        pay(&store, &[customer, customer * 10], &mut paid)?;
        // One more is on its way when the power fails.
        let till = store.topic("till")?.partition(0)?;
        till.append(&[Record::new().value("0")], Durability::Os)?;
        for seed in 0..20 {
            let after = open(&machine.cut_power(seed))?;
            let found = amounts(&after)?;
            let known: Vec<_> = found.iter().filter(|amount| *amount != "0").collect();
            assert!(paid.iter().map(u32::to_string).eq(known.into_iter().cloned()), "seed {seed}: {found:?}");
            cuts += 1;
        }
    }
    println!("{cuts} power cuts: whatever was paid is in the till");
    Ok(())
}
