//! Owners and workers that stand still where others wait for them, and what those are told.

use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use annals::io::{FileHandle, FileSystem, OpenMode, OsFileSystem};
use annals::{Error, Record, Store, StoreReader, TopicConfig};

use crate::common::{by_hand, fast_dir, now};
use crate::hooked::{Hook, Hooked};
use crate::world::{
    GROUP, ORDERS, ack_all, attach, attach_hooked, attached, cut_log, killed, length_of, offsets, open,
    owned, send, steps, take, take_at_home, worked,
};

/// An owner that stands in its open, before the first file with `name` in it, until it is told to go on.
fn standing(dir: &Path, name: &'static str) -> (Sender<()>, JoinHandle<Store>) {
    let hooked = Hooked::new();
    let ((go, goes_on), (stands, is_there)) = (channel(), channel());
    hooked.at_open(move |path| {
        if !path.to_string_lossy().contains(name) {
            return Ok(Hook::Stays);
        }
        stands.send(()).unwrap();
        // Whoever hangs up is not waited for either.
        _ = goes_on.recv();
        Ok(Hook::IsOver)
    });
    let builder = by_hand(dir).file_system(hooked.files());
    let opening = thread::spawn(move || builder.open().unwrap());
    is_there.recv().unwrap();
    (go, opening)
}

/// Another process is stopped while it changes the file of a queue.
pub(crate) fn stopped_in_a_step(dir: &Path) -> std::sync::Arc<dyn FileHandle> {
    let name = steps(dir)[0].file_name().unwrap().to_string_lossy().into_owned();
    let page = OsFileSystem.open(&dir.join("annals.live"), OpenMode::ReadWrite).unwrap();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in format!("\0steps\0{name}").bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let byte = (1 << 62) + hash % ((1 << 62) - 1);
    assert!(page.try_lock_byte(byte).unwrap());
    page
}

#[test]
fn a_poll_waits_no_longer_than_it_may_for_an_owner_that_stands_in_its_open() {
    let (dir, store, reader) = attached(3);
    let mut consumer = reader.consumer_builder().build().unwrap();
    consumer.assign([(ORDERS, 0)]).unwrap();
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    let mut followed = reader.topic(ORDERS).unwrap().partition(0).unwrap().read_from(0).unwrap();
    let partition = reader.topic(ORDERS).unwrap().partition(0).unwrap();
    store.close().unwrap();
    let (go, opening) = standing(dir.path(), "orders-0");
    let waits = thread::spawn(move || partition.end());
    thread::sleep(Duration::from_millis(50));
    let (most, began) = (Duration::from_millis(200), now());
    assert!(consumer.poll(most).unwrap().is_empty());
    assert!(worker.take(9, most).unwrap().is_empty());
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(consumer.poll_next(&mut context), Poll::Pending));
    assert!(matches!(followed.poll_next(&mut context), Poll::Pending));
    assert!(now() - began < Duration::from_secs(4), "{:?}", now() - began);
    go.send(()).unwrap();
    let store = opening.join().unwrap();
    assert_eq!(waits.join().unwrap(), 3);
    assert_eq!(consumer.poll(most).unwrap().len(), 3);
    ack_all(take(&mut worker, 9));
    drop(store);
}

/// Each of its partitions cannot be seen.
#[test]
fn a_take_of_many_partitions_waits_for_an_owner_no_longer_than_one_of_a_single_one() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic(ORDERS, TopicConfig::new().partitions(64)).unwrap();
    let reader = attach(dir.path());
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    store.close().unwrap();
    let (go, opening) = standing(dir.path(), "orders-0");
    let began = now();
    assert!(worker.take(1, Duration::ZERO).unwrap().is_empty());
    let took = now() - began;
    go.send(()).unwrap();
    drop(opening.join().unwrap());
    assert!(took < Duration::from_millis(800), "{took:?}");
}

/// One partition can be seen, and one cannot: that is no failure that is told later.
#[test]
fn a_take_behind_one_that_could_not_see_a_partition_waits_for_its_own_time() {
    let (dir, store, _reader, mut worker) = worked(2);
    ack_all(take(&mut worker, 1));
    store.close().unwrap();
    let (go, opening) = standing(dir.path(), "orders-1");
    let out = worker.take(9, Duration::from_millis(30)).unwrap();
    assert_eq!(offsets(&out), [1]);
    go.send(()).unwrap();
    let store = opening.join().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| offsets(&worker.take(9, Duration::from_secs(10)).unwrap()));
        thread::sleep(Duration::from_millis(50));
        send(&store, 1);
        assert_eq!(waiting.join().unwrap(), [2]);
    });
}

