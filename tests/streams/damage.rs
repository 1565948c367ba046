//! Every byte of an index may be wrong: a reader takes longer, and answers the same.
//!
//! `ANNALS_SWEEP_STRIDE` is the distance between the bytes that are damaged, one after the other.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use annals::{Expected, Record, Store, TopicView};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

use super::common::{copy_dir, count_from_env, fast_dir};
use super::world::{compare, event, indexed};

#[test]
#[expect(clippy::disallowed_methods, reason = "files are damaged from outside")]
fn a_damaged_index_costs_time_and_never_an_answer() {
    let dir = fast_dir();
    let keys: Vec<_> = (0..40).map(|number| format!("key-{number}")).collect();
    let name = dir.path().join("a");
    let store = Store::builder(&name).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed().segment_bytes(30_000)).unwrap();
    for number in 0..900 {
        let value = number.to_string();
        let tags = if number % 2 == 0 { &["t1", "t2"][..] } else { &["t0", "t3"][..] };
        let event = event(&value, ["a", "b", "c"][number % 3], tags).key(&keys[number % 40]);
        topic.partition(0).unwrap().append(&[event], annals::Durability::Os).unwrap();
    }
    store.maintain().unwrap();
    compare(&topic, &keys, "sound");
    store.close().unwrap();
    let index = "events-0/00000000000000000000.keyindex";
    let sound = std::fs::read(name.join(index)).unwrap();
    let stride = count_from_env("ANNALS_SWEEP_STRIDE", 997).max(1);
    let mut cases: Vec<Option<Vec<u8>>> = vec![None];
    for at in (0..sound.len()).step_by(stride) {
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (at % 8);
        cases.push(Some(bytes));
        if at % 4 == 0 {
            cases.push(Some(sound[..at].to_vec()));
        }
    }
    for (number, case) in cases.into_iter().enumerate() {
        let copy = dir.path().join("copy");
        copy_dir(&name, &copy);
        match case {
            Some(bytes) => std::fs::write(copy.join(index), bytes).unwrap(),
            None => std::fs::remove_file(copy.join(index)).unwrap(),
        }
        let store = Store::builder(&copy).maintain_by_hand().open().unwrap();
        compare(&store.topic("events").unwrap(), &keys, &format!("case {number}"));
        store.close().unwrap();
        assert_eq!(std::fs::read(copy.join(index)).unwrap(), sound, "case {number}: it was made again");
        std::fs::remove_dir_all(&copy).unwrap();
    }
}

/// What `work` gives, unless it takes for ever.
#[expect(clippy::disallowed_methods, reason = "a look that does not end is left alone")]
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, outcome) = mpsc::channel();
    std::thread::spawn(move || done.send(work()).unwrap());
    outcome.recv_timeout(Duration::from_secs(60)).unwrap()
}

const INDEX: &str = "events-0/00000000000000000000.keyindex";

/// A store whose first segment has an index: events of alice and bob in turn.
fn alice_and_bob(dir: &Path) {
    let store = Store::builder(dir).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    for number in 0..100_u32 {
        let key = ["alice", "bob"][number as usize % 2];
        topic.append_to(key, Expected::Any, &[Record::new().value(&number.to_be_bytes())]).unwrap();
    }
    compare(&topic, &["alice".to_owned(), "bob".to_owned()], "sound");
    store.close().unwrap();
}

/// Bytes of the index in which every page but the first is damaged.
fn with_damaged_pages(sound: &[u8]) -> Vec<u8> {
    let flip = |(at, byte): (usize, &u8)| if at >= 4096 && at % 4096 == 100 { byte ^ 1 } else { *byte };
    sound.iter().enumerate().map(flip).collect()
}

fn offsets_of(topic: &TopicView, key: &str) -> Vec<i64> {
    topic.stream(key).unwrap().read(..).unwrap().into_iter().map(|event| event.unwrap().offset).collect()
}

/// It took the same file again and again.
#[test]
#[expect(clippy::disallowed_methods, reason = "files are damaged from outside")]
fn a_reader_of_a_damaged_index_looked_for_ever() {
    let dir = fast_dir();
    alice_and_bob(dir.path());
    let path = dir.path().join(INDEX);
    let damaged = with_damaged_pages(&std::fs::read(&path).unwrap());
    std::fs::write(&path, &damaged).unwrap();
    let opened = Store::open_read_only(dir.path()).unwrap();
    let (opened, alice, bob) = in_time(move || {
        let topic = opened.topic("events").unwrap();
        let [alice, bob] = ["alice", "bob"].map(|key| offsets_of(&topic, key));
        assert_eq!(topic.get("bob").unwrap().unwrap().offset, 99);
        (opened, alice, bob)
    });
    assert_eq!((alice, bob), ((0..100).step_by(2).collect(), (1..100).step_by(2).collect()));
    drop(opened);
    assert_eq!(std::fs::read(&path).unwrap(), damaged, "a reader changes nothing");
}

/// A guard did so while it held the writer.
#[test]
#[expect(clippy::disallowed_methods, reason = "files are damaged from outside")]
fn a_guard_over_a_damaged_index_that_cannot_be_removed_looked_for_ever() {
    let dir = fast_dir();
    alice_and_bob(dir.path());
    let path = dir.path().join(INDEX);
    let sound = std::fs::read(&path).unwrap();
    std::fs::write(&path, with_damaged_pages(&sound)).unwrap();
    let disk = FaultyFileSystem::new();
    disk.fail(&[Call::Remove], "keyindex", (0, Times::ForEver), Fault::Error(13));
    let store = Store::builder(dir.path()).file_system(disk.clone()).maintain_by_hand().open().unwrap();
    let store = in_time(move || {
        let topic = store.topic("events").unwrap();
        let found = topic.append_to("nobody", Expected::Exists, &[Record::new()]);
        assert!(found.unwrap_err().is_conflict());
        topic.append_to("alice", Expected::Version(98), &[Record::new()]).unwrap();
        topic.append_to("bob", Expected::Version(99), &[Record::new()]).unwrap();
        compare(&topic, &["alice".to_owned(), "bob".to_owned()], "it stays");
        store
    });
    disk.heal();
    store.close().unwrap();
}

