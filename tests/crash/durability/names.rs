//! A name counts as written only after its directory was synced.

use super::*;

#[test]
fn a_new_topic_and_its_directory_are_synced_before_create_returns() {
    let dir = fast_dir();
    let root = dir.path().join("store");
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(&root, &files).open().unwrap();
    assert_eq!(
        files.count(Call::SyncDir, &dir.path().to_string_lossy()),
        3,
        "the store's directory, its file, and the list as it was found"
    );
    files.forget();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let trace = files.trace();
    let at = |call: Call, path: &Path| {
        trace.iter().rposition(|done| done.call == call && done.path == path).unwrap()
    };
    let made = at(Call::CreateDir, &root.join("orders-0"));
    let listed = at(Call::Rename, &root.join("annals.topics"));
    let root_synced = trace.iter().position(|done| done.call == Call::SyncDir && done.path == root).unwrap();
    assert!(made < root_synced && root_synced < listed && listed < at(Call::SyncDir, &root));
}

/// Before it has a record a partition is an empty directory. Its first segment is on the disk before a state file names it, and that
/// before a record is acknowledged.
#[test]
fn the_files_of_a_partition_are_made_by_its_first_append_in_an_order_that_holds() {
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    let topics = ["orders", "bills"].map(|name| (name, TopicConfig::new().partitions(2)));
    store.create_topics(topics).unwrap();
    let partition = dir.path().join("orders-1");
    assert_eq!(std::fs::read_dir(&partition).unwrap().count(), 0);
    let syncs =
        files.trace().iter().filter(|done| done.path == partition && done.call == Call::SyncDir).count();
    assert_eq!(syncs, 0);
    files.forget();
    store.producer().send(Record::to("orders").partition(1).value("first")).unwrap();
    let trace = files.trace();
    let all = |call: Call, path: &Path| -> Vec<usize> {
        (0..trace.len()).filter(|at| trace[*at].call == call && trace[*at].path == path).collect()
    };
    let made = all(Call::Create, &partition.join("00000000000000000000.log"));
    let named = all(Call::Rename, &partition.join("annals.state"));
    let synced = all(Call::SyncDir, &partition);
    assert!(made[0] < synced[0] && synced[0] < named[0] && named[0] < synced[1], "{trace:#?}");
}

/// Whoever comes next finds the directory, and cannot see that its name was never synced.
#[test]
fn a_store_whose_making_was_cut_off_gets_its_name_from_the_next_open() {
    for nth in 0..2 {
        let dir = fast_dir();
        let (above, root) = (dir.path().join("above"), dir.path().join("above/store"));
        let files = FaultyFileSystem::watching_order();
        let name = dir.path().to_string_lossy().into_owned();
        files.fail(&[Call::SyncDir], &name, (nth, Times::Once), Fault::Error(EIO));
        assert!(matches!(on_faulty(&root, &files).open(), Err(Error::Io { .. })));
        files.forget();
        on_faulty(&root, &files).open().unwrap();
        let trace = files.trace();
        let named = |dir: &Path| trace.iter().any(|done| done.call == Call::SyncDir && done.path == dir);
        assert!(named(&above) && named(dir.path()), "{nth}: {trace:#?}");
    }
}

/// The next process sees the new name, and must not clear the note that a crash may still take it away.
#[test]
fn a_rewritten_segment_whose_name_was_not_synced_gets_it_before_the_table_forgets() {
    let mut seen = false;
    for nth in 0..8 {
        let (dir, copy) = (fast_dir(), fast_dir());
        let files = FaultyFileSystem::watching_order();
        let store = on_faulty(dir.path(), &files).open().unwrap();
        let config = small_segments().cleanup_policy(CleanupPolicy::Compact);
        let topic = store.create_topic(TOPIC, config).unwrap();
        for number in 0..300 {
            let key = if number % 2 == 0 { "one" } else { &value_of(number) };
            store.producer().send(Record::to(TOPIC).key(key).value(&value_of(number))).unwrap();
        }
        files.forget();
        files.fail(&[Call::SyncDir], "orders-0", (nth, Times::Once), Fault::Error(EIO));
        let compacted = topic.compact();
        let trace = files.trace();
        let renamed = trace.iter().position(|done| done.struck).and_then(|at| trace.get(at.checked_sub(1)?));
        let is_segment = |path: &Path| path.extension().is_some_and(|extension| extension == "log");
        if !renamed.is_some_and(|done| done.call == Call::Rename && is_segment(&done.path)) {
            continue;
        }
        assert!(compacted.is_err());
        seen = true;
        kill_and_copy(store, dir.path(), copy.path());
        let files = FaultyFileSystem::watching_order();
        let store = on_faulty(copy.path(), &files).open().unwrap();
        files.forget();
        producer(&store, Durability::Disk).send(Record::to(TOPIC).key("two").value("after")).unwrap();
        let trace = files.trace();
        let of_table = |done: &Done| done.call == Call::Rename && done.path.ends_with("annals.state");
        let table = trace.iter().position(of_table).unwrap();
        let is_named = |done: &Done| done.call == Call::SyncDir && done.path.ends_with("orders-0");
        assert!(trace[..table].iter().any(is_named), "{:#?}", &trace[..table]);
    }
    assert!(seen);
}

#[test]
fn a_new_segment_whose_name_was_not_synced_gets_it_before_the_table_lists_it() {
    let (dir, copy) = (fast_dir(), fast_dir());
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, small_segments()).unwrap();
    store.producer().send(Record::to(TOPIC).value("before")).unwrap();
    files.forget();
    files.fail(&[Call::SyncDir], "orders-0", (0, Times::Once), Fault::Error(EIO));
    let full = (0..300).find_map(|number| {
        producer(&store, Durability::Os).send(Record::to(TOPIC).value(&value_of(number))).err()
    });
    assert!(full.is_some(), "the roll fails where it gives the new segment its name");
    kill_and_copy(store, dir.path(), copy.path());
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(copy.path(), &files).open().unwrap();
    files.forget();
    producer(&store, Durability::Disk).send(Record::to(TOPIC).value("after")).unwrap();
    let trace = files.trace();
    let of_table = |done: &Done| done.call == Call::Rename && done.path.ends_with("annals.state");
    let table = trace.iter().position(of_table).unwrap();
    let is_named = |done: &Done| done.call == Call::SyncDir && done.path.ends_with("orders-0");
    assert!(trace[..table].iter().any(is_named), "{:#?}", &trace[..table]);
}

#[test]
fn a_close_behind_a_first_append_that_failed_for_good_is_an_error() {
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    store.producer().send(Record::to(TOPIC).value("before")).unwrap();
    store.close().unwrap();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    files.fail_next(Call::SyncDir, "orders-0", EIO);
    assert!(store.producer().send(Record::to(TOPIC).value("refused")).is_err());
    assert!(matches!(store.close(), Err(Error::Poisoned { .. })));
}
