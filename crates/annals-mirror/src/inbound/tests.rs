use annals::{CleanupPolicy, Durability, Record, Store, TopicConfig, TopicPartition};

use super::others::check_own;
use super::{MAP, load_maps};
use crate::error::Error;
use crate::offset_map::{OffsetMap, Run, Runs, key, value};

#[test]
fn a_map_is_read_to_its_end_though_a_step_of_another_topic_is_not_decided() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.ensure_topic(MAP, TopicConfig::new().cleanup_policy(CleanupPolicy::Compact)).unwrap();
    let note = |name: &str, source: i64| (key("c/", name, 0, source), value(&Run::of_one(source, source), 7));
    // Another worker's step is placed and waits for its sync.
    let mut other = store.transaction_builder("other").buffer_bytes(0).begin().unwrap();
    let (of_other, run) = note("prices", 0);
    other.send(Record::to(MAP).key(&of_other).value(&run)).unwrap();
    other.send(Record::to(MAP).key(&of_other).value(&run)).unwrap();
    let (of_ours, run) = note("orders", 41);
    let mut ours = store.transaction("ours").unwrap();
    ours.send(Record::to(MAP).key(&of_ours).value(&run)).unwrap();
    ours.commit().unwrap();
    let partition = store.topic(MAP).unwrap().partition(0).unwrap();
    assert!(partition.stable() < partition.end(), "the other step is in front and not decided");

    let place = TopicPartition::new("orders", 0);
    let load = |is_stopped: &dyn Fn() -> bool| load_maps(&store, ("c/", "orders", 7), is_stopped);
    assert!(load(&|| true).unwrap_err().is_retriable(), "no end is taken for the end");
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| load(&|| false).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(50));
        other.commit().unwrap();
        assert_eq!(loading.join().unwrap()[&place].position(), Some(42));
    });
}

#[test]
fn records_of_others_are_told_apart_from_what_the_mirror_leaves_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let partition = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    assert!(check_own(&partition, None).is_ok(), "nothing is there");
    let step = |is_committed: bool| {
        let mut step = store.transaction_builder("mirror").buffer_bytes(0).begin().unwrap();
        step.send(Record::to("orders").value("v")).unwrap();
        if is_committed { step.commit().map(drop).unwrap() } else { step.abort().unwrap() }
    };
    step(false);
    assert!(check_own(&partition, None).is_ok(), "a step that took no effect");
    step(true);
    let foreign = |map: Option<&OffsetMap>| match check_own(&partition, map) {
        Ok(()) => None,
        Err(Error::Foreign { offset, .. }) => Some(offset),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(foreign(None), Some(2), "the mirror knows nothing of it");
    let (mut map, mut runs) = (OffsetMap::default(), Runs::default());
    runs.push(7, 2);
    map.apply(&map.with(&runs));
    step(false);
    assert_eq!(foreign(Some(&map)), None, "its own, and what it left");
    partition.append(&[Record::new().value("of another")], Durability::Os).unwrap();
    let is_theirs = |record: &annals::OwnedRecord| record.value.as_deref() == Some(b"of another");
    let theirs = partition.read(..).unwrap().into_iter().map(|one| one.unwrap()).find(is_theirs).unwrap();
    assert_eq!(foreign(Some(&map)), Some(theirs.offset));
}
