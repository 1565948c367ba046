//! Files that are cut, emptied, missing, of somebody else or of a newer version: what is said of each.

use super::*;

/// A store with sealed segments, an active one, commits; closed, or as a kill leaves it after a flush.
fn full_store(closed: bool) -> (tempfile::TempDir, usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let work = tempfile::tempdir().expect("a directory");
    let store = by_hand(work.path()).open().expect("a new store");
    store.create_topic(TOPIC, small_segments()).expect("a new topic");
    let mut sent = 0;
    while files_of(work.path(), "orders-0", ".log").len() < 4 || sent % 10 != 0 {
        let value = value_of(sent);
        store.producer().send(Record::to(TOPIC).timestamp(time_of(sent)).value(&value)).expect("a send");
        sent += 1;
    }
    let mut consumer = assigned(&store, StartFrom::Earliest);
    consumer.commit_offsets([(TopicPartition::new(TOPIC, 0), 7)]).expect("a commit");
    drop(consumer);
    store.producer().flush().expect("a flush");
    if closed {
        store.close().expect("a close");
        copy_dir(work.path(), dir.path());
    } else {
        kill_and_copy(store, work.path(), dir.path());
    }
    (dir, usize::try_from(sent).expect("a count"))
}

fn time_of(number: i64) -> i64 {
    1_000 + number * 10
}

/// Everything that a full store holds is there, and found.
fn check_whole(dir: &Path, sent: usize) -> Result<(), Error> {
    let store = by_hand(dir).open()?;
    let mut consumer = store.consumer_builder().max_poll_records(7).build()?;
    consumer.assign([(TOPIC, 0)])?;
    let mut offset = 0;
    loop {
        let fetched = consumer.poll(Duration::ZERO)?;
        if fetched.is_empty() {
            break;
        }
        for record in &fetched {
            assert_eq!(record.offset(), offset);
            assert_eq!(record.value(), Some(value_of(offset).as_bytes()), "offset {offset}");
            offset += 1;
        }
    }
    assert_eq!(usize::try_from(offset).expect("a count"), sent, "fewer records and no error");
    let partition = store.topic(TOPIC)?.partition(0)?;
    for offset in (0..offset).step_by(11) {
        let mut reader = partition.read_from(offset)?;
        assert_eq!(reader.fetch()?.iter().next().map(|record| record.offset()), Some(offset));
        for time in [time_of(offset), time_of(offset) - 9] {
            let found = partition.offset_for_time(time)?.map(|found| (found.offset, found.timestamp));
            assert_eq!(found, Some((offset, time_of(offset))), "by time {time}");
        }
    }
    // Says what is wrong where the commits cannot be read.
    drop(store.consumer("billing")?);
    let committed = store.committed("billing");
    assert_eq!(committed.get(&TopicPartition::new(TOPIC, 0)).map(|at| at.offset), Some(7));
    Ok(())
}

