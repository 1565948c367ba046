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
    let partition = root.join("orders-0");
    let named_in_partition = at(Call::SyncDir, &partition);
    let listed = at(Call::Rename, &root.join("annals.topics"));
    assert!(at(Call::Rename, &partition.join("annals.state")) < named_in_partition);
    let root_synced = trace.iter().position(|done| done.call == Call::SyncDir && done.path == root).unwrap();
    assert!(named_in_partition < root_synced && root_synced < listed && listed < at(Call::SyncDir, &root));
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
