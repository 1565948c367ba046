//! Topics made of files in which transactions have no end: nobody of theirs comes any more.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "files of a test")]

use std::path::{Path, PathBuf};

use annals::{Durability, Isolation, Offset, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

use crate::common::{by_hand, fast_dir, kill_and_copy, on_faulty};

/// What a killed process leaves of a topic with a committed transaction, one without an end, and records of none around them.
fn left_open(dir: &Path, is_plain: bool) -> PathBuf {
    let (origin, copy) = (dir.join("origin"), dir.join("copy"));
    let store = by_hand(&origin).open().unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    let send = |value: &str| store.producer().send(Record::to("orders").value(value)).map(drop);
    let mut done = store.transaction("done").unwrap();
    done.send(Record::to("orders").value("committed")).unwrap();
    done.commit().unwrap();
    send("before").unwrap();
    let mut open = store.transaction_builder("open").buffer_bytes(0).begin().unwrap();
    open.send(Record::to("orders").value("undecided")).unwrap();
    send("behind").unwrap();
    std::mem::forget(open);
    kill_and_copy(store, &origin, &copy);
    let left = copy.join("orders-0");
    if is_plain {
        // As a broker would have it.
        std::fs::remove_file(left.join("annals.state")).unwrap();
    }
    left
}

/// What readers of committed records see, and where they stop.
fn seen(store: &Store) -> (Vec<String>, Offset) {
    let stable = store.topic("taken").unwrap().partition(0).unwrap().stable();
    let number = 0;
    (super::together::values(store, "taken", number, Isolation::ReadCommitted), stable)
}

#[test]
fn readers_of_an_adopted_topic_wait_for_no_transaction_of_the_files() {
    for is_plain in [false, true] {
        let dir = fast_dir();
        let left = left_open(dir.path(), is_plain);
        let store = by_hand(&dir.path().join("store")).open().unwrap();
        let adopted = store.adopt_topic("taken", TopicConfig::new(), [&left]).unwrap();
        let partition = adopted.topic.partition(0).unwrap();
        let committed = ["committed", "before", "behind"];
        assert_eq!(
            seen(&store),
            (committed.map(str::to_owned).to_vec(), partition.end()),
            "plain: {is_plain}"
        );
        assert!(store.stats().unwrap().open_transactions.is_empty());
        assert_eq!((adopted.partitions[0].aborted, adopted.partitions[0].end), (1, partition.end()));
        assert_eq!(partition.durable(), partition.end(), "an adoption is durable");
        partition.append(&[Record::new().value("after")], Durability::Os).unwrap();
        assert_eq!(seen(&store).0.last().unwrap(), "after");
        let left = dir.path().join("left");
        kill_and_copy(store, &dir.path().join("store"), &left);
        assert!(Store::verify(&left).unwrap().findings.is_empty());
        let store = by_hand(&left).open().unwrap();
        let expected = [&committed[..], &["after"]].concat();
        assert_eq!(seen(&store).0, expected);
        let partition = store.topic("taken").unwrap().partition(0).unwrap();
        partition.delete_records(partition.end()).unwrap();
    }
}

#[test]
fn an_adoption_that_cannot_end_what_the_files_left_open_leaves_no_topic() {
    let dir = fast_dir();
    let left = left_open(dir.path(), true);
    let files = FaultyFileSystem::new();
    let store = on_faulty(&dir.path().join("store"), &files).open().unwrap();
    let mut refused = 0;
    for nth in 0.. {
        let calls = [Call::Create, Call::Write, Call::Sync, Call::Allocate];
        files.fail(&calls, "taken-0", (nth, Times::Once), Fault::Error(5));
        let adopted = store.adopt_topic("taken", TopicConfig::new(), [&left]);
        let is_over = files.armed() > 0;
        files.heal();
        match adopted {
            Ok(adopted) => {
                assert_eq!(adopted.partitions[0].aborted, 1);
                assert_eq!(seen(&store).0, ["committed", "before", "behind"]);
                store.delete_topic("taken").unwrap();
            }
            Err(_) => {
                assert!(store.topic("taken").is_err());
                refused += 1;
            }
        }
        if is_over {
            break;
        }
    }
    assert!(refused > 5, "{refused}");
}
