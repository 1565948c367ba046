//! Opening a store whose files are not what it wrote.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{PartitionState, SegmentFile, SegmentSummary, segment_file_name};
use crate::fuzzing::input::Input;
use crate::fuzzing::memory::{Files, Memory};
use crate::fuzzing::repair;
use crate::fuzzing::store_files::{ROOT, Samples, clock, open, read_from, samples};
use crate::log::OnDamage;
use crate::store::Store;
use crate::topic::{InternalTopic, Partition};
use crate::types::{Durability, Record};

/// Names that mean something, for files that are not there.
const NAMES: [&str; 8] = [
    "annals.topics.new",
    "a-0/annals.state.new",
    "a-0/00000000000000000000.log.cleaned",
    "a-0/00000000000000000003.log",
    "a-0/00000000000000000099.log",
    "a-0/09223372036854775807.log",
    "a-2/annals.state",
    "b-0/00000000000000000000.index",
];
const MOST_EDITS: usize = 8;

/// A store's files with some of them changed, removed, added and exchanged, checksums made right or not. Opening works or
/// returns an error that says what is wrong; a refused open changes no partition. What opens can be used, and what is then
/// acknowledged is there after a power cut, or the damage in front of it is told.
pub fn directory(data: &[u8]) {
    let mut input = Input::new(data);
    let how = input.byte();
    let Samples { killed, closed } = samples();
    let mut files = if how & 1 == 0 { closed.clone() } else { killed.clone() };
    for _ in 0..MOST_EDITS {
        if !input.is_empty() {
            edit(&mut files, &mut input);
        }
    }
    repair_all(&mut files, how);
    let memory = Memory::with(files.clone());
    match open(&memory, &clock()) {
        Err(error) => {
            let is_typed = matches!(
                error,
                Error::Corrupt { .. }
                    | Error::UnsupportedFormat { .. }
                    | Error::InvalidConfig { .. }
                    | Error::Io { .. }
            );
            assert!(is_typed, "{error:?}");
            let changed = changed(&files, &memory.files());
            assert!(changed.iter().all(|path| is_in_root(path)), "{changed:?}: {error}");
        }
        Ok(store) => {
            let topics = store.topics();
            // Offsets beyond the end of their partition are set back.
            let topics = topics.iter().filter(|topic| InternalTopic::find(topic.name()).is_none());
            let open: Vec<_> =
                topics.flat_map(|topic| topic.partitions()).map(|partition| partition.directory()).collect();
            let changed = changed(&files, &memory.files());
            assert!(
                !changed.iter().any(|path| open.iter().any(|open| path.starts_with(open))),
                "{changed:?}"
            );
            use_it(&memory, &store);
        }
    }
}

fn edit(files: &mut Files, input: &mut Input<'_>) {
    let kind = input.byte();
    let paths: Vec<_> = files.keys().cloned().collect();
    let choose = |input: &mut Input<'_>| paths.get(usize::from(input.byte()) % paths.len().max(1)).cloned();
    let Some(path) = choose(input) else { return };
    let mut bytes = files.get(&path).cloned().unwrap_or_default();
    match kind % 8 {
        0 => bytes = payload(input),
        1 => {
            let at = input.below(bytes.len() + 1);
            let new = payload(input);
            bytes.get_mut(at..).unwrap_or_default().iter_mut().zip(new).for_each(|(to, from)| *to = from);
        }
        2 => bytes.truncate(input.below(bytes.len() + 1)),
        3 => bytes.extend(payload(input)),
        4 => {
            files.remove(&path);
            return;
        }
        5 => {
            let name = NAMES.get(usize::from(input.byte()) % NAMES.len()).copied().unwrap_or_default();
            files.insert(Path::new(ROOT).join(name), bytes);
            return;
        }
        6 => {
            let at = input.below(bytes.len());
            let bits = input.byte();
            bytes.get_mut(at..).unwrap_or_default().iter_mut().take(1).for_each(|byte| *byte ^= bits);
        }
        _ => bytes = choose(input).and_then(|other| files.get(&other).cloned()).unwrap_or_default(),
    }
    files.insert(path, bytes);
}

fn payload(input: &mut Input<'_>) -> Vec<u8> {
    let len = usize::from(input.byte());
    input.take(len).to_vec()
}

/// Which checksums are made right, each by its bit.
fn repair_all(files: &mut Files, how: u8) {
    let named = |path: &Path, suffix: &str| path.to_string_lossy().ends_with(suffix);
    for (path, bytes) in files.iter_mut() {
        if how & 2 != 0 && named(path, "annals.state") {
            repair::partition_state(bytes);
        }
        if how & 4 != 0 && named(path, "annals.topics") {
            repair::topic_file(bytes);
        }
        if how & 8 != 0 && named(path, ".log") {
            repair::log(bytes);
        }
    }
    if how & 16 != 0 {
        let states: Vec<PathBuf> = files.keys().filter(|path| named(path, "annals.state")).cloned().collect();
        states.iter().for_each(|path| adopt(files, path));
    }
}

