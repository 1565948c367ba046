//! What the store's figures say of open transactions.

use std::time::Duration;

use annals::io::ManualClock;
use annals::{Record, Store, TopicConfig, TopicPartition};

#[test]
fn figures_show_what_readers_wait_for() {
    let dir = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(ManualClock::at(1_000_000));
    let store = Store::builder(dir.path()).clock(clock.clone()).maintain_by_hand().open().unwrap();
    for topic in ["debits", "credits"] {
        store.create_topic(topic, TopicConfig::new().partitions(2)).unwrap();
    }
    let to = |topic: &'static str| Record::to(topic).partition(1).value("5");
    store.producer().send(to("debits")).unwrap();
    assert!(store.stats().unwrap().open_transactions.is_empty());

    let mut in_memory = store.transaction("in memory").unwrap();
    in_memory.send(to("debits")).unwrap();
    let mut transfer = store.transaction_builder("transfer").buffer_bytes(0).begin().unwrap();
    transfer.send(to("debits")).unwrap();
    clock.advance(Duration::from_secs(7));
    transfer.send(to("credits")).unwrap();
    let mut audit = store.transaction_builder("audit").buffer_bytes(0).begin().unwrap();
    audit.send(to("debits")).unwrap();

    let stats = store.stats().unwrap();
    let place = |topic: &str| TopicPartition::from((topic, 1));
    let seen: Vec<_> = stats
        .open_transactions
        .iter()
        .map(|open| (open.name.as_deref().unwrap(), open.age.unwrap().as_secs(), open.partitions.clone()))
        .collect();
    let both = vec![place("credits"), place("debits")];
    assert_eq!(seen, [("audit", 0, vec![place("debits")]), ("transfer", 7, both)]);
    assert_ne!(stats.open_transactions[0].producer_id, stats.open_transactions[1].producer_id);
    let stable = |topic: &str| {
        let topics = store.stats().unwrap().topics;
        let topic = topics.into_iter().find(|stats| stats.topic == topic).unwrap();
        (topic.partitions[1].stable, topic.partitions[1].end)
    };
    assert_eq!((stable("debits"), stable("credits")), ((1, 3), (0, 1)));

    drop(audit);
    transfer.commit().unwrap();
    assert!(store.stats().unwrap().open_transactions.is_empty());
    // The abort has its marker, the commit has not.
    assert_eq!((stable("debits"), stable("credits")), ((4, 4), (1, 1)));
    drop(in_memory);
}
