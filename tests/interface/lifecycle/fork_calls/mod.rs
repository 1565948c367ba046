//! Every call in a child of a fork is refused, or does nothing, whatever threads of the parent are in the middle of.

mod table;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use annals::{Durability, Error, Record, Result, Store, TopicConfig};

use self::table::{Call, calls, forked};
use self::world::{NOW, World};
use super::fork::in_child;
use crate::common::{fast_dir, spawn};

/// Does each call in a child of its own, which drops all it has of the store afterwards, and says which did not go as they should.
fn wrong(world: World) -> (World, Vec<&'static str>) {
    let holder = RefCell::new(Some(world));
    let in_child_of = |(_, call): &&Call| {
        in_child(|| {
            let mut world = holder.take().expect("the parent's copy");
            let is_right = call(&mut world);
            drop(world);
            is_right
        })
    };
    let wrong = calls().filter(|call| !in_child_of(call)).map(|(name, _)| *name).collect();
    (holder.take().expect("the parent's"), wrong)
}

fn files_of(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut directories = vec![path.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let bytes = std::fs::read(&path).expect("a file");
                files.insert(path, bytes);
            }
        }
    }
    files
}

#[test]
fn each_call_in_a_child_is_refused_and_changes_no_byte() {
    let dir = fast_dir();
    let world = World::new(dir.path()).expect("a store");
    let before = files_of(dir.path());
    let (world, wrong) = wrong(world);
    assert_eq!(wrong, Vec::<&str>::new());
    let after = files_of(dir.path());
    let changed: Vec<_> = after.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes)).collect();
    let changed: Vec<_> = changed.into_iter().map(|(path, _)| path).collect();
    assert_eq!((changed.len(), before.len()), (0, after.len()), "{changed:?}");
    // All of it is the parent's still.
    let World { mut consumer, mut transaction, mut message, store, .. } = world;
    consumer.take().expect("a consumer").commit().expect("a commit");
    transaction.take().expect("a transaction").commit().expect("a commit");
    message.take().expect("a message").ack().expect("an answer");
    store.close().expect("a close");
}

/// What threads of the parent do meanwhile, with locks of all kinds.
fn busy(store: &Store, work: usize) -> Result<()> {
    match work {
        0 => store
            .topic("jobs")?
            .partition(0)?
            .append(&[Record::new().key("k").value("x")], Durability::Os)
            .map(drop),
        1 => {
            let mut consumer = store.consumer("billing")?;
            consumer.subscribe(["orders", "jobs"])?;
            consumer.poll(NOW)?;
            consumer.commit()
        }
        2 => {
            store.create_topic("coming", TopicConfig::new())?;
            store.delete_topic("coming")
        }
        3 => store.queue("jobs", "others")?.take(5, NOW)?.ack(),
        4 => {
            let mut transaction = store.transaction("busy")?;
            transaction.send(Record::to("orders").key("k").value("x"))?;
            transaction.commit().map(drop)
        }
        _ => {
            store
                .schedule()
                .deliver_after(Record::to("jobs").key("k").value("x"), Duration::from_millis(1))?;
            store.stats()?;
            store.maintain()
        }
    }
}

#[test]
fn no_call_in_a_child_waits_for_a_thread_of_the_parent() {
    let dir = fast_dir();
    let world = World::new(dir.path()).expect("a store");
    let is_over = std::sync::Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..6)
        .map(|work| {
            let (store, is_over) = (world.store.clone(), std::sync::Arc::clone(&is_over));
            spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    busy(&store, work)?;
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    let (mut world, mut wrongs) = (world, Vec::new());
    for _ in 0..3 {
        let found;
        (world, found) = wrong(world);
        wrongs.extend(found);
        if !wrongs.is_empty() {
            break;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("a thread").expect("its work goes on");
    }
    assert_eq!(wrongs, Vec::<&str>::new());
    world.store.close().expect("a close");
}

#[test]
fn what_a_child_knows_of_the_list_of_topics_is_not_written_over_the_parents() {
    let calls: [fn(&Store) -> bool; 4] = [
        |store| forked(store.queue("jobs", "resizers")),
        |store| {
            forked(store.schedule().deliver_after(Record::to("orders").key("k"), Duration::from_secs(100)))
        },
        |store| forked(store.dead_letters("jobs", "resizers")),
        |store| forked(store.consumer("billing").and_then(|mut one| one.subscribe(["jobs"]))),
    ];
    for call in calls {
        let dir = fast_dir();
        let store = Store::open(dir.path()).expect("a new store");
        store.create_topic("orders", TopicConfig::new()).expect("a topic");
        store.create_topic("jobs", TopicConfig::new()).expect("a topic");
        let paid = dir.path().join("paid");
        std::thread::scope(|scope| {
            // The child is made before the parent's topic is, and calls behind it.
            let child = scope.spawn(|| {
                in_child(|| {
                    while !paid.exists() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    call(&store)
                })
            });
            std::thread::sleep(Duration::from_millis(100));
            let payments = store.create_topic("payments", TopicConfig::new()).expect("a topic");
            let payments = payments.partition(0).expect("a partition");
            payments.append(&[Record::new().value("paid")], Durability::Disk).expect("a record");
            std::fs::write(&paid, "").expect("a file");
            assert!(child.join().expect("the thread that waits"), "the child was not refused");
        });
        std::fs::remove_file(&paid).expect("no file");
        store.close().expect("a close");
        let store = Store::open(dir.path()).expect("the store opens again");
        let payments = store.topic("payments").expect("the topic").partition(0).expect("a partition");
        assert!(payments.get(0).expect("a read").is_some(), "the record is there");
    }
}
