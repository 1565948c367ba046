//! Logs that become topics: copies of partitions, whole or cut off, and damaged ones that are refused.

mod cut_off;

use std::fs;
use std::path::{Path, PathBuf};

use annals::{CleanupPolicy, Durability, Error, LogSource, Offset, Record, Store, TopicConfig};

use crate::common::{batch_ends, by_hand, copy_dir, fast_dir, kill_and_copy, records, tree, value_of};

fn tiny_segments() -> TopicConfig {
    TopicConfig::new().segment_bytes(600).index_interval_bytes(100)
}

/// Appends `count` batches of two records.
fn append(store: &Store, topic: &str, count: i64) {
    let partition = store.topic(topic).unwrap().partition(0).unwrap();
    for _ in 0..count {
        let end = partition.end();
        let values = [value_of(end), value_of(end + 1)];
        let record = |value| Record::new().key("key").value(value);
        partition.append(&[record(&values[0]), record(&values[1])], Durability::Os).unwrap();
    }
}

/// What partition 0 of the topic must hold from `start` on.
fn expected(range: std::ops::Range<Offset>) -> Vec<(Offset, Vec<u8>)> {
    range.map(|offset| (offset, value_of(offset).into_bytes())).collect()
}

fn content(store: &Store, topic: &str) -> Vec<(Offset, Vec<u8>)> {
    records(&store.topic(topic).unwrap().partition(0).unwrap())
}

/// A copy of the partition of a store that was closed, or killed, with ten batches in several segments.
fn copied(dir: &Path, is_killed: bool) -> PathBuf {
    let (origin, copy) = (dir.join("origin"), dir.join("copy"));
    let store = by_hand(&origin).open().unwrap();
    store.create_topic("orders", tiny_segments()).unwrap();
    append(&store, "orders", 10);
    match is_killed {
        true => kill_and_copy(store, &origin, &copy),
        false => {
            store.close().unwrap();
            copy_dir(&origin, &copy);
        }
    }
    copy.join("orders-0")
}

/// The same without the state file and the indexes: what is left of it in any log of Kafka's format.
fn plain(dir: &Path) -> PathBuf {
    let source = copied(dir, false);
    for entry in fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "log") || path.metadata().unwrap().len() == 0
        {
            fs::remove_file(path).unwrap();
        }
    }
    source
}

fn logs(source: &Path) -> Vec<PathBuf> {
    let mut logs: Vec<_> = fs::read_dir(source).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort();
    logs
}

