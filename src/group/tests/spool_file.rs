//! The spool on a disk that loses power, fails syncs and keeps pages that lie, for processes that are killed at any call.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::doubles::{Call, Fault, FaultyFileSystem, PowerCutFileSystem, Random, Times};
use crate::error::{Error, Result};
use crate::format::{FrameMark, SpooledRecord, encode_spooled};
use crate::group::spool_file::{SpoolFile, TakenOut};
use crate::io::{Directory, FileSystem, OpenMode, PublishFailure};
use crate::types::Durability;

const EIO: i32 = 5;

fn record(number: u64) -> SpooledRecord {
    // Some of them are larger than what a disk writes at a time.
    let value = vec![7; usize::try_from(number % 5 * 300).unwrap()];
    SpooledRecord { key: number.to_be_bytes().to_vec(), value: Some(value) }
}

/// A process, on a machine of which it is the only one.
pub(super) struct Process {
    pub(super) machine: PowerCutFileSystem,
    pub(super) files: Arc<FaultyFileSystem>,
    pub(super) spool: SpoolFile,
    /// It does not take out any more.
    is_poisoned: bool,
}

impl Process {
    fn on(machine: PowerCutFileSystem) -> Self {
        let files = FaultyFileSystem::over(machine.shared());
        let root = Directory::new(Arc::clone(&files) as Arc<dyn FileSystem>, Path::new("/store"));
        Self { machine, files, spool: SpoolFile::new(root, None), is_poisoned: false }
    }

    pub(super) fn new() -> Self {
        let machine = PowerCutFileSystem::new();
        machine.shared().create_dir(Path::new("/store")).unwrap();
        machine.shared().sync_dir(Path::new("/")).unwrap();
        Self::on(machine)
    }

    fn append(&self, number: u64, durability: Durability) -> Result<()> {
        self.spool.append(&[record(number)], durability).map(drop)
    }

    /// The numbers of the commits that are there.
    fn found(&self) -> Vec<u64> {
        let found = self.spool.read().unwrap();
        let records = found.commits.iter().flatten();
        records.map(|record| u64::from_be_bytes(record.key[..].try_into().unwrap())).collect()
    }

    /// The system needs the memory of some clean pages.
    pub(super) fn evict(&self, random: &mut Random) -> Self {
        let mut disk = self.machine.disk();
        disk.evict(|| random.one_in(2));
        Self::on(PowerCutFileSystem::on(disk, None))
    }
}

/// What is known of the commits that were made.
#[derive(Debug, Default)]
struct Promised {
    /// They were acknowledged at `Disk`, and are not taken out.
    durable: BTreeSet<u64>,
    /// They were acknowledged, and the process or others of its machine live.
    written: BTreeSet<u64>,
    /// They were taken out, durably.
    gone: BTreeSet<u64>,
}

impl Promised {
    fn check(&self, process: &Process, what: &str) {
        let found = process.found();
        assert!(found.is_sorted_by(|one, next| one < next), "{what}: {found:?}");
        let there: BTreeSet<_> = found.into_iter().collect();
        assert!(there.is_superset(&self.durable), "{what}: {there:?} {self:?}");
        assert!(there.is_superset(&self.written), "{what}: {there:?} {self:?}");
        assert!(there.is_disjoint(&self.gone), "{what}: {there:?} {self:?}");
    }

    fn take_out(&mut self, process: &mut Process) {
        let found = process.spool.read().unwrap();
        let numbers = process.found();
        match process.spool.take_out(&found) {
            Ok(TakenOut::NotYet) => return,
            Ok(TakenOut::Wholly) => self.gone.extend(&numbers),
            Err(PublishFailure::Refused(_)) => return,
            Err(PublishFailure::Unknown(_)) => process.is_poisoned = true,
        }
        for number in &numbers {
            self.durable.remove(number);
            self.written.remove(number);
        }
    }
}