#[test]
fn all_who_wait_for_an_owner_that_stands_in_its_open_wait_for_ten_seconds_together() {
    let (dir, store, reader) = attached(3);
    let topic = reader.topic(ORDERS).unwrap();
    store.close().unwrap();
    let (go, opening) = standing(dir.path(), "orders-0");
    let began = now();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| topic.partitions().iter().map(|one| one.end() - one.start()).sum::<i64>());
        }
        scope.spawn(|| assert!(topic.partition(0).unwrap().get(0).is_err_and(|error| error.is_retriable())));
        scope.spawn(|| drop(reader.stats()));
    });
    let took = now() - began;
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(17), "{took:?}");
    go.send(()).unwrap();
    drop(opening.join().unwrap());
    assert_eq!(topic.partition(0).unwrap().end(), 3);
}

/// It looks, the topic goes with all of its files, and then it writes what it does.
#[test]
fn a_worker_whose_topic_goes_between_its_look_and_its_step_is_told_that() {
    let (dir, store) = owned(3);
    let (hooked, reader) = attach_hooked(dir.path());
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    ack_all(take(&mut worker, 1));
    let (path, other) = (dir.path().to_path_buf(), store.clone());
    hooked.at_open(move |opened| {
        if !opened.to_string_lossy().contains("annals.steps.") {
            return Ok(Hook::Stays);
        }
        let other = other.clone();
        thread::spawn(move || drop(other.delete_topic(ORDERS)));
        while StoreReader::attach(&path).unwrap().topic(ORDERS).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
        steps(&path).iter().for_each(|file| drop(std::fs::remove_file(file)));
        Ok(Hook::IsOver)
    });
    let taken = worker.take(9, Duration::ZERO);
    assert!(matches!(taken, Err(Error::UnknownTopic { .. })), "{taken:?}");
    assert!(hooked.is_over());
}

#[test]
fn an_owner_that_had_no_room_for_its_page_has_the_store_in_use() {
    let dir = fast_dir();
    let hooked = Hooked::new();
    hooked.at_share(|_| Err(std::io::Error::from_raw_os_error(28)));
    let store = by_hand(dir.path()).file_system(hooked.files()).open().unwrap();
    let attached = StoreReader::attach(dir.path());
    assert!(matches!(attached, Err(Error::StoreInUse { pid: None, .. })), "{attached:?}");
    store.close().unwrap();
    let _store = open(dir.path());
    attach(dir.path());
}

#[test]
fn who_attaches_where_no_owner_has_been_is_told_so() {
    let dir = fast_dir();
    let check = |what: &str| {
        let attached = StoreReader::attach(dir.path());
        let Err(Error::Io { path, source, .. }) = &attached else { panic!("{what}: {attached:?}") };
        assert!(path.ends_with("annals.live") && source.kind() == std::io::ErrorKind::NotFound, "{what}");
        assert!(source.to_string().contains("not yet"), "{what}: {source}");
    };
    check("nothing is there");
    std::fs::write(dir.path().join("annals.live"), vec![0; 64 << 10]).unwrap();
    check("a page without a word");
    std::fs::write(dir.path().join("annals.live"), []).unwrap();
    check("a page without a byte");
}

#[test]
fn who_attaches_while_the_first_owner_opens_waits_for_it() {
    let dir = fast_dir();
    let (go, opening) = standing(dir.path(), "annals.topics");
    let path = dir.path().to_path_buf();
    let attaching = thread::spawn(move || StoreReader::attach(path));
    thread::sleep(Duration::from_millis(50));
    go.send(()).unwrap();
    let _store = opening.join().unwrap();
    assert!(attaching.join().unwrap().is_ok());
}

/// It has made the file, and its page and its lock come between two looks of the other.
#[test]
fn who_attaches_while_the_first_owner_makes_its_page_waits_for_it() {
    let dir = fast_dir();
    std::fs::write(dir.path().join("annals.live"), []).unwrap();
    let (hooked, path) = (Hooked::new(), dir.path().to_path_buf());
    let owner = Mutex::new(None);
    hooked.at_look_for_lock(move || drop(owner.lock().unwrap().get_or_insert_with(|| open(&path)).clone()));
    let attached = Store::builder(dir.path()).file_system(hooked.files()).attach();
    assert!(attached.is_ok(), "{attached:?}");
}

