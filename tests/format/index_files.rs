//! The index files against the `.log` files they index. What they should hold is worked out here from the format alone: a
//! parser of the 61-byte batch header, and Kafka's rule for when an entry is written.

#![expect(clippy::disallowed_methods, reason = "the files are looked at from outside")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use annals::{Codec, Durability, Partition, Record, Store, TopicConfig};

const TOPIC: &str = "indexed";
const SEGMENT_BYTES: u32 = 16 << 10;

/// A batch as its header tells.
#[derive(Debug, Clone, Copy)]
struct Batch {
    position: u32,
    len: u32,
    last_offset: i64,
    max_timestamp: i64,
}

/// Entries of both indexes, with absolute offsets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Indexes {
    /// Offset and position.
    offsets: Vec<(i64, u32)>,
    /// Timestamp and offset.
    times: Vec<(i64, i64)>,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().unwrap()
}

fn batches_of(log: &[u8]) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut at = 0;
    while at < log.len() {
        let base_offset = i64::from_be_bytes(number(log, at));
        let len = u32::from_be_bytes(number(log, at + 8)) + 12;
        assert_eq!(log[at + 16], 2, "magic at {at}");
        let last_offset_delta = i32::from_be_bytes(number(log, at + 23));
        let max_timestamp = i64::from_be_bytes(number(log, at + 35));
        let last_offset = base_offset + i64::from(last_offset_delta);
        batches.push(Batch { position: u32::try_from(at).unwrap(), len, last_offset, max_timestamp });
        at += len as usize;
    }
    assert_eq!(at, log.len(), "the last batch runs past the end of the file");
    batches
}

/// Kafka's rule: an entry before each batch that more than `interval` bytes lie before since the last entry, and the time
/// of the end.
fn expected(batches: &[Batch], interval: u32) -> Indexes {
    let mut indexes = Indexes::default();
    let mut largest = (-1, 0);
    let mut since_entry = 0;
    let add_time = |indexes: &mut Indexes, largest: (i64, i64)| {
        if largest.0 > indexes.times.last().map_or(-1, |last| last.0) {
            indexes.times.push(largest);
        }
    };
    for batch in batches {
        if batch.max_timestamp > largest.0 {
            largest = (batch.max_timestamp, batch.last_offset);
        }
        if since_entry > interval {
            indexes.offsets.push((batch.last_offset, batch.position));
            add_time(&mut indexes, largest);
            since_entry = 0;
        }
        since_entry += batch.len;
    }
    add_time(&mut indexes, largest);
    indexes
}

/// The three files of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SegmentFiles {
    log: Vec<u8>,
    index: Vec<u8>,
    timeindex: Vec<u8>,
}

impl SegmentFiles {
    fn indexes(&self, base: i64) -> Indexes {
        assert_eq!((self.index.len() % 8, self.timeindex.len() % 12), (0, 0));
        let absolute = |bytes: [u8; 4]| base + i64::from(u32::from_be_bytes(bytes));
        let offset = |entry: &[u8]| (absolute(number(entry, 0)), u32::from_be_bytes(number(entry, 4)));
        let time = |entry: &[u8]| (i64::from_be_bytes(number(entry, 0)), absolute(number(entry, 8)));
        Indexes {
            offsets: self.index.chunks(8).map(offset).collect(),
            times: self.timeindex.chunks(12).map(time).collect(),
        }
    }
}

fn segment_path(store: &Path, base: i64, extension: &str) -> PathBuf {
    store.join(format!("{TOPIC}-0")).join(format!("{base:020}.{extension}"))
}

/// All segments of the partition by their base offset.
fn segments(store: &Path) -> BTreeMap<i64, SegmentFiles> {
    let mut bases = Vec::new();
    for entry in fs::read_dir(store.join(format!("{TOPIC}-0"))).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        bases.extend(name.strip_suffix(".log").map(|digits| digits.parse::<i64>().unwrap()));
    }
    let files = |base| SegmentFiles {
        log: fs::read(segment_path(store, base, "log")).unwrap(),
        index: fs::read(segment_path(store, base, "index")).unwrap(),
        timeindex: fs::read(segment_path(store, base, "timeindex")).unwrap(),
    };
    bases.into_iter().map(|base| (base, files(base))).collect()
}