#[test]
fn no_commit_at_disk_is_lost_and_none_is_broken_whatever_fails() {
    let most = 400;
    let (mut acknowledged, mut failed) = (0, 0);
    for seed in 0..most {
        let mut random = Random::new(seed);
        let (mut process, mut promised) = (Process::new(), Promised::default());
        for number in 0..40 {
            match random.below(16) {
                kind @ 0..=7 => {
                    let durability = if kind < 4 { Durability::Os } else { Durability::Disk };
                    let appended = process.append(number, durability);
                    if appended.is_ok() {
                        promised.written.insert(number);
                    }
                    if appended.is_ok() && durability == Durability::Disk {
                        promised.durable.insert(number);
                        acknowledged += 1;
                    }
                    failed += u64::from(appended.is_err());
                }
                8 if !process.is_poisoned => promised.take_out(&mut process),
                9 => process = Process::on(process.machine.restart()),
                10 => {
                    process = Process::on(process.machine.cut_power(random.below(1 << 40)));
                    promised.written.clear();
                }
                11 => process.machine.fail_sync_after(usize::try_from(random.below(2)).unwrap()),
                12 => {
                    process = process.evict(&mut random);
                    // A sync that failed has left them in memory alone.
                    promised.written.clear();
                }
                13 | 14 => {
                    // It is killed in the middle of a commit.
                    let nth = usize::try_from(random.below(12)).unwrap();
                    let fault = if random.one_in(2) { Fault::Torn(40, EIO) } else { Fault::Error(EIO) };
                    process.files.fail(&Call::MUTATING, "", (nth, Times::ForEver), fault);
                    if process.append(number, Durability::Disk).is_ok() {
                        promised.durable.insert(number);
                    }
                    process = Process::on(process.machine.restart());
                }
                _ => {
                    process.files.fail(&[Call::SyncDir], "", (0, Times::Once), Fault::Error(EIO));
                }
            }
            promised.check(&process, &format!("seed {seed}, number {number}"));
        }
        for cut in 0..4 {
            let left = Process::on(process.machine.cut_power(cut));
            promised.written.clear();
            promised.check(&left, &format!("seed {seed}, cut {cut}"));
        }
    }
    assert!(acknowledged > most * 3 && failed > most / 4, "{acknowledged} {failed}");
}

/// Where no owner comes, commits pile up. What is full must stay readable, or all of them are lost.
#[test]
fn a_spool_that_is_full_refuses_commits_and_keeps_those_that_it_has() {
    let machine = PowerCutFileSystem::new();
    machine.shared().create_dir(Path::new("/store")).unwrap();
    let mut process = Process::on(machine);
    process.spool = process.spool.with_limit(20_000);
    let mut written = Vec::new();
    let refused = loop {
        let number = written.len() as u64;
        match process.append(number, if number.is_multiple_of(2) { Durability::Os } else { Durability::Disk })
        {
            Ok(()) => written.push(number),
            Err(error) => break error,
        }
    };
    assert!(refused.is_disk_full(), "{refused}");
    assert!(written.len() > 20, "{written:?}");
    assert_eq!(process.found(), written);
    let found = process.spool.read().unwrap();
    assert_eq!(process.spool.take_out(&found).unwrap(), TakenOut::Wholly);
    process.append(0, Durability::Os).unwrap();
    assert_eq!(process.found(), [0]);
}

/// A process that finds a sync of another that failed writes the file anew, also while the owner folds. The owner may not take the group for
/// one of which nothing waits.
#[test]
fn commits_that_moved_to_another_file_are_not_taken_for_taken_out() {
    let process = Process::new();
    process.append(0, Durability::Os).unwrap();
    let found = process.spool.read().unwrap();
    process.machine.fail_sync_after(0);
    process.append(1, Durability::Disk).unwrap_err();
    process.append(2, Durability::Disk).unwrap();
    assert_eq!(process.spool.take_out(&found).unwrap(), TakenOut::NotYet);
    assert_eq!(process.found(), [0, 1, 2]);
    let found = process.spool.read().unwrap();
    assert_eq!(process.spool.take_out(&found).unwrap(), TakenOut::Wholly);
    assert_eq!(process.found(), Vec::<u64>::new());
}

