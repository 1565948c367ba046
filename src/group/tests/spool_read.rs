//! What looks have read of the spool, beside what a reading of all of it finds.

use std::path::Path;
use std::sync::Arc;

use crate::doubles::{Call, Random};
use crate::format::{SpoolHead, SpooledRecord, encode_spooled};
use crate::group::commits::Change;
use crate::group::committed::{Commit, CommittedOffset};
use crate::group::marked::put;
use crate::group::spool_file::{SPOOL_FILE, SYNC_BYTE, SpoolFile};
use crate::group::spool_read::{Seen, SpoolRead};
use crate::group::tests::spool_file::Process;
use crate::io::{Directory, OpenMode, OsFileSystem};
use crate::live::Opened;
use crate::types::{Durability, Offset, TopicPartition};

fn record(group: &str, partition: u32, offset: Offset) -> SpooledRecord {
    // Some have the same length as others, and some have not.
    let metadata = "m".repeat(usize::try_from(offset % 3).unwrap());
    let at = CommittedOffset { offset, metadata, timestamp: 7 };
    let commit = Some(Commit { topic_id: 1, names_id: true, at, written_in: None, moved_in: None });
    let place = TopicPartition::new("orders", partition);
    let entry = Change { group: group.into(), place, commit }.entry().unwrap();
    SpooledRecord { key: entry.key, value: entry.value }
}

#[derive(Debug, PartialEq)]
struct AddsUp {
    /// Group, partition, offset.
    committed: Vec<(String, u32, Offset)>,
    lowest: Vec<Option<Offset>>,
}

fn adds_up(read: &SpoolRead) -> AddsUp {
    let at = |change: &Change| {
        let offset = change.commit.as_ref().unwrap().at.offset;
        (change.group.to_string(), change.place.partition(), offset)
    };
    let lowest = (0..3).map(|partition| read.lowest(&TopicPartition::new("orders", partition), 1));
    AddsUp { committed: read.commits().map(at).collect(), lowest: lowest.collect() }
}

impl Process {
    fn commit(&self, record: SpooledRecord, durability: Durability) {
        drop(self.spool.append(&[record], durability));
    }

    fn check(&self, read: &mut SpoolRead, what: &str) {
        let mut all = SpoolRead::default();
        self.spool.read_on(&mut all).unwrap();
        self.spool.read_on(read).unwrap();
        assert_eq!(adds_up(read), adds_up(&all), "{what}");
    }
}

#[test]
fn a_look_read_all_commits_that_wait_again() {
    let process = Process::new();
    (0..500).for_each(|offset| process.commit(record("billing", 0, offset), Durability::Os));
    let mut read = SpoolRead::default();
    assert!(matches!(process.spool.read_on(&mut read).unwrap(), Seen::Anew));
    assert_eq!(read.commits().count(), 1, "one is kept for each group and partition");
    for offset in 500..503 {
        process.commit(record("billing", 1, offset), Durability::Os);
        process.files.forget();
        assert!(matches!(process.spool.read_on(&mut read).unwrap(), Seen::Since(_)));
        let reads = process.files.trace().into_iter().filter(|done| done.call == Call::Read);
        let bytes: u64 = reads.map(|done| done.bytes).sum();
        assert!(bytes < 400, "{bytes}");
        process.check(&mut read, "more");
    }
}

/// Another stands in its place by then, as long as it or not.
#[test]
fn a_commit_whose_write_has_failed_stayed_what_the_next_looks_found() {
    for (lost, instead) in [(3, 6), (3, 4), (4, 9)] {
        let process = Process::new();
        process.commit(record("billing", 0, 2), Durability::Os);
        let shared = process.machine.shared();
        let file = shared.open(Path::new("/store/annals.spool"), OpenMode::ReadWrite).unwrap();
        let end = file.len().unwrap();
        let mut read = SpoolRead::default();
        process.commit(record("billing", 0, lost), Durability::Os);
        process.check(&mut read, "before");
        file.set_len(end).unwrap();
        process.check(&mut read, "cut off");
        process.commit(record("billing", 0, lost), Durability::Os);
        process.check(&mut read, "once more");
        file.set_len(end).unwrap();
        process.commit(record("billing", 1, instead), Durability::Os);
        process.commit(record("shipping", 1, instead), Durability::Os);
        process.check(&mut read, "another instead");
    }
}