fn remove_indexes(store: &Path) {
    for base in segments(store).into_keys() {
        fs::remove_file(segment_path(store, base, "index")).unwrap();
        fs::remove_file(segment_path(store, base, "timeindex")).unwrap();
    }
}

/// What is appended: batches of timestamps and value lengths that come out the same every time.
fn input(batches: usize) -> Vec<Vec<(i64, usize)>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut input = Vec::new();
    for number in 0..batches as u64 {
        let count = 1 + random(4);
        // Times grow over a thousand batches, and run backwards within any dozen.
        let record = |_| {
            let timestamp = 1_000_000 + 100 * number + random(2_000);
            (i64::try_from(timestamp).unwrap(), usize::try_from(random(120)).unwrap())
        };
        input.push((0..count).map(record).collect());
    }
    input
}

fn config(interval: u32) -> TopicConfig {
    TopicConfig::new().segment_bytes(SEGMENT_BYTES).index_interval_bytes(interval)
}

fn partition(store: &Store) -> Partition {
    store.topic(TOPIC).unwrap().partition(0).unwrap()
}

fn append(partition: &Partition, input: &[Vec<(i64, usize)>]) {
    let text = "v".repeat(200);
    for batch in input {
        let record = |(timestamp, len): &(i64, usize)| {
            Record::new().key("k").value(&text.as_bytes()[..*len]).timestamp(*timestamp)
        };
        let records: Vec<_> = batch.iter().map(record).collect();
        partition.append(&records, Durability::Os).unwrap();
    }
}

/// A closed store with that input, written in lives of `per_life` batches each.
fn written(dir: &Path, config: TopicConfig, input: &[Vec<(i64, usize)>], per_life: usize) {
    Store::open(dir).unwrap().create_topic(TOPIC, config).unwrap();
    for life in input.chunks(per_life) {
        let store = Store::open(dir).unwrap();
        append(&partition(&store), life);
        store.close().unwrap();
    }
}

/// Asks for offsets in every segment, so that every index is loaded.
fn look_everything_up(store: &Store, step: usize, timestamps: &[i64]) {
    let partition = partition(store);
    for offset in (0..partition.end()).step_by(step) {
        let record = partition.read(offset..=offset).unwrap().into_iter().next().unwrap().unwrap();
        let expected = timestamps[usize::try_from(offset).unwrap()];
        assert_eq!((record.offset, record.timestamp), (offset, expected));
    }
    let (first, last) = (999_000, 1_000_000 + 100 * i64::try_from(timestamps.len()).unwrap());
    for time in (first..last).step_by(step * 37) {
        let scanned = timestamps.iter().zip(0_i64..).find(|(timestamp, _)| **timestamp >= time);
        let found = partition.offset_for_time(time).unwrap();
        let found = found.map(|found| (found.timestamp, found.offset));
        assert_eq!(found, scanned.map(|(timestamp, offset)| (*timestamp, offset)), "time {time}");
    }
}

fn timestamps(input: &[Vec<(i64, usize)>]) -> Vec<i64> {
    input.iter().flatten().map(|(timestamp, _)| *timestamp).collect()
}

