//! Every byte of an index may be wrong: a reader takes longer, and answers the same.
//!
//! `ANNALS_SWEEP_STRIDE` is the distance between the bytes that are damaged, one after the other.

use annals::Store;

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

/// Checksums that are right say nothing of what is behind a hit.
#[test]
#[expect(clippy::disallowed_methods, reason = "files are damaged from outside")]
fn a_hit_that_leads_to_another_key_is_handed_to_nobody() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    for number in 0..100_u32 {
        let key = ["alice", "bob"][number as usize % 2];
        topic
            .append_to(key, annals::Expected::Any, &[annals::Record::new().value(&number.to_be_bytes())])
            .unwrap();
    }
    compare(&topic, &["alice".to_owned(), "bob".to_owned()], "sound");
    store.close().unwrap();
    let path = dir.path().join("events-0/00000000000000000000.keyindex");
    let mut bytes = std::fs::read(&path).unwrap();
    // One page of each kind: all entries now lead to the record of the last one.
    let seed = u32::from_be_bytes(bytes[4092..4096].try_into().unwrap());
    let count = u32::from_be_bytes(bytes[40..44].try_into().unwrap()) as usize;
    let page = &mut bytes[3 * 4096..4 * 4096];
    let last: [u8; 8] = page[(count - 1) * 14 + 6..count * 14].try_into().unwrap();
    (0..count).for_each(|entry| page[entry * 14 + 6..(entry + 1) * 14].copy_from_slice(&last));
    let mut hasher = crc32fast::Hasher::new_with_initial(seed ^ 3);
    hasher.update(&page[..4092]);
    let crc = hasher.finalize().to_be_bytes();
    page[4092..].copy_from_slice(&crc);
    std::fs::write(&path, bytes).unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.topic("events").unwrap();
    for key in ["alice", "bob"] {
        for event in topic.stream(key).unwrap().read(..).unwrap() {
            assert_eq!(event.unwrap().key.as_deref(), Some(key.as_bytes()));
        }
    }
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
