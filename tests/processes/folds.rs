//! When the owner takes over what groups in other processes have committed, and what it says where it cannot.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use annals::{Durability, Record, Store, StoreBuilder, StoreReader, TopicConfig};

use crate::common::{by_hand, fast_dir, now};
use crate::groups::committed;
use crate::hooked::Hooked;
use crate::world::{ORDERS, attach, failing, fill, make_room, wait_for};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

const LONG: Duration = Duration::from_secs(20);

/// Commits until the spool is large.
fn commit_much(reader: &StoreReader) -> i64 {
    let mut billing = reader.consumer("billing").unwrap();
    billing.assign([(ORDERS, 0)]).unwrap();
    let metadata = "m".repeat(4_000);
    for number in 0..80 {
        billing.commit_with_metadata([((ORDERS, 0).into(), number % 16)], &metadata).unwrap();
    }
    79 % 16
}

/// An owner whose disk has no room for commits, and a process that has committed much.
fn full(builder: StoreBuilder, hooked: &Arc<Hooked>, dir: &Path) -> (Store, StoreReader) {
    let builder = builder.file_system(hooked.files()).sync_every(Duration::from_millis(20));
    let store = builder.open().unwrap();
    store.ensure_topic(ORDERS, TopicConfig::new()).unwrap();
    (0..16).for_each(|_| _ = store.producer().send(Record::to(ORDERS).value("x")).unwrap());
    let reader = attach(dir);
    fill(hooked, "__consumer_offsets");
    commit_much(&reader);
    (store, reader)
}

/// Nobody waits for records here: it is its sync by which the owner learns of it, and in the second case nobody has it sync.
#[test]
fn commits_elsewhere_waited_for_a_round_of_maintenance_however_many_they_were() {
    for waits in [false, true] {
        let dir = fast_dir();
        let sync_every = Duration::from_millis(if waits { 3_600_000 } else { 20 });
        let store = Store::builder(dir.path()).sync_every(sync_every).open().unwrap();
        store.ensure_topic(ORDERS, TopicConfig::new()).unwrap();
        let send = || store.producer().send(Record::to(ORDERS).partition(0).value("x")).unwrap();
        (0..16).for_each(|_| _ = send());
        let reader = attach(dir.path());
        let spool = dir.path().join("annals.spool");
        let mut few = reader.consumer("few").unwrap();
        few.assign([(ORDERS, 0)]).unwrap();
        few.commit_offsets([((ORDERS, 0).into(), 3)]).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        assert!(spool.exists(), "a few wait for the round");
        let last = commit_much(&reader);
        if waits {
            let mut tail = reader.consumer_builder().build().unwrap();
            tail.assign([(ORDERS, 0)]).unwrap();
            tail.seek_to_end();
            let (there, until) = (spool.clone(), now() + LONG);
            // A poll that finds records at once waits for none, and nobody wakes it.
            let waiting = std::thread::spawn(move || {
                while there.exists() && now() < until {
                    drop(tail.poll(Duration::from_millis(200)).unwrap());
                }
            });
            while !waiting.is_finished() {
                send();
                std::thread::sleep(Duration::from_millis(20));
            }
            waiting.join().unwrap();
        } else {
            send();
        }
        assert!(wait_for(|| !spool.exists(), LONG), "nobody has folded it: {waits}");
        assert_eq!(committed(reader.committed("billing")), [last]);
        assert_eq!(committed(reader.committed("few")), [3]);
    }
}

#[test]
fn an_owner_that_could_take_over_no_commit_said_nothing_of_it() {
    let (dir, hooked) = (fast_dir(), Hooked::new());
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let tell = move |place: &annals::TopicPartition, error: &annals::Error| {
        telling.lock().unwrap().push((place.to_string(), error.is_disk_full()));
    };
    let store = by_hand(dir.path()).file_system(hooked.files()).on_maintenance_failure(tell).open().unwrap();
    store.ensure_topic(ORDERS, TopicConfig::new()).unwrap();
    (0..16).for_each(|_| _ = store.producer().send(Record::to(ORDERS).value("x")).unwrap());
    let reader = attach(dir.path());
    let mut billing = reader.consumer("billing").unwrap();
    billing.assign([(ORDERS, 0)]).unwrap();
    billing.commit_offsets([((ORDERS, 0).into(), 3)]).unwrap();
    fill(&hooked, "__consumer_offsets");
    let failures = || store.stats().unwrap().maintenance_failures;
    let listed = failures();
    assert_eq!(listed.len(), 1, "the figures that met it tell of it: {listed:?}");
    assert!(told.lock().unwrap().is_empty(), "who asks for figures is not called back");
    store.maintain().unwrap_err();
    store.maintain().unwrap_err();
    let listed = failures();
    assert!(listed[0].error.is_disk_full() && listed[0].failures == 3, "{listed:?}");
    let place = "__consumer_offsets-0".to_owned();
    assert_eq!(listed[0].topic_partition.to_string(), place);
    assert_eq!(*told.lock().unwrap(), [(place.clone(), true), (place, true)]);
    make_room(&hooked);
    store.maintain().unwrap();
    assert!(failures().is_empty());
    assert!(!dir.path().join("annals.spool").exists());
}

