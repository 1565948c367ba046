//! Files of steps on a disk that loses power, fails syncs and keeps pages that lie.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::doubles::{Call, Fault, FaultyFileSystem, PowerCutFileSystem, Random, Times};
use crate::error::Result;
use crate::format::{DeliveryState, SpooledRecord, StateBatch, Step, encode_step};
use crate::io::{Directory, FileSystem, OsFileSystem};
use crate::share::queue_steps::{Steps, update};
use crate::share::state_log::SlotName;
use crate::share::step_files::{Bounds, QueueLock, StepFiles};
use crate::types::{Durability, Offset};

const EIO: i32 = 5;

fn slot() -> SlotName {
    SlotName { topic: 7, partition: 0, owner: "group".into() }
}

fn done(offset: Offset) -> SpooledRecord {
    let batch = StateBatch { first: offset, last: offset, state: DeliveryState::Acknowledged, count: 1 };
    encode_step(("group", 7, 0), &Step::Update(update(None, vec![batch]))).unwrap()
}

/// A process, on a machine of which it is the only one.
struct Process {
    machine: PowerCutFileSystem,
    faulty: Arc<FaultyFileSystem>,
    files: Arc<StepFiles>,
    _lock: QueueLock,
}

impl Process {
    fn on(machine: PowerCutFileSystem) -> Self {
        let faulty = FaultyFileSystem::over(machine.shared());
        let root = Directory::new(Arc::clone(&faulty) as Arc<dyn FileSystem>, Path::new("/store"));
        let bounds = Bounds { merged_from: 1_500, most: 1 << 20, full: 1 << 21 };
        let files = Arc::new(StepFiles::with_bounds(root, None, bounds));
        let lock = files.try_lock(&slot().steps()).unwrap().unwrap();
        Self { machine, faulty, files, _lock: lock }
    }

    fn new() -> Self {
        let machine = PowerCutFileSystem::new();
        machine.shared().create_dir(Path::new("/store")).unwrap();
        machine.shared().sync_dir(Path::new("/")).unwrap();
        Self::on(machine)
    }

    fn begin(&self) -> Result<Steps> {
        self.files.begin(&slot().steps())
    }

    fn append(&self, offset: Offset, durability: Durability) -> Result<()> {
        self.files.append_at(&slot().steps(), (&[done(offset)], &[]), durability)
    }

    /// What is done.
    fn found(&self) -> BTreeSet<Offset> {
        let found = self.files.read(&slot().steps()).unwrap();
        let batches = found.iter().filter_map(|found| found.steps.0.get(&slot())).flat_map(|of| of.batches());
        batches.flat_map(|batch| batch.first..=batch.last).collect()
    }

    /// The owner takes everything out.
    fn take_out(&self) -> Result<()> {
        let Some(found) = self.files.read(&slot().steps())? else { return Ok(()) };
        self.files.take_out(&slot().steps(), &found, &Steps::default())
    }

    fn evict(&self, random: &mut Random) -> Self {
        let mut disk = self.machine.disk();
        disk.evict(|| random.one_in(2));
        Self::on(PowerCutFileSystem::on(disk, None))
    }

    /// After a power cut, in the worst of some ways.
    fn after_power_cuts(&self) -> impl Iterator<Item = Self> + '_ {
        (0..64).map(|seed| Self::on(self.machine.cut_power(seed)))
    }
}

#[test]
fn a_power_cut_breaks_no_file_of_steps_and_takes_no_answer_at_disk() {
    let process = Process::new();
    process.begin().unwrap();
    process.append(1, Durability::Disk).unwrap();
    for offset in (3..20).step_by(2) {
        process.append(offset, Durability::Os).unwrap();
    }
    let mut kept = BTreeSet::new();
    for left in process.after_power_cuts() {
        let found = left.found();
        assert!(found.contains(&1), "{found:?}");
        kept.insert(found.len());
        left.begin().unwrap();
        left.append(21, Durability::Disk).unwrap();
        assert!(left.found().is_superset(&[1, 21].into()));
    }
    assert!(kept.len() > 1, "{kept:?}");
}

#[test]
fn a_sync_of_steps_that_failed_is_not_repeated_by_another_thread() {
    let process = Process::new();
    process.begin().unwrap();
    process.append(1, Durability::Os).unwrap();
    // Another thread has appended before the sync of the first one.
    process.append(3, Durability::Os).unwrap();
    process.machine.fail_sync_after(0);
    process.files.sync(&slot().steps()).unwrap_err();
    process.files.sync(&slot().steps()).unwrap_err();
}