#[test]
fn every_entry_tells_of_a_batch_and_entries_ascend() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), config(300), &input(800), usize::MAX);
    let segments = segments(dir.path());
    assert!(segments.len() > 5, "only {} segments", segments.len());
    assert!(segments.values().all(|files| !files.timeindex.is_empty()));
    for (base, files) in segments {
        let batches = batches_of(&files.log);
        let indexes = files.indexes(base);
        for (offset, position) in &indexes.offsets {
            let batch = batches.iter().find(|batch| batch.position == *position).unwrap();
            assert_eq!(batch.last_offset, *offset);
        }
        for (timestamp, offset) in &indexes.times {
            let upto = batches.iter().take_while(|batch| batch.last_offset <= *offset);
            let (before, last) = upto.fold((-1, None), |(largest, last): (i64, Option<&Batch>), batch| {
                (largest.max(last.map_or(-1, |last| last.max_timestamp)), Some(batch))
            });
            let last = last.unwrap();
            assert_eq!((last.last_offset, last.max_timestamp), (*offset, *timestamp));
            assert!(before < *timestamp, "offset {offset} is not the first with time {timestamp}");
        }
        assert!(indexes.offsets.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
        assert!(indexes.times.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
        let largest = batches.iter().map(|batch| batch.max_timestamp).max();
        assert_eq!(indexes.times.last().map(|last| last.0), largest, "the last entry is the maximum");
    }
}

#[test]
fn entries_are_where_kafkas_rule_puts_them() {
    for interval in [0, 1, 300, 4096, 1 << 20] {
        for codec in [Codec::None, Codec::Lz4] {
            let dir = tempfile::tempdir().unwrap();
            written(dir.path(), config(interval).compression_type(codec), &input(300), usize::MAX);
            for (base, files) in segments(dir.path()) {
                let expected = expected(&batches_of(&files.log), interval);
                assert_eq!(files.indexes(base), expected, "interval {interval}, segment {base}");
            }
        }
    }
}

#[test]
fn deleted_index_files_are_rebuilt_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let input = input(400);
    written(dir.path(), config(300), &input, usize::MAX);
    let before = segments(dir.path());
    remove_indexes(dir.path());
    let store = Store::open(dir.path()).unwrap();
    look_everything_up(&store, 11, &timestamps(&input));
    assert!(segments(dir.path()) == before, "after look-ups");
    store.close().unwrap();
    remove_indexes(dir.path());
    // The last segment's index is needed to go on with it.
    let store = Store::open(dir.path()).unwrap();
    append(&partition(&store), &input[..1]);
    look_everything_up(&store, 50, &[timestamps(&input), timestamps(&input[..1])].concat());
    store.close().unwrap();
    let after = segments(dir.path());
    let last = *before.keys().last().unwrap();
    for (base, files) in after {
        assert_eq!(files.indexes(base), expected(&batches_of(&files.log), 300));
        assert!(base >= last || files == before[&base]);
    }
}

#[test]
fn flipped_bits_change_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let input = input(150);
    let timestamps = timestamps(&input);
    written(dir.path(), config(300), &input, usize::MAX);
    let good = segments(dir.path());
    let (first, last) = (*good.keys().next().unwrap(), *good.keys().last().unwrap());
    for base in [first, last] {
        for extension in ["index", "timeindex"] {
            let path = segment_path(dir.path(), base, extension);
            let bytes = fs::read(&path).unwrap();
            assert!(bytes.len() > 24);
            for bit in (0..bytes.len() * 8).step_by(bytes.len() * 8 / 16 + 1) {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                fs::write(&path, &flipped).unwrap();
                let store = Store::open(dir.path()).unwrap();
                look_everything_up(&store, 7, &timestamps);
                store.close().unwrap();
                assert!(segments(dir.path()) == good, "bit {bit} of {} stayed flipped", path.display());
            }
        }
    }
}

#[test]
fn cut_stretched_and_swapped_index_files_change_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let input = input(150);
    let timestamps = timestamps(&input);
    written(dir.path(), config(300), &input, usize::MAX);
    let good = segments(dir.path());
    let bases: Vec<_> = good.keys().copied().collect();
    for extension in ["index", "timeindex"] {
        let path = segment_path(dir.path(), bases[0], extension);
        let bytes = fs::read(&path).unwrap();
        let others = fs::read(segment_path(dir.path(), bases[1], extension)).unwrap();
        let zeros = [&bytes[..], &[0; 96]].concat();
        let entries_cut = bytes[..24].to_vec();
        for content in [Vec::new(), bytes[..bytes.len() - 5].to_vec(), entries_cut, zeros, others] {
            fs::write(&path, &content).unwrap();
            let store = Store::open(dir.path()).unwrap();
            look_everything_up(&store, 7, &timestamps);
            store.close().unwrap();
            assert!(segments(dir.path()) == good);
        }
    }
}

