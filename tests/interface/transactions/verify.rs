//! The files beside a `.log` that tell of transactions: checked, and made again.
#![expect(clippy::disallowed_methods, reason = "files are damaged from outside")]

use annals::{Isolation, Record, Store, TopicConfig};

use super::together::values;

#[test]
fn every_byte_of_what_tells_of_transactions_is_checked_and_none_of_it_hides_or_shows_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    store.create_topic("payments", TopicConfig::new().segment_bytes(1000)).unwrap();
    for number in 0..12 {
        let mut tx = store.transaction_builder("tx").buffer_bytes(0).begin().unwrap();
        tx.send(Record::to("payments").value(&format!("{number:0100}"))).unwrap();
        if number % 3 == 0 { tx.commit().map(drop).unwrap() } else { tx.abort().unwrap() }
    }
    store.close().unwrap();
    let is_of_transactions = |path: &std::path::PathBuf| {
        path.extension().is_some_and(|end| end == "txnindex" || end == "snapshot")
    };
    let directory = std::fs::read_dir(dir.path().join("payments-0")).unwrap();
    let files: Vec<_> = directory.map(|entry| entry.unwrap().path()).filter(is_of_transactions).collect();
    assert!(files.len() > 3, "{files:?}");
    let sound = Store::verify(dir.path()).unwrap();
    assert!(sound.is_sound() && sound.stale_indexes.is_empty(), "{sound:?}");
    for path in &files {
        let good = std::fs::read(path).unwrap();
        for at in (0..good.len()).step_by(3).map(Some).chain([None]) {
            match at {
                Some(at) => {
                    let mut bytes = good.clone();
                    bytes[at] ^= 1 << (at % 8);
                    std::fs::write(path, &bytes).unwrap();
                }
                None => std::fs::remove_file(path).unwrap(),
            }
            let found = Store::verify(dir.path()).unwrap();
            let is_unnamed =
                at.is_none() && found.stale_indexes.is_empty() && path.extension().unwrap() == "snapshot";
            assert!(found.is_sound(), "{}: {found:?}", path.display());
            assert!(is_unnamed || found.stale_indexes.len() == 1, "{} at {at:?}: {found:?}", path.display());
        }
        std::fs::write(path, &good).unwrap();
    }
    // Without any of them.
    files.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let copies = tempfile::tempdir().unwrap();
    let repaired = Store::builder(dir.path()).repair(copies.path()).unwrap();
    assert!(repaired.repairs.is_empty() && !repaired.rebuilt_indexes.is_empty(), "{repaired:?}");
    let made_again =
        files.iter().filter(|path| path.exists() && path.extension().unwrap() == "txnindex").count();
    assert_eq!(made_again, files.iter().filter(|path| path.extension().unwrap() == "txnindex").count());
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(values(&store, "payments", 0, Isolation::ReadCommitted).len(), 4);
}