#[test]
fn a_sync_of_steps_that_failed_is_not_repeated_by_another_worker() {
    let process = Process::new();
    process.begin().unwrap();
    let mut told: BTreeSet<_> = (1..20).step_by(2).collect();
    told.iter().for_each(|offset| process.append(*offset, Durability::Os).unwrap());
    process.machine.fail_sync_after(0);
    process.append(21, Durability::Disk).unwrap_err();
    told.insert(21);
    // Its workers are dropped, and others made.
    let seen = process.begin().unwrap();
    assert_eq!(seen.0[&slot()].batches().len(), told.len());
    // What they were told of stands, also when the system needs the memory.
    for seed in 0..16 {
        assert_eq!(process.evict(&mut Random::new(seed)).found(), told, "seed {seed}");
    }
    process.append(23, Durability::Disk).unwrap();
    told.insert(23);
    for left in process.after_power_cuts() {
        assert_eq!(left.found(), told);
    }
}

#[test]
fn steps_that_were_taken_out_with_a_failure_do_not_come_back_over_newer_answers() {
    let process = Process::new();
    process.begin().unwrap();
    process.append(7, Durability::Disk).unwrap();
    process.faulty.fail(&[Call::SyncDir], "", (0, Times::Once), Fault::Error(EIO));
    process.take_out().unwrap_err();
    // No worker of the owner gets the queue in this life.
    process.files.check_taken_out(&slot().steps()).unwrap_err();
    // The next one removes the file before it works on.
    let next = Process::on(process.machine.restart());
    assert!(next.files.remove_if_empty(&slot().steps()).unwrap());
    for left in next.after_power_cuts() {
        assert_eq!(left.found(), BTreeSet::new());
    }
}

#[test]
fn an_answer_at_disk_stands_where_the_name_of_its_file_was_not_durable() {
    // A first file, and one that was merged.
    for (first, call) in [(true, Call::SyncDir), (false, Call::SyncDir)] {
        let process = Process::new();
        if first {
            process.faulty.fail(&[call], "", (0, Times::Once), Fault::Error(EIO));
            process.begin().unwrap_err();
            process.begin().unwrap();
        } else {
            process.begin().unwrap();
            process.faulty.fail(&[call], "", (0, Times::Once), Fault::Error(EIO));
        }
        let mut offset = 1;
        while first && offset < 9
            || !first && process.faulty.trace().iter().filter(|done| done.call == call).count() < 2
        {
            process.append(offset, Durability::Os).unwrap();
            offset += 2;
        }
        process.append(1_001, Durability::Disk).unwrap();
        for left in process.after_power_cuts() {
            let found = left.found();
            assert!(found.contains(&1) && found.contains(&1_001), "first: {first}, {found:?}");
        }
    }
}

#[test]
fn a_file_of_steps_that_was_made_again_does_not_pass_for_the_one_that_was_read() {
    let process = Process::new();
    process.begin().unwrap();
    process.append(5, Durability::Os).unwrap();
    let found = process.files.read(&slot().steps()).unwrap().unwrap();
    process.files.remove(&slot().steps()).unwrap();
    process.begin().unwrap();
    process.append(1, Durability::Os).unwrap();
    process.files.take_out(&slot().steps(), &found, &Steps::default()).unwrap();
    assert_eq!(process.found(), [1].into());
    let again = process.files.read(&slot().steps()).unwrap().unwrap();
    assert_ne!(found.id.tenure, again.id.tenure);
}

#[test]
fn what_a_process_that_was_killed_was_about_to_put_there_goes_with_the_file() {
    let name = slot().steps();
    let process = Process::new();
    process.faulty.fail(&[Call::Rename], "", (0, Times::Once), Fault::Error(EIO));
    process.begin().unwrap_err();
    let names = || process.machine.shared().list(Path::new("/store")).unwrap().len();
    assert_eq!((names(), process.files.list().unwrap()), (1, vec![name.clone()]));
    assert!(process.files.remove_if_empty(&name).unwrap());
    assert_eq!(names(), 0);
    process.begin().unwrap();
    process.faulty.fail(&[Call::Rename], "", (0, Times::Once), Fault::Error(EIO));
    process.take_out().unwrap_err();
    process.files.remove(&name).unwrap();
    assert_eq!(names(), 0);
}

