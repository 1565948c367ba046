//! No access beyond what is known to be written: a map goes further than its file where space was allocated ahead, and a look
//! behind the file's end is a signal that ends the process. So this is played in a process of its own.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use annals::{Durability, Partition, Record, Store, TopicConfig};

use crate::common::{batch_ends, by_hand, fast_dir, files_of};

const DIR: &str = "ANNALS_TEST_MAPPED_DIR";
/// The part of a batch's header that says where it ends and what it holds, by Kafka's fields.
const HEADER: u64 = 27;
/// Where a batch's header has its length, which counts from the byte after it.
const LENGTH: u64 = 8;
const RECORDS: i64 = 50;
const PAGE: u64 = 4096;

/// Looks at these records in all ways there are. What comes of it is of no interest, only that it comes.
fn look(partition: &Partition, offsets: impl IntoIterator<Item = i64>) -> usize {
    let mut found = 0;
    for offset in offsets {
        found += usize::from(matches!(partition.get(offset), Ok(Some(_))));
        let reader = partition.read(offset..);
        found += reader.into_iter().flatten().map_while(Result::ok).take(2).count();
    }
    drop(partition.offset_for_time(i64::MAX / 2));
    found
}

/// Flips each bit of each of these batch headers in turn, where a map of the file sees it, and looks.
fn flip_and_look(log: &Path, partition: &Partition, batches: &[u64]) -> usize {
    let file = OpenOptions::new().read(true).write(true).open(log).expect("the file");
    let mut looks = 0;
    for at in batches.iter().flat_map(|batch| *batch..*batch + HEADER) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("a byte");
        for bit in 0..8 {
            file.write_all_at(&[byte[0] ^ 1 << bit], at).expect("a flip");
            // The batch, and those behind it that are found by its length.
            looks += look(partition, [0, 1, 24, 25, 26, RECORDS - 1]);
        }
        file.write_all_at(&byte, at).expect("as it was");
    }
    looks
}

/// Gives the last batch but one each length that ends it a little before the end of the file, so that the header of the next one
/// would begin in the file and end behind it, and looks for what comes after.
fn lengthen_and_look(log: &Path, partition: &Partition, (batch, written): (u64, u64)) {
    let file = OpenOptions::new().read(true).write(true).open(log).expect("the file");
    let mut length = [0; 4];
    file.read_exact_at(&mut length, batch + LENGTH).expect("a length");
    for left in 1..=60 {
        let wrong = u32::try_from(written - left - batch - LENGTH - 4).expect("a length");
        file.write_all_at(&wrong.to_be_bytes(), batch + LENGTH).expect("a length");
        look(partition, RECORDS - 5..RECORDS);
    }
    file.write_all_at(&length, batch + LENGTH).expect("as it was");
}

/// The process that looks. A segment is read while it grows, so that there is a map of more than will be written; then it is
/// sealed and cut.
#[test]
fn looks_at_flipped_bits_in_a_process_of_its_own() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let store = by_hand(&dir).open().expect("a new store");
    let config = TopicConfig::new().segment_bytes(128 << 10).index_interval_bytes(4096);
    let partition = store.create_topic("orders", config).expect("a topic").partition(0).expect("one");
    let value = "x".repeat(150);
    let append = |value: &str| {
        partition.append(&[Record::new().value(value)], Durability::Os).expect("an append");
    };
    let before = RECORDS.unsigned_abs() / 2;
    (0..before).for_each(|_| append(&value));
    let log = files_of(&dir, "orders-0", ".log").remove(0);
    let written = batch_ends(&fs::read(&log).expect("the file")).last().expect("batches").0;
    // One is larger, so that the last one ends with a page: the next page is not the file's.
    let each = written / before;
    let end = written + each * (RECORDS.unsigned_abs() - before);
    append(&"x".repeat(value.len() + usize::try_from(end.next_multiple_of(PAGE) - end).expect("a length")));
    (before + 1..RECORDS.unsigned_abs()).for_each(|_| append(&value));
    assert!(look(&partition, 0..RECORDS) > 0);
    let allocated = fs::metadata(&log).expect("the file").len();
    let large = vec![b'y'; 120 << 10];
    partition.append(&[Record::new().value(&large[..])], Durability::Os).expect("an append that rolls");
    let bytes = fs::read(&log).expect("the file");
    // Pages of the map behind the end of the file.
    let pages = (bytes.len() as u64).next_multiple_of(PAGE);
    assert_eq!(bytes.len() as u64, pages, "the last batch ends with a page");
    assert!(allocated > pages, "{allocated}, {pages}: nothing was allocated ahead");
    let ends = batch_ends(&bytes);
    assert_eq!(ends.last().map(|(_, next)| *next), Some(RECORDS));
    let starts: Vec<_> = std::iter::once(0).chain(ends.iter().map(|(at, _)| *at)).collect();
    // The first, one in the middle, the last.
    let looks = flip_and_look(&log, &partition, &[starts[0], starts[25], starts[ends.len() - 1]]);
    lengthen_and_look(&log, &partition, (starts[ends.len() - 2], bytes.len() as u64));
    // All of it is as it was.
    assert_eq!(look(&partition, 0..RECORDS), 3 * ends.len());
    assert!(looks > 0);
    fs::write(dir.join("looked"), "").expect("a note");
}

#[test]
fn a_flipped_bit_in_a_segment_that_has_grown_in_this_process_is_no_signal() {
    let dir = fast_dir();
    let test = "lifecycle::mapped::looks_at_flipped_bits_in_a_process_of_its_own";
    let mut child = Command::new(std::env::current_exe().expect("this binary"));
    let ended = child.args([test, "--exact"]).env(DIR, dir.path()).output().expect("a process");
    let told = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.signal(), None, "the process was ended: {told}");
    assert!(ended.status.success(), "{told}");
    assert!(dir.path().join("looked").exists(), "nothing was looked at: {told}");
    Store::verify(dir.path()).expect("what was flipped was flipped back");
}