#[test]
fn a_commit_does_not_read_all_that_wait_before_it() {
    let process = Process::new();
    for number in 0..200 {
        process.append(number, Durability::Os).unwrap();
    }
    process.files.forget();
    process.append(200, Durability::Os).unwrap();
    let reads = process.files.trace().into_iter().filter(|done| done.call == Call::Read);
    let bytes: u64 = reads.map(|done| done.bytes).sum();
    assert!(bytes < 200, "{bytes}");
}

/// It was there for a moment, and another stands in its place.
#[test]
fn a_commit_behind_one_whose_write_has_failed_is_not_lost_where_the_owner_had_read_that() {
    let process = Process::new();
    process.append(1, Durability::Os).unwrap();
    let file = process.machine.shared().open(Path::new("/store/annals.spool"), OpenMode::ReadWrite).unwrap();
    let end = file.len().unwrap();
    process.append(2, Durability::Os).unwrap();
    let found = process.spool.read().unwrap();
    assert_eq!(process.found(), [1, 2]);
    // The write of all of it was a failure in the end, and is cut off again.
    file.set_len(end).unwrap();
    process.append(4, Durability::Os).unwrap();
    assert_eq!(process.found(), [1, 4]);
    assert_eq!(process.spool.take_out(&found).unwrap(), TakenOut::NotYet);
    assert_eq!(process.found(), [1, 4]);
    let found = process.spool.read().unwrap();
    assert_eq!(process.spool.take_out(&found).unwrap(), TakenOut::Wholly);
    assert_eq!(process.found(), Vec::<u64>::new());
}

#[test]
fn a_commit_at_os_after_a_sync_that_failed_is_there_when_the_system_has_needed_its_memory() {
    for seed in 0..32 {
        let process = Process::new();
        (0..5).for_each(|number| process.append(number, Durability::Os).unwrap());
        process.machine.fail_sync_after(0);
        process.append(5, Durability::Disk).unwrap_err();
        process.append(6, Durability::Os).unwrap();
        let left = process.evict(&mut Random::new(seed)).found();
        assert_eq!(left, [0, 1, 2, 3, 4, 5, 6], "seed {seed}");
    }
}

/// Two commits are there when the sync of one fails. That of the other finds it so.
#[test]
fn a_sync_of_commits_that_failed_is_not_repeated_for_another_commit() {
    let process = Process::new();
    process.append(0, Durability::Os).unwrap();
    let frame = encode_spooled(&[record(1)]);
    let (file, end) = process.spool.append_frame(&frame).unwrap();
    process.machine.fail_sync_after(0);
    process.append(2, Durability::Disk).unwrap_err();
    process.spool.sync(&file, (FrameMark::of(end - frame.len(), &frame), end)).unwrap();
    for cut in 0..16 {
        let left = Process::on(process.machine.cut_power(cut)).found();
        assert!(left.starts_with(&[0, 1]), "cut {cut}: {left:?}");
    }
}

/// Another process has written the file anew with what it found of it: that was less than had been written.
#[test]
fn a_commit_was_told_durable_that_is_not_in_the_file_written_in_the_place_of_its_own() {
    let process = Process::new();
    process.append(0, Durability::Os).unwrap();
    let shared = process.machine.shared();
    let opened = shared.open(Path::new("/store/annals.spool"), OpenMode::ReadWrite).unwrap();
    let before = opened.len().unwrap();
    let frame = encode_spooled(&[record(1)]);
    let (file, end) = process.spool.append_frame(&frame).unwrap();
    process.machine.fail_sync_after(0);
    process.append(2, Durability::Disk).unwrap_err();
    // The system has needed the memory of what could not be written.
    opened.set_len(before).unwrap();
    process.append(3, Durability::Os).unwrap();
    process.append(4, Durability::Os).unwrap();
    assert_eq!(process.found(), [0, 3, 4]);
    let told = process.spool.sync(&file, (FrameMark::of(end - frame.len(), &frame), end));
    assert!(matches!(told, Err(Error::Io { .. })), "{told:?}");
}