#[test]
fn no_answer_at_disk_is_lost_and_no_file_of_steps_is_broken_whatever_fails() {
    let (mut acknowledged, mut failed) = (0_u64, 0_u64);
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let (mut process, mut durable) = (Process::new(), BTreeSet::new());
        let (mut is_begun, mut may_come_back) = (false, false);
        for number in 0..40 {
            let offset = 2 * number;
            is_begun = is_begun || process.begin().is_ok();
            match random.below(16) {
                kind @ 0..=8 if is_begun => {
                    let durability = if kind < 4 { Durability::Os } else { Durability::Disk };
                    let appended = process.append(offset, durability);
                    if appended.is_ok() && durability == Durability::Disk {
                        durable.insert(offset);
                        acknowledged += 1;
                    }
                    is_begun = appended.is_ok();
                    failed += u64::from(appended.is_err());
                }
                9 if !may_come_back => {
                    let found = process.found();
                    match process.take_out() {
                        Ok(()) => durable.retain(|offset| !found.contains(offset)),
                        Err(_) => may_come_back = true,
                    }
                    if may_come_back {
                        durable.clear();
                    }
                }
                10 => (process, is_begun) = (Process::on(process.machine.restart()), false),
                11 => {
                    let cut = process.machine.cut_power(random.below(1 << 40));
                    (process, is_begun) = (Process::on(cut), false);
                }
                12 => process.machine.fail_sync_after(usize::try_from(random.below(2)).unwrap()),
                13 => (process, is_begun) = (process.evict(&mut random), false),
                14 if is_begun => {
                    let nth = usize::try_from(random.below(12)).unwrap();
                    let fault = if random.one_in(2) { Fault::Torn(40, EIO) } else { Fault::Error(EIO) };
                    process.faulty.fail(&Call::MUTATING, "", (nth, Times::ForEver), fault);
                    if process.append(offset, Durability::Disk).is_ok() {
                        durable.insert(offset);
                    }
                    (process, is_begun) = (Process::on(process.machine.restart()), false);
                }
                _ => process.faulty.fail(&[Call::SyncDir], "", (0, Times::Once), Fault::Error(EIO)),
            }
            let found = process.found();
            assert!(found.is_superset(&durable), "seed {seed}, number {number}: {found:?} {durable:?}");
        }
        for cut in 0..4 {
            let found = Process::on(process.machine.cut_power(cut)).found();
            assert!(found.is_superset(&durable), "seed {seed}, cut {cut}: {found:?} {durable:?}");
        }
    }
    assert!(acknowledged > 400 && failed > 50, "{acknowledged} {failed}");
}

/// It was there for a moment, and another stands in its place.
#[test]
fn a_step_behind_one_whose_write_has_failed_is_not_lost_where_the_owner_had_read_that() {
    let process = Process::new();
    process.begin().unwrap();
    process.append(1, Durability::Os).unwrap();
    let torn = Fault::Torn(1 << 20, EIO);
    process.faulty.fail(&[Call::Write], "annals.steps", (0, Times::Once), torn);
    process.faulty.fail(&[Call::SetLen], "annals.steps", (0, Times::Once), Fault::Error(EIO));
    process.append(3, Durability::Os).unwrap_err();
    let found = process.files.read(&slot().steps()).unwrap().unwrap();
    assert_eq!(process.found(), [1, 3].into());
    let steps: Vec<_> = (5..15).step_by(2).map(done).collect();
    process.files.append(&slot().steps(), (&steps, &[])).unwrap();
    assert_eq!(process.found(), [1, 5, 7, 9, 11, 13].into());
    process.files.take_out(&slot().steps(), &found, &Steps::default()).unwrap();
    assert!(process.found().is_superset(&[5, 7, 9, 11, 13].into()), "{:?}", process.found());
}

/// The lock of a file is the process's: its threads keep each other out by themselves.
#[test]
fn a_step_is_not_lost_where_another_thread_takes_steps_out() {
    let dir = tempfile::tempdir().unwrap();
    let root = Directory::new(Arc::new(OsFileSystem), dir.path());
    let bounds = Bounds { merged_from: 1 << 20, most: 1 << 20, full: 1 << 21 };
    let files = Arc::new(StepFiles::with_bounds(root, None, bounds));
    let name = slot().steps();
    let _lock = files.try_lock(&name).unwrap().unwrap();
    files.begin(&name).unwrap();
    let read = || {
        let found = files.read(&name).unwrap().unwrap();
        let batches: Vec<_> = found.steps.0.get(&slot()).into_iter().flat_map(|of| of.batches()).collect();
        (found, batches.into_iter().map(|batch| batch.first).collect::<BTreeSet<_>>())
    };
    let mut taken = BTreeSet::new();
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| {
            (0..400).for_each(|number| files.append(&name, (&[done(2 * number)], &[])).unwrap());
        });
        while !appending.is_finished() {
            let (found, offsets) = read();
            files.take_out(&name, &found, &Steps::default()).unwrap();
            taken.extend(offsets);
        }
    });
    taken.extend(read().1);
    assert_eq!(taken.len(), 400);
}