/// Makes a partition's state file tell of the files that are there.
fn adopt(files: &mut Files, path: &Path) {
    let state = files.get(path).and_then(|bytes| PartitionState::decode(bytes).ok());
    let (Some(mut state), Some(directory)) = (state, path.parent()) else { return };
    for summary in state.sealed.iter_mut().chain(&mut state.closed) {
        let file = |kind| files.get(&directory.join(segment_file_name(summary.base, kind)));
        let (log, offsets, times) =
            (file(SegmentFile::Log), file(SegmentFile::Index), file(SegmentFile::TimeIndex));
        let entries = |bytes: Option<&Vec<u8>>, len| {
            bytes.map_or(0, |bytes| u32::try_from(bytes.len() / len).unwrap_or(0))
        };
        let crc = |bytes: Option<&Vec<u8>>| bytes.map_or(0, |bytes| crc32fast::hash(bytes));
        *summary = SegmentSummary {
            bytes: log.map_or(0, |log| log.len() as u64),
            index_entries: entries(offsets, 8),
            index_crc: crc(offsets),
            time_entries: entries(times, 12),
            time_index_crc: crc(times),
            ..*summary
        };
    }
    files.insert(path.to_path_buf(), state.encode());
}

/// The paths of files that are not the same. Indexes are hints: whoever looks for one that does not fit makes it again.
fn changed(before: &Files, after: &Files) -> Vec<PathBuf> {
    let paths = before.keys().chain(after.keys());
    let changed = paths.filter(|path| before.get(*path) != after.get(*path));
    changed.filter(|path| !path.to_string_lossy().ends_with("index")).cloned().collect()
}

fn is_in_root(path: &Path) -> bool {
    path.parent() == Some(Path::new(ROOT))
}

/// Everything that can be done with a store. Damage shows as errors.
fn use_it(memory: &Memory, store: &Store) {
    for topic in store.topics() {
        topic.latest().take(100).for_each(drop);
        for partition in topic.partitions() {
            look_at(&partition);
            assert!(partition.start() <= partition.end() && partition.durable() <= partition.end());
        }
    }
    drop(skip_damage(store));
    drop(store.stats());
    let mut acknowledged = Vec::new();
    for partition in store.topics().into_iter().flat_map(|topic| topic.partitions()) {
        let record = Record::new().key("new").value("behind");
        if let Ok(batch) = partition.append(&[record], Durability::Disk)
            && InternalTopic::find(partition.topic()).is_none()
        {
            acknowledged.push((partition.clone(), batch.first_offset));
        }
    }
    check_acknowledged(Memory::with(memory.durable_files()), &acknowledged);
    for topic in store.topics() {
        drop(topic.erase("key 1"));
        drop(topic.compact());
        drop(topic.apply_retention());
        for partition in topic.partitions() {
            drop(partition.delete_records(partition.start() / 2 + partition.end() / 2));
            look_at(&partition);
        }
    }
    drop(store.apply_retention());
    drop(store.maintain());
    drop(store.close());
    drop(open(memory, &clock()));
}

fn look_at(partition: &Partition) {
    drop(read_from(partition, partition.start()));
    drop(read_from(partition, partition.end() / 2));
    for time in [i64::MIN, 0, 1_000_010, i64::MAX] {
        drop(partition.offset_for_time(time));
    }
}

fn skip_damage(store: &Store) -> Result<()> {
    let mut consumer = store.consumer_builder().on_damage(OnDamage::Skip).build()?;
    consumer.assign([("a", 0), ("a", 1), ("b", 0)])?;
    for _ in 0..20 {
        if consumer.poll(Duration::ZERO)?.is_empty() {
            return Ok(());
        }
    }
    Ok(())
}

/// A power cut now, and what was acknowledged before it.
fn check_acknowledged(memory: Memory, acknowledged: &[(Partition, i64)]) {
    if acknowledged.is_empty() {
        return;
    }
    let store = match open(&memory, &clock()) {
        Ok(store) => store,
        // After a clean close nothing is scanned: damage in the last segment shows when a crash makes the next open look.
        Err(error) => return assert!(error.is_corruption(), "{error:?}"),
    };
    for (before, offset) in acknowledged {
        let partition = store.topic(before.topic()).and_then(|topic| topic.partition(before.number()));
        let partition = match partition {
            Ok(partition) => partition,
            Err(error) => {
                assert!(error.is_corruption(), "{error:?}");
                continue;
            }
        };
        let record = read_from(&partition, *offset);
        assert!(
            matches!(&record, Ok(found) if found.iter().any(|found| found.offset == *offset)),
            "{} {offset}: {record:?}",
            before.topic_partition()
        );
    }
}