#[test]
fn cut_and_emptied_files_of_each_kind() {
    let mut seen = Vec::new();
    for closed in [true, false] {
        let (original, sent) = full_store(closed);
        check_whole(original.path(), sent).unwrap();
        let (original, sent) = full_store(closed);
        for (name, bytes) in tree(original.path()) {
            for keep in [0, bytes.len() / 2, bytes.len().saturating_sub(1)] {
                if keep >= bytes.len() {
                    continue;
                }
                let dir = tempfile::tempdir().unwrap();
                copy_dir(original.path(), dir.path());
                let path = dir.path().join(&name);
                std::fs::write(&path, &bytes[..keep]).unwrap();
                let before = tree(dir.path());
                let opened = by_hand(dir.path()).open();
                let refused = opened.is_err();
                drop(opened);
                if refused {
                    assert_eq!(
                        before,
                        tree(dir.path()),
                        "a refused open changed a byte: {name:?}, {keep} bytes"
                    );
                }
                let name = name.to_string_lossy().into_owned();
                let what = format!("closed {closed}: {name} cut to {keep} of {} bytes", bytes.len());
                let outcome = check_whole(dir.path(), sent);
                let is_index = name.ends_with("index");
                // What lies behind the last batch of an active file that was not closed was allocated ahead.
                let used = batch_ends(&bytes).last().map_or(0, |(end, _)| usize::try_from(*end).unwrap());
                let is_spare = name.ends_with(".log") && keep >= used;
                match &outcome {
                    Ok(()) => assert!(is_index || is_spare, "{what}: nobody noticed"),
                    Err(error) => {
                        assert!(!is_index && !is_spare, "{what}: {error}");
                        let Error::Corrupt { path: found, reason, .. } = error else {
                            panic!("{what}: {error:?}")
                        };
                        assert_eq!(found, &path, "{what}: {error}");
                        assert!(!reason.is_empty() && error.is_corruption());
                    }
                }
                seen.push((name, refused, outcome.is_ok()));
                if outcome.is_ok() {
                    // It was opened and closed, and has a new life: the old file belongs to the one before.
                    continue;
                }
                // Nothing was lost by trying.
                std::fs::write(&path, &bytes).unwrap();
                check_whole(dir.path(), sent)
                    .unwrap_or_else(|error| panic!("{what}, then restored: {error}"));
            }
        }
    }
    for kind in [
        "annals.topics",
        "orders-0/annals.state",
        "orders-0/00000000000000000000.log",
        "__consumer_offsets-0/annals.state",
    ] {
        assert!(seen.iter().any(|(name, ..)| name == kind), "{kind} was not tried");
    }
    assert!(seen.iter().any(|(name, _, whole)| name.ends_with(".timeindex") && *whole));
    println!(
        "{} cut files: {} refused at open",
        seen.len(),
        seen.iter().filter(|(_, refused, _)| *refused).count()
    );
}