#[test]
fn looks_find_what_a_reading_of_all_finds_whatever_is_done_to_the_file() {
    let (mut since, mut anew) = (0, 0);
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut process = Process::new();
        let mut read = SpoolRead::default();
        for number in 0..60 {
            let offset = Offset::try_from(random.below(40)).unwrap();
            let group = if random.one_in(2) { "billing" } else { "shipping" };
            let record = record(group, u32::try_from(random.below(3)).unwrap(), offset);
            match random.below(14) {
                0..=5 => process.commit(record, Durability::Os),
                6 | 7 => process.commit(record, Durability::Disk),
                8 => {
                    let found = process.spool.read().unwrap();
                    drop(process.spool.take_out(&found));
                }
                9 => {
                    // An open has set the first one back.
                    let set_back = |mut commits: Vec<Vec<_>>| {
                        if let Some(first) = commits.first_mut() {
                            *first = vec![record];
                        }
                        Ok(commits)
                    };
                    drop(process.spool.replace(set_back));
                }
                10 => process.machine.fail_sync_after(usize::try_from(random.below(2)).unwrap()),
                11 => process = process.evict(&mut random),
                12 => {
                    // Its write has failed in the end, and a look has found it meanwhile.
                    let path = Path::new("/store/annals.spool");
                    let open = || process.machine.shared().open(path, OpenMode::ReadWrite).ok();
                    let before = open().map(|file| file.len().unwrap());
                    process.commit(record, Durability::Os);
                    process.check(&mut read, "before it is cut off");
                    let cut = before.zip(open()).filter(|(before, file)| file.len().unwrap() > *before);
                    cut.into_iter().for_each(|(before, file)| file.set_len(before).unwrap());
                }
                _ => {
                    for more in 0..random.below(4) {
                        let more = Offset::try_from(more).unwrap();
                        process.commit(self::record(group, 2, more), Durability::Os);
                    }
                }
            }
            if random.one_in(2) {
                match process.spool.read_on(&mut read).unwrap() {
                    Seen::Since(_) => since += 1,
                    Seen::Anew => anew += 1,
                }
                process.check(&mut read, &format!("seed {seed}, number {number}"));
            }
        }
    }
    assert!(since > 500 && anew > 500, "{since} {anew}");
}

/// The page of a commit before the last one is not there any more: the system needed its memory, and no sync had written it.
#[test]
fn what_was_read_while_nobody_knew_what_a_sync_had_left_was_believed_beside_the_next_sync() {
    let dir = tempfile::tempdir().unwrap();
    let root = Directory::new(Arc::new(OsFileSystem), dir.path());
    let Opened { owner: _owner, locks } = Opened::shown(&root).unwrap();
    let spool = SpoolFile::new(root.clone(), locks);
    for (partition, offset) in [(0, 3), (1, 4)] {
        spool.append(&[record("billing", partition, offset)], Durability::Os).unwrap();
    }
    let file = root.open(SPOOL_FILE, OpenMode::ReadWrite).unwrap();
    put(&file, &spool.head_of(&file).unwrap().marks.doubt(true)).unwrap();
    let mut read = SpoolRead::default();
    assert!(matches!(spool.read_on(&mut read).unwrap(), Seen::Anew));
    let before = encode_spooled(&[record("billing", 0, 6)]);
    file.write_at(&before, SpoolHead::LEN as u64).unwrap();
    let syncs = root.open(SPOOL_FILE, OpenMode::ReadWrite).unwrap();
    assert!(syncs.try_lock_byte(SYNC_BYTE).unwrap());
    spool.read_on(&mut read).unwrap();
    let committed = [("billing".to_owned(), 0, 6), ("billing".to_owned(), 1, 4)];
    assert_eq!(adds_up(&read).committed, committed);
}