#[test]
fn a_callback_told_of_a_fold_before_its_round_held_up_lingers_and_background_syncs() {
    let (dir, hooked) = (fast_dir(), Hooked::new());
    let ((told, is_told), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    let (told, released) = (Mutex::new(told), Mutex::new(released));
    let tell = move |_: &annals::TopicPartition, _: &annals::Error| {
        _ = told.lock().unwrap().send(());
        // Until the test is over.
        _ = released.lock().unwrap().recv();
    };
    let builder = Store::builder(dir.path()).on_maintenance_failure(tell);
    let (store, reader) = full(builder, &hooked, dir.path());
    let lingering = store.producer_builder().durability(Durability::Memory);
    let lingering = lingering.linger(Duration::from_millis(10)).build().unwrap();
    store.producer().send(Record::to(ORDERS).value("its sync sees the wish")).unwrap();
    is_told.recv_timeout(LONG).expect("the fold has failed");
    lingering.send(Record::to(ORDERS).value("lingers")).unwrap();
    let partition = reader.topic(ORDERS).unwrap().partition(0).unwrap();
    let is_written = wait_for(|| partition.end() == 18, LONG);
    let at_home = store.topic(ORDERS).unwrap().partition(0).unwrap();
    let is_synced = is_written && wait_for(|| at_home.durable() == 18, LONG);
    drop(release);
    assert!(is_written, "the linger waits for the callback");
    assert!(is_synced, "the background sync waits for the callback");
}

/// A wish of who commits is none of who has a queue, and nobody has one here.
#[test]
fn each_commit_elsewhere_had_the_directory_listed_while_none_could_be_taken_over() {
    let (dir, hooked) = (fast_dir(), Hooked::new());
    let (store, reader) = full(Store::builder(dir.path()), &hooked, dir.path());
    let lists = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lists);
    let root = dir.path().to_path_buf();
    hooked.at_list(move |listed| {
        counted.fetch_add(usize::from(listed == root), Ordering::Relaxed);
        Ok(())
    });
    let mut few = reader.consumer("few").unwrap();
    few.assign([(ORDERS, 0)]).unwrap();
    let started = now();
    for number in 0..25 {
        few.commit_offsets([((ORDERS, 0).into(), number % 16)]).unwrap();
        store.producer().send(Record::to(ORDERS).value("x")).unwrap();
        std::thread::sleep(Duration::from_millis(60));
    }
    let (lists, seconds) = (lists.load(Ordering::Relaxed), started.elapsed().as_secs() as usize);
    assert!(lists <= seconds + 2, "{lists} in {seconds} s");
}

/// What its first consumer there looks at has panicked: the program's own file system has.
#[test]
fn a_group_whose_taking_panicked_was_kept_by_a_process_without_a_consumer_of_it() {
    const LOOKS: [Call; 4] = [Call::Open, Call::Len, Call::Read, Call::Map];
    let mut panicked = 0;
    for nth in 0..6 {
        let (dir, files) = (fast_dir(), FaultyFileSystem::new());
        let builder = by_hand(dir.path()).file_system(failing(&files));
        let store = builder.open().unwrap();
        store.ensure_topic(ORDERS, TopicConfig::new()).unwrap();
        store.producer().send(Record::to(ORDERS).value("x")).unwrap();
        let reader = attach(dir.path());
        let mut billing = reader.consumer("billing").unwrap();
        billing.assign([(ORDERS, 0)]).unwrap();
        billing.commit_offsets([((ORDERS, 0).into(), 1)]).unwrap();
        drop(billing);
        files.fail(&LOOKS, "annals.spool", (nth, Times::Once), Fault::Panic);
        panicked +=
            usize::from(catch_unwind(AssertUnwindSafe(|| store.consumer("billing").map(drop))).is_err());
        files.heal();
        drop(reader.consumer("billing").unwrap_or_else(|error| panic!("after call {nth}: {error}")));
    }
    assert!(panicked > 0, "none has panicked");
}