#[test]
fn who_attaches_to_a_first_owner_that_stands_in_its_open_is_told_that_it_opens() {
    let dir = fast_dir();
    let (go, opening) = standing(dir.path(), "annals.topics");
    let attached = StoreReader::attach(dir.path());
    let Err(Error::Io { path, source, .. }) = &attached else { panic!("{attached:?}") };
    assert!(path.ends_with("annals.live") && source.kind() == std::io::ErrorKind::TimedOut, "{source}");
    go.send(()).unwrap();
    drop(opening.join().unwrap());
}

#[test]
fn a_worker_that_is_stopped_in_a_step_holds_up_no_backup() {
    let dir = fast_dir();
    let store = open(&dir.path().join("store"));
    send(&store, 5);
    let reader = attach(store.path());
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    ack_all(take(&mut worker, 2));
    let stopped = stopped_in_a_step(store.path());
    store.backup(dir.path().join("monday")).unwrap();
    let began = now();
    store.backup(dir.path().join("tuesday")).unwrap();
    assert!(now() - began < Duration::from_secs(4), "the wait is once");
    drop(stopped);
    for day in ["monday", "tuesday"] {
        let copy = dir.path().join(format!("after {day}"));
        annals::backup::restore(dir.path().join(day), &copy).unwrap();
        let again = open(&copy);
        let mut home = again.queue(ORDERS, GROUP).unwrap();
        assert_eq!(offsets(&take(&mut home, 9)), [2, 3, 4], "{day}");
    }
}

/// It is handed what is there as soon as the other goes on.
#[test]
fn a_take_waits_no_longer_than_it_may_for_a_process_that_is_stopped_in_a_step() {
    let (dir, store, reader, mut worker) = worked(5);
    ack_all(take(&mut worker, 2));
    let stopped = stopped_in_a_step(dir.path());
    for _ in 0..3 {
        let began = now();
        assert!(worker.take(1, Duration::from_millis(5)).unwrap().is_empty());
        assert!(now() - began < Duration::from_secs(3), "{:?}", now() - began);
    }
    drop(stopped);
    ack_all(take(&mut worker, 9));
    drop((worker, reader, store));
}

/// After a clean close no step names a record that is not there.
#[test]
fn a_worker_that_is_stopped_in_a_step_holds_up_no_sends_of_the_next_owner() {
    let (dir, store, reader, mut worker) = worked(5);
    ack_all(take(&mut worker, 2));
    let stopped = stopped_in_a_step(dir.path());
    store.close().unwrap();
    let store = open(dir.path());
    send(&store, 2);
    drop(stopped);
    ack_all(take(&mut worker, 9));
    drop((worker, reader));
    send(&store, 1);
    assert_eq!(offsets(&take_at_home(&store)), [7]);
}

/// A restore is put in the place of a store: who is attached to that one is not to answer into nothing.
#[test]
fn who_works_on_a_store_in_whose_place_another_was_put_is_told_so() {
    let dir = fast_dir();
    let (path, old) = (dir.path().join("store"), dir.path().join("old"));
    let store = open(&path);
    send(&store, 5);
    let reader = attach(&path);
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    let mut billing = reader.consumer("billing").unwrap();
    billing.assign([(ORDERS, 0)]).unwrap();
    store.backup(dir.path().join("monday")).unwrap();
    store.close().unwrap();
    std::fs::rename(&path, &old).unwrap();
    let mut taken = take(&mut worker, 2).into_iter();
    assert_eq!(billing.poll(Duration::ZERO).unwrap().len(), 5);
    billing.commit().unwrap();
    taken.next().unwrap().ack().unwrap();
    annals::backup::restore(dir.path().join("monday"), &path).unwrap();
    let is_told = |outcome: annals::Result<()>| match outcome {
        Err(Error::Io { path: of, source, .. }) => of == path && source.to_string().contains("attach again"),
        _ => false,
    };
    assert!(is_told(taken.next().unwrap().ack().map(drop)));
    assert!(is_told(worker.take(9, Duration::ZERO).map(drop)));
    assert!(is_told(billing.commit_offsets([((ORDERS, 0).into(), 3)])));
    assert_eq!(reader.topic(ORDERS).unwrap().partition(0).unwrap().end(), 5);
    std::fs::rename(&path, dir.path().join("new")).unwrap();
    std::fs::rename(&old, &path).unwrap();
    assert_eq!(take(&mut worker, 9).len(), 3);
}