/// Its checksums were right, so it was read again, and what it led to was taken for damage of the log.
#[test]
fn a_reader_of_a_wrong_index_called_the_log_corrupt() {
    let dir = fast_dir();
    alice_and_bob(dir.path());
    // What leads nowhere contradicts the index.
    change_entries(&dir.path().join(INDEX), |entries| entries.iter_mut().for_each(|entry| entry[13] ^= 1));
    let opened = Store::open_read_only(dir.path()).unwrap();
    let topic = opened.topic("events").unwrap();
    for (key, first) in [("alice", 0), ("bob", 1)] {
        assert_eq!(offsets_of(&topic, key), (first..100).step_by(2).collect::<Vec<_>>());
    }
}

/// Checksums that are right say nothing of what is behind a hit.
#[test]
fn a_hit_that_leads_to_another_key_is_handed_to_nobody() {
    let dir = fast_dir();
    alice_and_bob(dir.path());
    change_entries(&dir.path().join(INDEX), |entries| {
        let last = *entries.last().unwrap();
        entries.iter_mut().for_each(|entry| entry[6..].copy_from_slice(&last[6..]));
    });
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.topic("events").unwrap();
    for key in ["alice", "bob"] {
        for event in topic.stream(key).unwrap().read(..).unwrap() {
            assert_eq!(event.unwrap().key.as_deref(), Some(key.as_bytes()));
        }
    }
}

/// Changes the entries of an index, whose checksums are right all the same.
#[expect(clippy::disallowed_methods, reason = "files are damaged from outside")]
fn change_entries(path: &Path, change: impl FnOnce(&mut [[u8; 14]])) {
    let mut bytes = std::fs::read(path).unwrap();
    // One page of each kind.
    let seed = u32::from_be_bytes(bytes[4092..4096].try_into().unwrap());
    let count = u32::from_be_bytes(bytes[40..44].try_into().unwrap()) as usize;
    let page = &mut bytes[3 * 4096..4 * 4096];
    let mut entries: Vec<[u8; 14]> =
        page[..count * 14].chunks(14).map(|entry| entry.try_into().unwrap()).collect();
    change(&mut entries);
    page[..count * 14].copy_from_slice(&entries.concat());
    let mut hasher = crc32fast::Hasher::new_with_initial(seed ^ 3);
    hasher.update(&page[..4092]);
    let crc = hasher.finalize().to_be_bytes();
    page[4092..].copy_from_slice(&crc);
    std::fs::write(path, bytes).unwrap();
}

/// It is sound from its first to its last byte, and knows nothing of what came since.
#[test]
#[expect(clippy::disallowed_methods, reason = "files are put back from outside")]
fn an_index_of_another_time_is_not_asked() {
    let dir = fast_dir();
    let path = dir.path().join("events-0/00000000000000000000.keyindex");
    let keys = ["alice".to_owned(), "bob".to_owned()];
    // So many that one life writes a file.
    let live = |records: usize| {
        let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
        let topic = store.ensure_topic("events", indexed().segment_bytes(10 << 20)).unwrap();
        compare(&topic, &keys, "before");
        for number in 0..records {
            let event = annals::Record::new().key(&keys[number % 2]);
            topic.partition(0).unwrap().append(&[event], annals::Durability::Os).unwrap();
        }
        compare(&topic, &keys, "behind");
        store.close().unwrap();
    };
    live(5000);
    let old = std::fs::read(&path).unwrap();
    live(5000);
    assert!(std::fs::read(&path).unwrap() != old);
    std::fs::write(&path, old).unwrap();
    live(1);
}

/// No index is ever synced: what a power cut leaves of one is known by its checksums.
#[test]
fn after_a_power_cut_streams_are_what_the_log_is() {
    let keys: Vec<_> = (0..7).map(|number| format!("key-{number}")).collect();
    let machine = annals_testing::PowerCutFileSystem::new();
    let open = |machine: &annals_testing::PowerCutFileSystem| {
        Store::builder("/store").maintain_by_hand().file_system(machine.shared()).open().unwrap()
    };
    let store = open(&machine);
    let topic = store.create_topic("events", indexed()).unwrap();
    for number in 0..300_usize {
        let value = number.to_string();
        let event = event(&value, ["a", "b", "c"][number % 3], &["t1", "t2"]).key(&keys[number % 7]);
        let durability = [annals::Durability::Os, annals::Durability::Disk][usize::from(number % 50 == 0)];
        topic.partition(0).unwrap().append(&[event], durability).unwrap();
        match number % 60 {
            20 => store.maintain().unwrap(),
            40 => assert!(topic.get(&keys[0]).unwrap().is_some()),
            50 if number > 200 => drop(topic.erase(&keys[3]).unwrap()),
            _ => {}
        }
        if number % 15 == 14 {
            for seed in 0..2 {
                let after = machine.cut_power((number * 2 + seed) as u64);
                let store = open(&after);
                let topic = store.topic("events").unwrap();
                compare(&topic, &keys, &format!("cut {number} {seed}"));
                topic.append_to("key-1", annals::Expected::Any, &[annals::Record::new()]).unwrap();
                compare(&topic, &keys, &format!("cut {number} {seed}, and more"));
            }
        }
    }
}
