//! What transactions leave behind in their partitions.

use annals::dump::SnapshotDump;
use annals::{Record, Store, TopicConfig};

#[test]
fn lives_of_transactions_over_two_partitions_leave_no_producers_for_a_week() {
    let dir = tempfile::tempdir().unwrap();
    for life in 0..3 {
        let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
        for topic in ["debits", "credits"] {
            store.ensure_topic(topic, TopicConfig::new()).unwrap();
        }
        for _ in 0..40 {
            let mut tx = store.transaction("transfers").unwrap();
            tx.send(Record::to("debits").value("5")).unwrap();
            tx.send(Record::to("credits").value("5")).unwrap();
            tx.commit().unwrap();
        }
        store.close().unwrap();
        for partition in ["debits-0", "credits-0"] {
            let snapshots = SnapshotDump::in_directory(dir.path().join(partition)).unwrap();
            let known = snapshots.iter().map(|snapshot| snapshot.producers.len()).max().unwrap_or(0);
            assert!(known <= 1, "life {life}: {partition} knows {known} producers");
        }
    }
    let store = Store::open(dir.path()).unwrap();
    let records =
        |topic: &str| store.topic(topic).unwrap().partition(0).unwrap().read(..).unwrap().into_iter().count();
    assert_eq!([records("debits"), records("credits")], [120, 120]);
    drop(store);
    assert!(Store::verify(dir.path()).unwrap().is_sound());
}
