//! A store with a topic that cannot be opened, beside the process that has it: the others are shown.

use std::thread;

use annals::{Durability, Record, Store, TopicConfig};

use crate::refusals::{annals, filled, said};

/// Each waits for the process that has the store, which may be about to show the topic: all at once.
#[test]
fn one_topic_that_cannot_be_opened_hid_all_others_beside_a_service() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop-log");
    filled(&path, 3);
    let store = Store::open(&path).unwrap();
    store.create_topic("broken", TopicConfig::new()).unwrap();
    store.producer().send(Record::to("broken").value("1")).unwrap();
    let mut billing = store.consumer_builder().group("billing").build().unwrap();
    billing.assign([("broken", 0), ("orders", 0)]).unwrap();
    billing.commit_offsets([(("broken", 0).into(), 1), (("orders", 0).into(), 2)]).unwrap();
    billing.close().unwrap();
    drop(store.queue("orders", "packers").unwrap().take(1, std::time::Duration::ZERO).unwrap());
    store.close().unwrap();
    std::fs::write(path.join("broken-0/annals.state"), "not a state file").unwrap();
    let store = Store::open(&path).unwrap();
    assert!(store.topic("broken").is_err());
    let mut tx = store.transaction_builder("t").buffer_bytes(0).durability(Durability::Os).begin().unwrap();
    tx.send(Record::to("orders").value("4")).unwrap();
    let verbs: [(&[&str], &str); 9] = [
        (&["topics", "list"], "orders\n"),
        (&["topics", "describe"], "Topic: orders "),
        (&["groups", "list", "--json"], "\"group\":\"billing\",\"members\":[],\"lag\":null"),
        (&["groups", "describe"], "billing  orders          0               2"),
        (
            &["groups", "describe", "--json"],
            "\"topic\":\"broken\",\"partition\":0,\"committed\":1,\"end\":null,\"lag\":null",
        ),
        (&["stats"], "\norders "),
        (&["queue", "list"], "orders  packers"),
        (&["tx", "list"], "Ongoing"),
        (&["top", "-n", "1", "--interval", "10ms"], "orders "),
    ];
    thread::scope(|scope| {
        for (verb, shows) in verbs {
            let path = &path;
            scope.spawn(move || {
                let output = annals(path, verb);
                let printed = String::from_utf8_lossy(&output.stdout).into_owned();
                assert_eq!(output.status.code(), Some(6), "{verb:?}: {printed}{}", said(&output));
                let words = said(&output).replace("\\\"", "\"");
                assert!(words.contains("left out: topic \"broken\" cannot be opened"), "{verb:?}: {words}");
                assert!(printed.contains(shows), "{verb:?}: {printed}");
                assert!(
                    verb[0] == "groups" || verb[0] == "stats" || !printed.contains("broken"),
                    "{verb:?}: {printed}"
                );
            });
        }
    });
    // What asks for others has nothing to do with it.
    let described = annals(&path, &["topics", "describe", "--topic", "orders"]);
    assert!(described.status.success(), "{}", said(&described));
    drop(tx);
    store.close().unwrap();
}