#[test]
fn many_lives_leave_the_same_files_as_one() {
    let input = input(260);
    let one = tempfile::tempdir().unwrap();
    written(one.path(), config(300), &input, usize::MAX);
    let one = segments(one.path());
    for per_life in [1, 3, 40] {
        let many = tempfile::tempdir().unwrap();
        written(many.path(), config(300), &input, per_life);
        let many = segments(many.path());
        assert_eq!(one.keys().collect::<Vec<_>>(), many.keys().collect::<Vec<_>>());
        for (base, files) in &one {
            assert_eq!(
                files.indexes(*base),
                many[base].indexes(*base),
                "lives of {per_life}, segment {base}"
            );
            assert!(*files == many[base]);
        }
    }
}

#[test]
fn reopening_does_not_make_a_segment_young_again() {
    let input = input(260);
    // Kept for a thousand years: age ends a segment only where something waits for that.
    let kept = std::time::Duration::from_secs(1_000 * 365 * 86_400);
    let config = || config(300).segment_bytes(1 << 13).retention(kept);
    let aged = || config().segment_age(std::time::Duration::from_millis(5_000));
    let (one, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    written(one.path(), aged(), &input, usize::MAX);
    written(many.path(), aged(), &input, 3);
    let (one, many) = (segments(one.path()), segments(many.path()));
    assert!(one.len() > 4, "only {} segments", one.len());
    assert_eq!(one.keys().collect::<Vec<_>>(), many.keys().collect::<Vec<_>>());
    assert!(one == many);
}

#[test]
fn a_crash_leaves_indexes_that_are_rebuilt_by_the_same_rule() {
    let (live, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let input = input(200);
    let (before, after) = input.split_at(150);
    let store = Store::open(live.path()).unwrap();
    store.create_topic(TOPIC, config(300)).unwrap();
    append(&partition(&store), before);
    copy(live.path(), dir.path());
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert!(!store.recovery()[0].clean);
    look_everything_up(&store, 7, &timestamps(before));
    append(&partition(&store), after);
    look_everything_up(&store, 7, &timestamps(&input));
    store.close().unwrap();
    let store = Store::open(dir.path()).unwrap();
    look_everything_up(&store, 7, &timestamps(&input));
    store.close().unwrap();
    for (base, files) in segments(dir.path()) {
        assert_eq!(files.indexes(base), expected(&batches_of(&files.log), 300));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn indexes_written_across_a_change_of_the_interval_are_rebuilt_byte_for_byte() {
    let input = input(200);
    let timestamps = timestamps(&input);
    for reopens in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.create_topic(TOPIC, config(300)).unwrap();
        append(&partition(&store), &input[..20]);
        if reopens {
            store.close().unwrap();
            store = Store::open(dir.path()).unwrap();
        }
        store.alter_topic(TOPIC, TopicConfig::new().index_interval_bytes(1000)).unwrap();
        append(&partition(&store), &input[20..]);
        store.close().unwrap();
        let before = segments(dir.path());
        remove_indexes(dir.path());
        let store = Store::open(dir.path()).unwrap();
        look_everything_up(&store, 7, &timestamps);
        store.close().unwrap();
        for (base, files) in segments(dir.path()) {
            assert_eq!(
                files.indexes(base),
                before[&base].indexes(base),
                "segment {base}, reopened: {reopens}"
            );
        }
    }
}

#[test]
fn the_index_is_full_by_its_entries_and_not_by_the_bytes_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let config = TopicConfig::new().index_interval_bytes(1).segment_index_bytes(1_200);
    let partition = store.create_topic(TOPIC, config).unwrap().partition(0).unwrap();
    let append = |count: usize| {
        for _ in 0..count {
            partition.append(&[Record::new().value(&[0; 100])], Durability::Os).unwrap();
        }
        let files = fs::read_dir(dir.path().join(format!("{TOPIC}-0"))).unwrap();
        files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "log")).count()
    };
    assert_eq!([append(90), append(20)], [1, 2], "it has room for a hundred entries");
}
