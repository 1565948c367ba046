//! `tx`: beside the process that writes, and after its death.

use std::path::Path;

use annals::{Record, Store, TopicConfig, Transaction};

use crate::refusals::{annals, said};
use crate::schema::{check, documented};

/// What is printed, with ids and ages by their names: they differ each time.
fn printed(store: &Path, arguments: &[&str]) -> String {
    let output = annals(store, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
    named(&String::from_utf8(output.stdout).unwrap())
}

fn named(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let cells: Vec<_> = line.split_whitespace().collect();
        for (at, cell) in cells.iter().enumerate() {
            let is_number = cell.parse::<u64>().is_ok();
            out += if at > 0 { " " } else { "" };
            out += match at {
                1 if is_number => "ID",
                4 if is_number => "AGE",
                _ => cell,
            };
        }
        out.push('\n');
    }
    out
}

/// One of that name that has written to both topics.
fn begun(store: &Store, name: &str) -> Transaction {
    let mut open = store.transaction_builder(name).buffer_bytes(0).begin().unwrap();
    for topic in ["orders", "payments"] {
        open.send(Record::to(topic).value("half of it")).unwrap();
    }
    open
}

fn with_topics(path: &Path) -> Store {
    let store = Store::open(path).unwrap();
    for topic in ["orders", "payments"] {
        store.create_topic(topic, TopicConfig::new()).unwrap();
    }
    store
}

/// What a kill of the process leaves.
fn killed(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let copy = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            killed(&entry.path(), &copy);
        } else {
            std::fs::copy(entry.path(), copy).unwrap();
        }
    }
}

const HEAD: &str = "NAME PRODUCER-ID EPOCH STATE AGE-MS TOPIC PARTITION FIRST-OFFSET\n";

#[test]
fn transactions_without_an_end_are_listed_beside_their_process_and_aborted_after_its_death() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop-log");
    let store = with_topics(&path);
    assert_eq!(printed(&path, &["tx", "list"]), HEAD);
    begun(&store, "import").commit().unwrap();
    // Its end is in the log, and the next one of the name has its producer.
    store.producer().flush().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let open = begun(&store, "import");
    let rows = "import ID 1 Ongoing AGE orders 0 2\nimport ID 1 Ongoing AGE payments 0 2\n";
    assert_eq!(printed(&path, &["tx", "list"]), format!("{HEAD}{rows}"));
    let refused = annals(&path, &["tx", "abort", "import"]);
    assert_eq!(refused.status.code(), Some(5));
    assert!(said(&refused).contains("that process ends it: when its timeout is over"), "{}", said(&refused));
    let left = dir.path().join("left");
    killed(&path, &left);
    drop(open);
    assert_eq!(printed(&path, &["tx", "list"]).lines().filter(|line| line.contains("Ongoing")).count(), 0);
    assert_eq!(printed(&left, &["tx", "list"]), format!("{HEAD}{}", rows.replace("Ongoing", "PrepareAbort")));
    let other = annals(&left, &["tx", "abort", "export"]);
    assert_eq!(other.status.code(), Some(3), "{}", said(&other));
    let aborted = annals(&left, &["tx", "abort", "import"]);
    assert_eq!(aborted.status.code(), Some(0), "{}", said(&aborted));
    let words = String::from_utf8(aborted.stdout).unwrap();
    assert!(words.starts_with("Aborted the transaction import of producer "), "{words}");
    assert!(words.ends_with(", in 2 partitions.\n"), "{words}");
    assert_eq!(printed(&left, &["tx", "list"]), HEAD);
    let orders = annals(&left, &["consume", "--topic", "orders"]);
    assert_eq!(orders.stdout, b"half of it\n", "that of the first, which was committed");
}

#[test]
fn a_transaction_whose_name_has_decided_nothing_is_named_by_its_producer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop-log");
    let store = with_topics(&path);
    let open = begun(&store, "first");
    let left = dir.path().join("left");
    killed(&path, &left);
    let documented = documented();
    let output = annals(&path, &["tx", "list", "--json"]);
    let line = String::from_utf8(output.stdout).unwrap();
    assert_eq!(check(line.trim(), &documented), Ok("transaction".to_owned()));
    let found: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(found["name"].is_null() && found["partitions"][1]["topic"] == "payments", "{line}");
    let id = store.stats().unwrap().open_transactions[0].producer_id;
    assert_eq!(found["producer_id"], id);
    let aborted = annals(&left, &["tx", "abort", "--producer-id", &id.to_string(), "--json"]);
    let line = String::from_utf8(aborted.stdout).unwrap();
    assert_eq!(check(line.trim(), &documented), Ok("aborted".to_owned()), "{line}");
    assert!(annals(&left, &["tx", "list", "--json"]).stdout.is_empty());
    drop(open);
}
