//! Index files that go while readers and guards are at work: for want of room, and with the segments they are of.

use std::path::Path;

use annals::{Expected, ReadMode, Record, Store, Topic};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

use super::common::{by_hand, fast_dir, on_faulty};
use super::world::{EVENTS, compare, indexed};

const ENOSPC: i32 = 28;

fn keys() -> Vec<String> {
    (0..7).map(|number| format!("key-{number}")).collect()
}

fn fill(topic: &Topic, events: usize) {
    for number in 0..events {
        let value = number.to_string();
        let key = format!("key-{}", number % 7);
        topic.append_to(key, Expected::Any, &[Record::new().value(&value)]).unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test looks at the files from outside")]
fn index_files(dir: &Path) -> usize {
    let files = std::fs::read_dir(dir.join(format!("{EVENTS}-0"))).unwrap();
    files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|it| it == "keyindex")).count()
}

/// Maps of index files of that store which have no name any more: they stay on the disk for them.
fn removed_and_mapped(dir: &Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let is_of = |line: &&str| {
        line.contains(dir.to_str().unwrap()) && line.contains(".keyindex") && line.ends_with("(deleted)")
    };
    maps.lines().filter(is_of).count()
}

/// As readers and guards are served by it, before and behind.
fn ask(topic: &Topic, what: &str) {
    compare(topic, &keys(), what);
    topic.append_to(format!("new {what}"), Expected::NoStream, &[Record::new()]).unwrap();
}

#[test]
fn streams_go_on_when_their_index_files_were_given_up_for_room() {
    for mode in [ReadMode::Mapped, ReadMode::Positional] {
        for is_looked_at in [true, false] {
            let dir = fast_dir();
            let files = FaultyFileSystem::new();
            let store = on_faulty(dir.path(), &files).read_mode(mode).open().unwrap();
            let topic = store.create_topic(EVENTS, indexed()).unwrap();
            store.create_topic("other", indexed()).unwrap();
            fill(&topic, 200);
            store.maintain().unwrap();
            // Nobody has their terms in memory, or a map.
            store.close().unwrap();
            let store = on_faulty(dir.path(), &files).read_mode(mode).open().unwrap();
            let topic = store.topic(EVENTS).unwrap();
            let mut idle = topic.stream("key-0").unwrap().read(..).unwrap();
            idle.fetch().unwrap();
            if is_looked_at {
                compare(&topic, &keys(), "sound");
            }
            assert!(index_files(dir.path()) > 5);
            // The list of topics has no room without what they take, and what those of the topic itself take is too little.
            for _ in 0..2 {
                files.fail(&[Call::Write], "annals.topics", (0, Times::Once), Fault::Error(ENOSPC));
            }
            store.delete_topic("other").unwrap();
            assert!(index_files(dir.path()) <= 1, "all but that of the active segment were to make room");
            assert_eq!(removed_and_mapped(dir.path()), 0, "and make none");
            ask(&topic, &format!("{mode:?}, looked at: {is_looked_at}"));
            assert!(index_files(dir.path()) > 5, "they were made again");
            idle.seek(0);
            assert_eq!(idle.fetch().unwrap().len(), 29);
            // The table of the partition has none.
            files.fail(&[Call::Write], "annals.state", (0, Times::Once), Fault::Error(ENOSPC));
            topic.partition(0).unwrap().delete_records(50).unwrap();
            assert_eq!(removed_and_mapped(dir.path()), 0);
            ask(&topic, &format!("{mode:?}, looked at: {is_looked_at}, some deleted"));
        }
    }
}

/// Whoever removes them says nothing.
#[test]
#[expect(clippy::disallowed_methods, reason = "files are removed from outside")]
fn streams_go_on_when_their_index_files_are_gone() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).read_mode(ReadMode::Positional).open().unwrap();
    let topic = store.create_topic(EVENTS, indexed()).unwrap();
    fill(&topic, 200);
    store.maintain().unwrap();
    compare(&topic, &keys(), "sound");
    for file in std::fs::read_dir(dir.path().join(format!("{EVENTS}-0"))).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|it| it == "keyindex") {
            std::fs::remove_file(path).unwrap();
        }
    }
    ask(&topic, "gone");
}

#[test]
fn no_removed_index_file_stays_on_the_disk_for_an_idle_reader() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    let topic = store.create_topic(EVENTS, indexed()).unwrap();
    fill(&topic, 200);
    store.maintain().unwrap();
    store.close().unwrap();
    let store: Store = by_hand(dir.path()).open().unwrap();
    let topic = store.topic(EVENTS).unwrap();
    let idle = |key: usize| {
        let mut events = topic.stream(format!("key-{key}")).unwrap().read(..).unwrap();
        assert!(!events.fetch().unwrap().is_empty());
        let mut back = topic.stream(format!("key-{key}")).unwrap().backwards().unwrap();
        back.next().unwrap().unwrap();
        (events, back)
    };
    let first = idle(1);
    topic.erase("key-3").unwrap();
    assert_eq!(removed_and_mapped(dir.path()), 0, "they were rewritten");
    let second = idle(2);
    let partition = topic.partition(0).unwrap();
    partition.delete_records(partition.end()).unwrap();
    assert_eq!((removed_and_mapped(dir.path()), index_files(dir.path())), (0, 0), "they were deleted");
    let third = idle_readers(&store, &topic);
    store.delete_topic(EVENTS).unwrap();
    assert_eq!(removed_and_mapped(dir.path()), 0, "the topic was deleted");
    drop((first, second, third));
}

/// Over new events, whose index files were looked at.
fn idle_readers(store: &Store, topic: &Topic) -> annals::EventReader {
    fill(topic, 200);
    store.maintain().unwrap();
    let mut events = topic.stream("key-5").unwrap().read(..).unwrap();
    assert!(!events.fetch().unwrap().is_empty());
    events
}
