//! What becomes of the source while a mirror out goes on.

use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::Duration;

use annals::{Durability, Error as StoreError, Record, Store, TopicConfig};
use annals_mirror::{Error, Mirror, Settings};

use crate::broker::{Broker, mirror, run};

fn append(store: &Store, count: usize) {
    let value = vec![b'v'; 1000];
    let records = vec![Record::new().value(&value); 1000];
    let partition = store.topic("orders").unwrap().partition(0).unwrap();
    for _ in 0..count / 1000 {
        partition.append(&records, Durability::Os).unwrap();
    }
    partition.flush().unwrap();
}

#[test]
fn what_is_deleted_or_made_again_meanwhile() {
    let Some(broker) = Broker::start() else { return };
    let stop = AtomicBool::new(false);
    let settings = Settings::new(&broker.servers()).topic("orders").once();
    let store = Store::open(broker.dir.path().join("here")).unwrap();
    let config = || TopicConfig::new().segment_bytes(1 << 20);
    let topic = store.create_topic("orders", config()).unwrap();
    append(&store, 100_000);

    // Retention overtakes the mirror, which is to go on behind it.
    let mirror = Mirror::out(settings.clone().skip_deleted().step_records(100), &store).unwrap();
    let figures = std::thread::scope(|scope| {
        let running = scope.spawn(|| mirror.run(&stop));
        while mirror.figures().topics.get("orders").is_none_or(|figures| figures.steps == 0) {
            sleep(Duration::from_millis(1));
        }
        match topic.partition(0).unwrap().delete_records(99_000) {
            Ok(_) | Err(StoreError::Held { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        running.join().unwrap().unwrap()
    });
    assert!((1000..100_000).contains(&figures.records()), "nothing was skipped: {figures:?}");
    assert_eq!(figures.lag(), 0);

    // A topic that is another one when the next session begins.
    let mirror = Mirror::out(settings, &store).unwrap();
    store.delete_topic("orders").unwrap();
    store.create_topic("orders", config()).unwrap();
    append(&store, 110_000);
    let outcome = mirror.run(&stop);
    assert!(matches!(outcome, Err(Error::Diverged { .. })), "{outcome:?}");
}

/// The directory of the store that a child leaves without the ends of its transactions.
const LEFT: &str = "ANNALS_MIRROR_LEFT";
/// The directory of the store that a child leaves with records that are not synced.
const UNSYNCED: &str = "ANNALS_MIRROR_UNSYNCED";

/// No test: a process that ends when its transaction is decided, and before its ends are in the log.
#[test]
fn child_that_leaves_a_transaction() {
    let Ok(dir) = std::env::var(LEFT) else { return };
    let store = Store::builder(dir).maintain_by_hand().open().unwrap();
    store.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let mut both = store.transaction("both").unwrap();
    for partition in 0..2 {
        both.send(Record::to("orders").partition(partition).value("both")).unwrap();
    }
    both.commit().unwrap();
    // What a power cut may take back of it is in front of what is synced.
    let first = store.topic("orders").unwrap().partition(0).unwrap();
    first.append(&[Record::new().value("plain")], Durability::Disk).unwrap();
    std::process::abort();
}

#[test]
fn a_store_that_nobody_finishes_is_told_when_the_patience_is_over() {
    let Some(broker) = Broker::start() else { return };
    let (dir, servers) = (broker.dir.path().join("left"), broker.servers());
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "overtaken::child_that_leaves_a_transaction"]).env(LEFT, &dir);
    assert!(!child.output().unwrap().status.success());
    let words = ["--topic", "orders", "--once", "--patience", "3"];
    let output = mirror("out", &dir, &servers, &words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("whose end is not written"), "{said}");
    Store::open(&dir).unwrap().close().unwrap();
    assert!(run(mirror("out", &dir, &servers, &words)).contains("records=3 "));
}

/// No test: a process that is killed with records that are not synced.
#[test]
fn child_that_leaves_records_without_a_sync() {
    let Ok(dir) = std::env::var(UNSYNCED) else { return };
    let store = Store::builder(dir).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("orders", TopicConfig::new()).unwrap();
    let append =
        |durability| topic.partition(0).unwrap().append(&[Record::new().value("v")], durability).unwrap();
    append(Durability::Disk);
    append(Durability::Os);
    std::process::abort();
}

#[test]
fn what_nobody_syncs_is_told_by_a_run_that_ends() {
    let Some(broker) = Broker::start() else { return };
    let (dir, servers) = (broker.dir.path().join("left"), broker.servers());
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "overtaken::child_that_leaves_records_without_a_sync"]).env(UNSYNCED, &dir);
    assert!(!child.output().unwrap().status.success());
    let words = ["--topic", "orders", "--once", "--patience", "30"];
    let output = mirror("out", &dir, &servers, &words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("records=1 "),
        "what is synced is mirrored: {said}"
    );
    assert!(
        !output.status.success() && said.contains("orders-0: what is at offsets 1 to 2 is not mirrored"),
        "{said}"
    );
    let store = Store::open(&dir).unwrap();
    store.close().unwrap();
    assert!(run(mirror("out", &dir, &servers, &words)).contains("records=1 "));
    assert!(run(mirror("out", &dir, &servers, &words)).contains("records=0 "));
}