/// A power cut took records of two topics, and a worker of the one is stopped: the open can write what it cut of the other.
#[test]
fn a_worker_that_is_stopped_where_an_open_has_to_cut_holds_up_no_other_topic() {
    const OTHER: &str = "other";
    let (dir, store) = owned(0);
    store.ensure_topic(OTHER, TopicConfig::new()).unwrap();
    let send = |store: &Store, topic: &str| {
        store.producer().send(Record::to(topic).partition(0).value("x")).map(drop)
    };
    let mut lengths = Vec::new();
    for topic in [ORDERS, OTHER] {
        let mut home = store.queue(topic, GROUP).unwrap();
        for _ in 0..2 {
            lengths.push(length_of(&store, topic));
            send(&store, topic).unwrap();
            send(&store, topic).unwrap();
            ack_all(take(&mut home, 9));
        }
    }
    let copy = killed(store, dir.path());
    for (topic, length) in [(ORDERS, lengths[1]), (OTHER, lengths[3])] {
        cut_log(copy.path(), topic, length);
    }
    let reader = attach(copy.path());
    let mut worker = reader.queue(OTHER, GROUP).unwrap();
    assert!(take(&mut worker, 9).is_empty());
    let stopped = stopped_in_a_step(copy.path());
    let store = open(copy.path());
    send(&store, ORDERS).unwrap();
    let mut home = store.queue(ORDERS, GROUP).unwrap();
    let mut tx = store.transaction("answers").unwrap();
    let mut taken = take(&mut home, 9);
    assert_eq!(offsets(&taken), [2]);
    tx.send(Record::to(ORDERS).partition(0).value("y")).unwrap();
    tx.ack(taken.remove(0));
    tx.commit().unwrap();
    assert!(matches!(send(&store, OTHER), Err(Error::Io { .. })));
    drop(stopped);
    send(&store, OTHER).unwrap();
    assert!(matches!(worker.take(9, Duration::ZERO), Err(Error::Io { .. })), "it is told");
    drop(worker);
    assert_eq!(offsets(&take(&mut reader.queue(OTHER, GROUP).unwrap(), 9)), [2]);
}

/// The program's directory was moved, and its path cannot be looked at: nothing was put in the place of the store.
#[test]
fn who_works_on_a_store_whose_path_cannot_be_looked_at_goes_on() {
    let dir = fast_dir();
    let (place, moved) = (dir.path().join("place"), dir.path().join("moved"));
    let store = open(&place.join("store"));
    send(&store, 3);
    let reader = attach(store.path());
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    let mut billing = reader.consumer("billing").unwrap();
    billing.assign([(ORDERS, 0)]).unwrap();
    assert_eq!(billing.poll(Duration::ZERO).unwrap().len(), 3);
    let mut taken = take(&mut worker, 2).into_iter();
    store.close().unwrap();
    std::fs::rename(&place, &moved).unwrap();
    std::fs::write(&place, "a file, in which no path goes on").unwrap();
    taken.next().unwrap().ack().unwrap();
    billing.commit().unwrap();
    std::fs::remove_file(&place).unwrap();
    std::fs::rename(&moved, &place).unwrap();
    taken.next().unwrap().ack().unwrap();
    drop((worker, billing, reader));
    let store = open(&place.join("store"));
    assert_eq!(store.committed("billing").values().map(|at| at.offset).collect::<Vec<_>>(), [3]);
    assert_eq!(offsets(&take_at_home(&store)), [2]);
}

/// No owner can open it.
#[test]
fn who_attaches_where_a_restore_was_cut_off_was_told_to_attach_again() {
    let (backup, cut_off) = (fast_dir(), fast_dir());
    let (_dir, store) = owned(3);
    store.backup(backup.path()).unwrap();
    std::fs::write(cut_off.path().join("annals.backup.new"), []).unwrap();
    for dir in [&backup, &cut_off] {
        let opened = Store::open(dir.path()).unwrap_err();
        assert!(matches!(opened, Error::Backup { .. }), "{opened}");
        let attached = StoreReader::attach(dir.path()).unwrap_err();
        assert!(!attached.is_retriable());
        assert_eq!(attached.to_string(), opened.to_string());
    }
}