#[test]
fn wrong_indexes_cost_time_and_nothing_else() {
    let (original, sent) = full_store(true);
    let indexes =
        tree(original.path()).into_iter().filter(|(name, _)| name.to_string_lossy().ends_with("index"));
    let mut tried = 0;
    for (name, bytes) in indexes.filter(|(_, bytes)| !bytes.is_empty()) {
        let flipped = |mask: u8| bytes.iter().map(|byte| byte ^ mask).collect::<Vec<_>>();
        let mut shifted = bytes.clone();
        shifted.rotate_left(1);
        let mut swollen = bytes.clone();
        // Every entry's last byte, which is small enough to lead to a place that exists.
        swollen.iter_mut().skip(3).step_by(4).for_each(|byte| *byte = byte.wrapping_add(40));
        for wrong in [vec![0; bytes.len()], flipped(1), flipped(0xff), shifted, swollen] {
            let dir = tempfile::tempdir().unwrap();
            copy_dir(original.path(), dir.path());
            std::fs::write(dir.path().join(&name), &wrong).unwrap();
            check_whole(dir.path(), sent).unwrap_or_else(|error| panic!("{}: {error}", name.display()));
            assert_eq!(std::fs::read(dir.path().join(&name)).unwrap(), bytes, "it was not built anew");
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn missing_files_of_each_kind() {
    for closed in [true, false] {
        let (original, sent) = full_store(closed);
        for name in tree(original.path()).into_keys() {
            let dir = tempfile::tempdir().unwrap();
            copy_dir(original.path(), dir.path());
            std::fs::remove_file(dir.path().join(&name)).unwrap();
            let before = tree(dir.path());
            let name = name.to_string_lossy().into_owned();
            match check_whole(dir.path(), sent) {
                Ok(()) => assert!(name.ends_with("index"), "closed {closed}: nobody missed {name}"),
                Err(error) => {
                    assert!(error.is_corruption(), "closed {closed}, {name}: {error:?}");
                    assert!(error.to_string().contains("missing"), "closed {closed}, {name}: {error}");
                    // The other topics are open, and are closed like any.
                    let of_topic = |mut files: std::collections::BTreeMap<PathBuf, Vec<u8>>| {
                        files.retain(|path, _| path.parent() == Path::new(&name).parent());
                        files
                    };
                    let (before, after) = (of_topic(before), of_topic(tree(dir.path())));
                    assert!(before == after, "closed {closed}, {name}: a refused open changed something");
                }
            }
        }
    }
}

/// A closed store of two topics with a record in each partition.
fn small_store(dir: &Path) {
    let store = by_hand(dir).open().unwrap();
    for (name, partitions) in [(TOPIC, 2), ("payments", 1)] {
        let topic = store.create_topic(name, TopicConfig::new().partitions(partitions)).unwrap();
        for partition in topic.partitions() {
            partition.append(&[Record::new().value("one")], Durability::Os).unwrap();
        }
    }
    store.close().unwrap();
}

/// Each file in such a directory is as good as those that belong there.
#[test]
fn a_directory_of_another_partition_topic_or_store_is_refused() {
    let (original, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    small_store(original.path());
    small_store(other.path());
    let others = [
        (original.path().join("orders-1"), "belongs to another partition"),
        (original.path().join("payments-0"), "belongs to another topic"),
        (other.path().join("orders-0"), "belongs to another store"),
    ];
    for (from, why) in others {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(original.path(), dir.path());
        let place = dir.path().join("orders-0");
        std::fs::remove_dir_all(&place).unwrap();
        copy_dir(&from, &place);
        let before = tree(dir.path());
        let store = by_hand(dir.path()).open().unwrap();
        let error = store.topic(TOPIC).map(drop).unwrap_err();
        assert!(error.is_corruption() && error.to_string().contains(why), "{why}: {error:?}");
        store.topic("payments").unwrap();
        store.close().unwrap();
        assert_eq!(before, tree(dir.path()), "{why}: a refused open changed something");
    }
}

#[test]
fn files_of_a_newer_version_are_named_as_such() {
    let (original, sent) = full_store(true);
    let newer = |change: &dyn Fn(&Path) -> PathBuf, what_expected: &str, found_expected: u32| {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(original.path(), dir.path());
        let changed = change(dir.path());
        let before = tree(dir.path());
        match check_whole(dir.path(), sent) {
            Err(error @ Error::UnsupportedFormat { .. }) => {
                assert!(error.to_string().contains("newer annals"), "{error}");
                let Error::UnsupportedFormat { path, what, found, supported } = error else { unreachable!() };
                assert_eq!(
                    (path, what, found, supported),
                    (changed, what_expected, found_expected, found_expected - 1)
                );
            }
            other => panic!("{what_expected}: {other:?}"),
        }
        assert_eq!(before, tree(dir.path()), "{what_expected}: something was changed");
    };
    let state = |dir: &Path| {
        let path = dir.join("orders-0/annals.state");
        let mut bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes[8..12], 1_u32.to_be_bytes());
        bytes[8..12].copy_from_slice(&3_u32.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..508]);
        bytes[508..512].copy_from_slice(&crc.to_be_bytes());
        std::fs::write(&path, bytes).unwrap();
        path
    };
    newer(&state, "state file version", 3);
    let topics = |dir: &Path| {
        let path = dir.join("annals.topics");
        let text = std::fs::read_to_string(&path).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        let first = first.strip_suffix('1').unwrap();
        std::fs::write(&path, format!("{first}2\n{rest}")).unwrap();
        path
    };
    newer(&topics, "topic file version", 2);
}

/// The state file says how new a partition's files are, so a batch of another version is damage, with its place.
#[test]
fn a_batch_of_another_version_is_damaged() {
    let (original, sent) = full_store(true);
    for (segment, magic) in [(0, 3), (3, 3), (0, 0x42), (3, 1)] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(original.path(), dir.path());
        let changed = files_of(dir.path(), "orders-0", ".log")[segment].clone();
        let mut bytes = std::fs::read(&changed).unwrap();
        assert_eq!(bytes[16], 2);
        bytes[16] = magic;
        std::fs::write(&changed, bytes).unwrap();
        let base: i64 = changed.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        match check_whole(dir.path(), sent) {
            Err(Error::Corrupt { path, position: 0, offset, reason, .. }) => {
                assert_eq!((path, offset), (changed, Some(base)));
                assert!(reason.contains(&format!("magic {magic} is not 2")), "{reason}");
            }
            other => panic!("magic {magic} in segment {segment}: {other:?}"),
        }
    }
}
