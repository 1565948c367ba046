//! What the robustness tests share. A test crate takes this in under `#[cfg(test)]`.

#![expect(dead_code, reason = "each test crate uses a part of it")]
#![expect(clippy::disallowed_methods, reason = "tests look at the files from outside, and read the clock")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use annals::{Durability, Offset, Partition, Producer, Store, StoreBuilder, TopicConfig};

use annals_testing::FaultyFileSystem;

/// Keeps the `dead_code` expectation above fulfilled in a crate that uses everything else.
struct Unused;

/// The topic of tests that need one.
pub(crate) const TOPIC: &str = "orders";

/// A count that an environment variable scales.
pub(crate) fn count_from_env(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A moment, for figures and limits.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Starts a thread outside a scope.
pub(crate) fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::spawn(work)
}

/// A directory in memory where there is one: for tests of many small syncs that are not about the disk.
pub(crate) fn fast_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// A store that does nothing by itself.
pub(crate) fn by_hand(dir: &Path) -> StoreBuilder {
    Store::builder(dir).maintain_by_hand()
}

/// A store on a file system that fails when it is asked to. It does nothing by itself.
pub(crate) fn on_faulty(dir: &Path, files: &Arc<FaultyFileSystem>) -> StoreBuilder {
    by_hand(dir).file_system(Arc::clone(files) as Arc<dyn annals::io::FileSystem>)
}

/// Segments that roll after a few dozen records.
pub(crate) fn small_segments() -> TopicConfig {
    TopicConfig::new().segment_bytes(4096).index_interval_bytes(256)
}

pub(crate) fn producer(store: &Store, durability: Durability) -> Producer {
    store.producer_builder().durability(durability).build().unwrap()
}

/// What a process kill leaves: the store's own threads and destructors never get to run, and the files are copied as they
/// are, so that the lock of the first life is in nobody's way.
pub(crate) fn kill_and_copy(store: Store, dir: &Path, copy: &Path) {
    std::mem::forget(store);
    copy_dir(dir, copy);
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below `dir` with its bytes, but the lock file and the page for readers elsewhere.
pub(crate) fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    collect(dir, dir, &mut files);
    files
}

fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if !path.ends_with(".lock") && !path.ends_with("annals.live") {
            files.insert(path.strip_prefix(root).unwrap().to_path_buf(), fs::read(&path).unwrap());
        }
    }
}

/// The files of a partition whose names end like that, in the order of their offsets.
pub(crate) fn files_of(dir: &Path, partition: &str, suffix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join(partition)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(suffix));
    paths.sort();
    paths
}

/// A partition's records: offset and value.
pub(crate) fn records(partition: &Partition) -> Vec<(Offset, Vec<u8>)> {
    let mut reader = partition.read(..).unwrap();
    let mut all = Vec::new();
    loop {
        let fetched = reader.fetch().unwrap();
        if fetched.is_empty() {
            return all;
        }
        all.extend(
            fetched.iter().map(|record| (record.offset(), record.value().unwrap_or_default().to_vec())),
        );
    }
}

/// The value that tests give to a number, long enough to tell a shifted one from the right one.
pub(crate) fn value_of(number: i64) -> String {
    format!("value {number} {}", "-".repeat(usize::try_from(number % 97).unwrap_or(0)))
}

/// Where batches end in a `.log`: byte position and next offset of each, read from Kafka's fields alone.
pub(crate) fn batch_ends(log: &[u8]) -> Vec<(u64, Offset)> {
    let mut ends = Vec::new();
    let mut at = 0;
    while let Some(header) = log.get(at..at + 61) {
        let base = i64::from_be_bytes(header[0..8].try_into().unwrap());
        let length = u32::from_be_bytes(header[8..12].try_into().unwrap()) as usize;
        let last_delta = i32::from_be_bytes(header[23..27].try_into().unwrap());
        if length == 0 || log.len() < at + 12 + length {
            break;
        }
        at += 12 + length;
        ends.push((at as u64, base + i64::from(last_delta) + 1));
    }
    ends
}
