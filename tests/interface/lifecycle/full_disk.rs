//! A disk without a free byte: a store opens, reads and frees space.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use annals::{Durability, Record, StartFrom, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

use crate::common::{
    batch_ends, by_hand, fast_dir, files_of, kill_and_copy, on_faulty, producer, records, small_segments,
};

const ENOSPC: i32 = 28;
const NEEDS_SPACE: [Call; 4] = [Call::Create, Call::CreateDir, Call::Write, Call::Allocate];

fn send(store: &Store, durability: Durability, count: usize) -> annals::Result<()> {
    let producer = producer(store, durability);
    (0..count).try_for_each(|_| producer.send(Record::to("orders").value("2 apples")).map(drop))
}

fn read_as_billing(store: &Store) -> usize {
    let builder = store.consumer_builder().group("billing").start_from(StartFrom::Earliest);
    let mut consumer = builder.commit_durability(Durability::Disk).build().expect("a consumer");
    consumer.subscribe(["orders"]).expect("a subscription");
    let mut read = 0;
    loop {
        let records = consumer.poll(Duration::ZERO).expect("records");
        if records.is_empty() {
            consumer.commit().expect("a commit");
            return read;
        }
        read += records.len();
    }
}

/// A store after a power cut: ten records were read and committed, and seven are left.
fn with_a_commit_above_the_end(copy: &Path) {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().expect("a new store");
    store.create_topic("orders", TopicConfig::new()).expect("a topic");
    send(&store, Durability::Disk, 5).expect("a send");
    send(&store, Durability::Os, 5).expect("a send");
    assert_eq!(read_as_billing(&store), 10);
    kill_and_copy(store, dir.path(), copy);
    let log = &files_of(copy, "orders-0", ".log")[0];
    let bytes = fs::read(log).expect("the file");
    let kept = batch_ends(&bytes).iter().find(|(_, next)| *next == 7).expect("a batch").0;
    fs::write(log, &bytes[..usize::try_from(kept).expect("small")]).expect("a write");
}

#[test]
fn a_full_disk_at_the_open_loses_no_record_behind_a_commit_that_was_set_back() {
    // Full from each call of the open on, and for the first appends.
    for nth in 0.. {
        let dir = fast_dir();
        with_a_commit_above_the_end(dir.path());
        let files = FaultyFileSystem::new();
        files.fail(&NEEDS_SPACE, "", (nth, Times::ForEver), Fault::Error(ENOSPC));
        let store = on_faulty(dir.path(), &files).open().expect("a full disk keeps no store from opening");
        let is_struck = files.trace().iter().any(|done| done.struck);
        assert_eq!(store.offset_resets().len(), 1, "call {nth}");
        let partition = store.topic("orders").expect("the topic").partition(0).expect("a partition");
        assert_eq!(records(&partition).len(), 7);
        let committed =
            |store: &Store| store.committed("billing").values().map(|one| one.offset).collect::<Vec<_>>();
        assert_eq!(committed(&store), [7]);
        if is_struck {
            let refused =
                send(&store, Durability::Disk, 1).expect_err("it is not written that they are unread");
            assert!(refused.is_disk_full(), "call {nth}: {refused:?}");
        }
        files.heal();
        send(&store, Durability::Disk, 3).expect("there is room again");
        let copy = fast_dir();
        kill_and_copy(store, dir.path(), copy.path());
        let store = by_hand(copy.path()).open().expect("the store opens");
        assert_eq!((committed(&store), store.offset_resets().len()), (vec![7], 0), "call {nth}");
        assert_eq!(read_as_billing(&store), 3, "call {nth}");
        if !is_struck {
            assert!(nth > 0);
            return;
        }
    }
}