/// Why a source is refused. It must leave the store as it was.
fn refusal(store: &Store, source: impl Into<LogSource>) -> (PathBuf, u64, String) {
    let before = tree(store.path());
    match store.adopt_topic("adopted", TopicConfig::new(), [source]) {
        Err(Error::CannotAdopt { path, position, reason, .. }) => {
            assert_eq!(tree(store.path()), before, "{reason}");
            assert!(matches!(store.topic("adopted"), Err(Error::UnknownTopic { .. })));
            (path, position, reason)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_copy_of_a_closed_partition_goes_on_as_a_topic() {
    let dir = fast_dir();
    let source = copied(dir.path(), false);
    let before = tree(&source);
    let store = by_hand(&dir.path().join("store")).open().unwrap();
    let adopted = store.adopt_topic("adopted", tiny_segments(), [&source]).unwrap();
    let told = &adopted.partitions[0];
    assert_eq!((told.start, told.end, told.records, &told.torn), (0, 20, 20, &None));
    assert!(told.segments > 2 && told.bytes == told.copied_bytes, "{told:?}");
    assert_eq!(tree(&source), before);
    assert_eq!(content(&store, "adopted"), expected(0..20));
    append(&store, "adopted", 5);
    assert_eq!(content(&store, "adopted"), expected(0..30));
    store.close().unwrap();
    assert!(Store::verify(dir.path().join("store")).unwrap().is_sound());

    // Everything that makes a log shorter works on it.
    let store = by_hand(&dir.path().join("store")).open().unwrap();
    assert!(store.recovery().iter().all(|report| report.clean && report.torn.is_none()));
    let topic = store.topic("adopted").unwrap();
    topic.partition(0).unwrap().delete_records(3).unwrap();
    assert_eq!(content(&store, "adopted"), expected(3..30));
    store.alter_topic("adopted", TopicConfig::new().retention_records(12)).unwrap();
    assert!(!store.apply_retention().unwrap().is_empty());
    let left = content(&store, "adopted");
    assert!(left[0].0 > 3 && left.last().unwrap().0 == 29, "{left:?}");
    store.alter_topic("adopted", TopicConfig::new().cleanup_policy(CleanupPolicy::Compact)).unwrap();
    topic.compact().unwrap();
    assert_eq!(content(&store, "adopted"), expected(29..30));
    store.delete_topic("adopted").unwrap();
    store.adopt_topic("adopted", TopicConfig::new(), [&source]).unwrap();
    assert_eq!(content(&store, "adopted"), expected(0..20));
    store.close().unwrap();
    assert!(Store::verify(dir.path().join("store")).unwrap().is_sound());
}

#[test]
fn what_was_deleted_in_the_origin_does_not_come_back() {
    let dir = fast_dir();
    let origin = by_hand(&dir.path().join("origin")).open().unwrap();
    origin.create_topic("orders", tiny_segments()).unwrap();
    append(&origin, "orders", 10);
    origin.topic("orders").unwrap().partition(0).unwrap().delete_records(7).unwrap();
    origin.close().unwrap();
    let store = by_hand(&dir.path().join("store")).open().unwrap();
    store.adopt_topic("adopted", TopicConfig::new(), [dir.path().join("origin/orders-0")]).unwrap();
    assert_eq!(content(&store, "adopted"), expected(7..20));
}

#[test]
fn a_killed_partition_is_taken_up_to_its_torn_tail_which_is_told() {
    let dir = fast_dir();
    let source = copied(dir.path(), true);
    let last = logs(&source).pop().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    let (end, _) = *batch_ends(&bytes).last().unwrap();
    let whole = usize::try_from(end).unwrap();
    let half = bytes[..50].to_vec();
    bytes.truncate(whole);
    bytes.extend(half);
    fs::write(&last, &bytes).unwrap();
    let before = tree(&source);
    let store = by_hand(&dir.path().join("store")).open().unwrap();
    // A file that has to be cut is copied, whatever was asked for.
    let adopted =
        store.adopt_topic("adopted", tiny_segments(), [LogSource::from(&source).hard_linked()]).unwrap();
    let torn = adopted.partitions[0].torn.clone().unwrap();
    assert_eq!((torn.path.file_name(), torn.position, torn.bytes), (last.file_name(), end, 50));
    assert_eq!(content(&store, "adopted"), expected(0..20));
    append(&store, "adopted", 1);
    store.close().unwrap();
    assert_eq!(tree(&source), before);
    assert!(Store::verify(dir.path().join("store")).unwrap().is_sound());
    let taken = dir.path().join("store/adopted-0").join(last.file_name().unwrap());
    assert_eq!(fs::read(taken).unwrap(), bytes[..whole]);
}

#[test]
fn a_last_batch_that_ends_with_the_file_is_cut_off_and_any_other_damage_refused() {
    let dir = fast_dir();
    let source = plain(dir.path());
    let store = by_hand(&dir.path().join("store")).open().unwrap();
    let last = logs(&source).pop().unwrap();
    let whole = fs::read(&last).unwrap();
    let ends = batch_ends(&whole);
    let before_last = ends.iter().rev().nth(1).map_or(0, |(end, _)| *end);
    for len in [before_last + 8, before_last + 60, before_last + 61, ends.last().unwrap().0 - 1] {
        fs::write(&last, &whole[..usize::try_from(len).unwrap()]).unwrap();
        let adopted = store.adopt_topic("adopted", TopicConfig::new(), [&source]).unwrap();
        let torn = adopted.partitions[0].torn.clone().unwrap();
        assert_eq!((torn.path, torn.position), (fs::canonicalize(&last).unwrap(), before_last), "{len}");
        assert_eq!(content(&store, "adopted"), expected(0..18));
        store.delete_topic("adopted").unwrap();
    }
    fs::write(&last, &whole).unwrap();

    // Each batch of each file, what the checksum covers and what it does not: length, magic, checksum, a record.
    let mut refused = 0;
    for path in logs(&source) {
        let sound = fs::read(&path).unwrap();
        let mut begin = 0;
        for (end, _) in batch_ends(&sound) {
            for at in [0, 9, 16, 17, 25, 62] {
                let mut bytes = sound.clone();
                bytes[begin + at] ^= 0x40;
                fs::write(&path, &bytes).unwrap();
                if at == 9 && end == sound.len() as u64 && path == last {
                    // A length that leads behind the file is a batch that was cut off, for all anybody can tell.
                    continue;
                }
                let (told, position, reason) = refusal(&store, &source);
                assert_eq!(told.file_name(), path.file_name(), "{reason}");
                assert_eq!(position, begin as u64, "byte {at}: {reason}");
                assert!(reason.contains("take a sound copy"), "{reason}");
                refused += 1;
            }
            begin = usize::try_from(end).unwrap();
        }
        fs::write(&path, &sound).unwrap();
    }
    assert!(refused > 40, "{refused}");
    store.adopt_topic("adopted", TopicConfig::new(), [&source]).unwrap();
}

#[test]
fn what_is_no_log_is_refused_with_what_to_do() {
    let dir = fast_dir();
    let source = plain(dir.path());
    let store = by_hand(&dir.path().join("store")).open().unwrap();
    let files = logs(&source);
    let tried = |change: &dyn Fn(), words: &str| {
        let sound = tree(&source);
        change();
        let (path, position, reason) = refusal(&store, &source);
        assert!(reason.contains(words), "{reason}");
        fs::remove_dir_all(&source).unwrap();
        fs::create_dir(&source).unwrap();
        sound.iter().for_each(|(name, bytes)| fs::write(source.join(name), bytes).unwrap());
        (path.file_name().unwrap().to_owned(), position)
    };
    let rename = |base: i64| fs::rename(&files[1], source.join(format!("{base:020}.log"))).unwrap();
    // Its first batch lies before the name says; the file before it reaches into it.
    let above = files[1].file_stem().unwrap().to_str().unwrap().parse::<i64>().unwrap() + 1;
    let (path, _) = tried(&|| rename(above), &format!("is below {above}, the name of the file"));
    assert_eq!(path, format!("{above:020}.log").as_str());
    let (path, _) = tried(&|| rename(1), "overlap the next file, which begins at 1");
    assert_eq!(Some(path.as_os_str()), files[0].file_name());
    // The same batch twice.
    let twice = || {
        let bytes = fs::read(&files[0]).unwrap();
        let (end, _) = batch_ends(&bytes)[0];
        let first = &bytes[..usize::try_from(end).unwrap()];
        fs::write(&files[0], [first, first].concat()).unwrap();
    };
    let (_, position) = tried(&twice, "offsets go back: 0 comes where 2");
    assert!(position > 61);
    // A message of format 1: offset, size, checksum, magic, attributes, time, key, value.
    let old = || {
        let body = [&[1, 0][..], &[0; 8], &[0xff; 4], &3_u32.to_be_bytes(), b"old"].concat();
        let size = u32::try_from(body.len() + 4).unwrap();
        let crc = crc32fast::hash(&body);
        let message = [&0_i64.to_be_bytes()[..], &size.to_be_bytes(), &crc.to_be_bytes(), &body].concat();
        fs::write(&files[0], [message.as_slice(), &[0; 40]].concat()).unwrap();
    };
    tried(&old, "a message of format 1, from before Kafka 0.11");
    tried(&|| files.iter().for_each(|file| fs::remove_file(file).unwrap()), "it holds no .log file");
    tried(&|| fs::write(source.join("00000000000000000000.log.swap"), b"").unwrap(), "start the broker");

    let missing = store.adopt_topic("adopted", TopicConfig::new(), [dir.path().join("nowhere")]);
    assert!(matches!(missing, Err(Error::Io { .. })), "{missing:?}");
    let counted = store.adopt_topic("adopted", TopicConfig::new().partitions(2), [&source]);
    assert!(matches!(counted, Err(Error::InvalidConfig { .. })), "{counted:?}");
    let none = store.adopt_topic("adopted", TopicConfig::new(), Vec::<LogSource>::new());
    assert!(matches!(none, Err(Error::InvalidConfig { .. })), "{none:?}");
    let internal = store.adopt_topic("__consumer_offsets", TopicConfig::new(), [&source]);
    assert!(matches!(internal, Err(Error::InvalidName { .. })), "{internal:?}");
    store.adopt_topic("adopted", TopicConfig::new(), [&source]).unwrap();
    let again = store.adopt_topic("adopted", TopicConfig::new(), [&source]);
    assert!(matches!(again, Err(Error::TopicExists { .. })), "{again:?}");
}

#[test]
fn a_partition_of_this_store_is_refused_whatever_leads_there() {
    let dir = fast_dir();
    let store = by_hand(&dir.path().join("store")).open().unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    append(&store, "orders", 2);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path().join("store"), &link).unwrap();
    for source in
        [dir.path().join("store/orders-0"), link.join("orders-0"), dir.path().join("link/../store/orders-0")]
    {
        let (_, _, reason) = refusal(&store, &source);
        assert!(reason.contains("it lies in this store"), "{reason}");
    }
    let copy = copied(dir.path(), false);
    let twice = store.adopt_topic("adopted", TopicConfig::new(), [copy.clone(), copy]);
    assert!(matches!(twice, Err(Error::CannotAdopt { .. })), "{twice:?}");
}

#[test]
fn a_copy_without_a_segment_that_its_state_file_lists_is_refused() {
    let dir = fast_dir();
    let source = copied(dir.path(), false);
    let store = by_hand(&dir.path().join("store")).open().unwrap();
    let files = logs(&source);
    let bytes = fs::read(&files[1]).unwrap();
    fs::remove_file(&files[1]).unwrap();
    let (path, _, reason) = refusal(&store, &source);
    assert_eq!(path.file_name(), files[1].file_name());
    assert!(reason.contains("the segment is missing"), "{reason}");
    // Nor one whose leader epoch, which no batch checksum covers, is another.
    let mut other = bytes;
    other[15] ^= 1;
    fs::write(&files[1], &other).unwrap();
    let (_, _, reason) = refusal(&store, &source);
    assert!(reason.contains("differ from those that were sealed"), "{reason}");
    let state = source.join("annals.state");
    fs::write(&state, b"nonsense").unwrap();
    let (path, _, _) = refusal(&store, &source);
    assert_eq!(path.file_name(), state.file_name());
}

#[test]
fn files_are_linked_where_that_is_asked_for() {
    use std::os::unix::fs::MetadataExt;

    let dir = fast_dir();
    let source = copied(dir.path(), false);
    let before = tree(&source);
    let store = by_hand(&dir.path().join("store")).open().unwrap();
    let adopted =
        store.adopt_topic("linked", tiny_segments(), [LogSource::from(&source).hard_linked()]).unwrap();
    assert_eq!(adopted.partitions[0].copied_bytes, 0);
    let first = |place: &Path| fs::metadata(place.join("00000000000000000000.log")).unwrap().ino();
    assert_eq!(first(&dir.path().join("store/linked-0")), first(&source));
    // Shared blocks where the file system has them, a copy elsewhere: the content is the same.
    store.adopt_topic("shared", tiny_segments(), [LogSource::from(&source).reflinked()]).unwrap();
    assert_ne!(first(&dir.path().join("store/shared-0")), first(&source));
    for topic in ["linked", "shared"] {
        append(&store, topic, 3);
        assert_eq!(content(&store, topic), expected(0..26));
        store.topic(topic).unwrap().partition(0).unwrap().delete_records(5).unwrap();
        store.topic(topic).unwrap().erase("key").unwrap();
    }
    store.close().unwrap();
    assert!(Store::verify(dir.path().join("store")).unwrap().is_sound());
    assert_eq!(tree(&source), before, "whatever becomes of the topic");
}

#[test]
fn an_empty_directory_beside_partitions_of_annals_is_one_that_was_never_appended_to() {
    let dir = fast_dir();
    let copy = copied(dir.path(), false);
    let empty = dir.path().join("copy/orders-1");
    fs::create_dir(&empty).unwrap();
    let store = by_hand(&dir.path().join("store")).open().unwrap();
    let refused = store.adopt_topic("alone", TopicConfig::new(), [&empty]);
    assert!(matches!(refused, Err(Error::CannotAdopt { .. })), "{refused:?}");
    let adopted = store.adopt_topic("orders", TopicConfig::new(), [&copy, &empty]).unwrap();
    assert_eq!((adopted.partitions[0].end, adopted.partitions[1].end), (20, 0));
    store.producer().send(Record::to("orders").partition(1).value("first")).unwrap();
    assert_eq!(content(&store, "orders"), expected(0..20));
}

/// Changes the first batch of a log that holds nothing else, and seals it again.
fn change_batch(bytes: &mut [u8], change: impl FnOnce(&mut [u8])) {
    change(bytes);
    let crc = crc32c::crc32c(&bytes[21..]).to_be_bytes();
    bytes[17..21].copy_from_slice(&crc);
}

/// One batch of one record, of time 7.
fn one_batch(dir: &Path) -> Vec<u8> {
    let store = by_hand(&dir.join("one")).open().unwrap();
    let partition = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    partition.append(&[Record::new().key("key").timestamp(7)], Durability::Os).unwrap();
    store.close().unwrap();
    fs::read(logs(&dir.join("one/orders-0"))[0].clone()).unwrap()
}

#[test]
fn records_whose_times_their_header_hides_were_adopted_and_never_found_by_time() {
    let dir = fast_dir();
    let mut bytes = one_batch(dir.path());
    change_batch(&mut bytes, |batch| batch[35..43].copy_from_slice(&3_i64.to_be_bytes()));
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    let log = source.join("00000000000000000000.log");
    fs::write(&log, &bytes).unwrap();
    let store = by_hand(&dir.path().join("store")).open().unwrap();
    let (path, position, reason) = refusal(&store, &source);
    assert_eq!((path, position), (log, 0));
    assert!(reason.contains("time 7") && reason.contains("the header says 3"), "{reason}");
    // A header may say of a later time: that of a record that was compacted away.
    change_batch(&mut bytes, |batch| batch[35..43].copy_from_slice(&9_i64.to_be_bytes()));
    fs::write(source.join("00000000000000000000.log"), &bytes).unwrap();
    store.adopt_topic("adopted", TopicConfig::new(), [&source]).unwrap();
    let found = store.topic("adopted").unwrap().partition(0).unwrap().offset_for_time(7).unwrap();
    assert_eq!(found.map(|found| found.timestamp), Some(7));
}

#[test]
fn an_open_transaction_that_leaves_no_offset_for_its_marker_was_refused_as_an_argument() {
    let dir = fast_dir();
    let mut bytes = one_batch(dir.path());
    let store = by_hand(&dir.path().join("store")).open().unwrap();
    for (base, is_refused) in [(i64::MAX - 1, true), (i64::MAX - 2, false)] {
        change_batch(&mut bytes, |batch| {
            batch[..8].copy_from_slice(&base.to_be_bytes());
            batch[22] |= 0x10;
            batch[43..51].copy_from_slice(&5_i64.to_be_bytes());
            batch[51..57].fill(0);
        });
        let source = dir.path().join(format!("source-{is_refused}"));
        fs::create_dir(&source).unwrap();
        let log = source.join(format!("{base:020}.log"));
        fs::write(&log, &bytes).unwrap();
        if is_refused {
            let (path, position, reason) = refusal(&store, &source);
            assert_eq!((path, position), (log, bytes.len() as u64));
            assert!(reason.contains("no offset is left"), "{reason}");
        } else {
            let adopted = store.adopt_topic("adopted", TopicConfig::new(), [&source]).unwrap();
            assert_eq!((adopted.partitions[0].aborted, adopted.partitions[0].end), (1, i64::MAX));
        }
    }
}
