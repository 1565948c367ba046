//! Adopting a log that has more than one name.

use std::fs;
use std::path::Path;

use annals::{Durability, Error, Record, Store, TopicConfig};

use crate::common::{by_hand, fast_dir};

fn refusal(store: &Store, source: &Path) -> String {
    match store.adopt_topic("adopted", TopicConfig::new(), [source]) {
        Err(Error::CannotAdopt { reason, .. }) => reason,
        other => panic!("{}: {other:?}", source.display()),
    }
}

#[test]
fn a_partition_of_an_open_store_was_adopted_through_a_link_to_a_link() {
    let dir = fast_dir();
    let at = |path: &str| dir.path().join(path);
    let other = by_hand(&at("other")).open().unwrap();
    other.create_topic("orders", TopicConfig::new()).unwrap();
    let record = [Record::new().value("2 apples")];
    other.topic("orders").unwrap().partition(0).unwrap().append(&record, Durability::Os).unwrap();
    other.close().unwrap();
    // The store has it by a link, and somebody has a link to that.
    fs::create_dir_all(at("disk")).unwrap();
    fs::create_dir_all(at("links")).unwrap();
    fs::rename(at("other/orders-0"), at("disk/orders-0")).unwrap();
    let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, at(name)).unwrap();
    link("../disk/orders-0", "other/orders-0");
    link("../other/orders-0", "links/first");
    link("first", "links/second");
    let other = by_hand(&at("other")).open().unwrap();
    let store = by_hand(&at("store")).open().unwrap();
    for name in ["other/orders-0", "links/first", "links/second", "links/second/"] {
        let reason = refusal(&store, &at(name));
        assert!(reason.contains("which is open"), "{name}: {reason}");
        // Nor is it its own.
        let reason = refusal(&other, &at(name));
        assert!(reason.contains("it lies in this store"), "{name}: {reason}");
    }
    // One that leads nowhere, or round and round.
    link("round", "links/round");
    for name in ["links/round", "links/missing"] {
        let outcome = store.adopt_topic("adopted", TopicConfig::new(), [at(name)]);
        assert!(matches!(outcome, Err(Error::Io { .. })), "{outcome:?}");
    }
    other.close().unwrap();
    store.adopt_topic("adopted", TopicConfig::new(), [at("links/second")]).unwrap();
    assert_eq!(store.topic("adopted").unwrap().partition(0).unwrap().end(), 1);
}