/// Takes the last byte there is.
fn fill(dir: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(dir.join("of somebody else")).expect("a file");
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

#[test]
fn at_0_bytes_free_a_store_opens_reads_and_deletes() {
    on_a_small_disk("size=4m", use_a_full_disk);
}

#[test]
fn without_a_free_inode_a_store_opens_reads_appends_and_goes_on() {
    on_a_small_disk("size=16m,nr_inodes=60", use_a_disk_without_inodes);
}

/// On a disk in memory, where this user may mount one.
fn on_a_small_disk(options: &str, act: fn(&Path)) {
    let place = fast_dir();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", options, "annals-test"]).arg(place.path()).output();
    if !mounted.is_ok_and(|done| done.status.success()) {
        eprintln!("not run: this user may not mount a file system");
        return;
    }
    let outcome = std::panic::catch_unwind(|| act(place.path()));
    let unmounted = Command::new("umount").arg("--lazy").arg(place.path()).status();
    outcome.expect("see above");
    assert!(unmounted.is_ok_and(|done| done.success()));
}

fn use_a_full_disk(place: &Path) {
    let dir = place.join("store");
    let store = by_hand(&dir).open().expect("a new store");
    store.create_topic("orders", small_segments()).expect("a topic");
    store.create_topic("bills", small_segments()).expect("a topic");
    send(&store, Durability::Os, 500).expect("a send");
    let bills = store.topic("bills").expect("it").partition(0).expect("it");
    for _ in 0..500 {
        bills.append(&[Record::new().value("2 apples")], Durability::Os).expect("an append");
    }
    store.close().expect("a close");
    for round in 0..2 {
        fill(place);
        let store = by_hand(&dir).open().expect("a full disk keeps no store from opening");
        let partition = |name: &str| store.topic(name).expect("the topic").partition(0).expect("a partition");
        assert_eq!(records(&partition("orders")).len(), 500 - 300 * round);
        if round == 0 {
            let changes = TopicConfig::new().retention_bytes(1 << 20);
            store.alter_topic("orders", changes).expect("a setting that frees gets its room");
            partition("orders").delete_records(300).expect("a deletion frees");
        } else {
            store.delete_topic("orders").expect("a deletion frees");
            assert!(store.topic("orders").is_err() && !dir.join("orders-0").exists());
        }
        assert_eq!(records(&partition("bills")).len(), 500);
        store.close().expect("a close");
    }
}

fn use_a_disk_without_inodes(place: &Path) {
    let dir = place.join("store");
    let store = by_hand(&dir).open().expect("a new store");
    store.create_topic("orders", small_segments()).expect("a topic");
    send(&store, Durability::Os, 300).expect("a send");
    store.close().expect("a close");
    let take_all = |from: usize| {
        let names = (from..).map(|number| place.join(format!("of somebody else {number}")));
        names.take_while(|name| fs::File::create(name).is_ok()).collect::<Vec<_>>()
    };
    let taken = take_all(0);
    assert!(!taken.is_empty());
    let store = by_hand(&dir).open().expect("no inode is needed to open");
    let partition = store.topic("orders").expect("the topic").partition(0).expect("a partition");
    assert_eq!(records(&partition).len(), 300);
    // The first append needs one, and takes it from an index file.
    send(&store, Durability::Disk, 1).expect("an index file gives its inode");
    let others = take_all(1000);
    assert!(store.create_topic("bills", TopicConfig::new()).expect_err("no inode is left").is_disk_full());
    // The segment that there is takes what fits it.
    let mut sent = 301;
    let refused = loop {
        match send(&store, Durability::Os, 1) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 600, "a roll needs an inode");
    };
    assert!(refused.is_disk_full() && refused.is_retriable(), "{refused:?}");
    assert_eq!(records(&partition).len(), sent);
    taken.iter().chain(&others).for_each(|name| fs::remove_file(name).expect("a removal"));
    send(&store, Durability::Disk, 100).expect("rolls again");
    store.close().expect("a close");
    let store = by_hand(&dir).open().expect("the store");
    let partition = store.topic("orders").expect("the topic").partition(0).expect("a partition");
    assert_eq!(records(&partition).len(), sent + 100);
}
