//! Files of steps between a process that appends and an owner that takes out.

use std::sync::Arc;

use crate::format::SpooledRecord;
use crate::format::{DeliveryState, OwedLetter, StateBatch, Step, encode_step};
use crate::io::Directory;
use crate::io::OsFileSystem;
use crate::share::queue_steps::Steps;
use crate::share::queue_steps::{SlotSteps, update};
use crate::share::state_log::SlotName;
use crate::share::step_files::{Bounds, StepFiles, topic_of};
use crate::types::Offset;

fn slot() -> SlotName {
    SlotName { topic: 7, partition: 0, owner: "group".into() }
}

fn record(step: &Step) -> SpooledRecord {
    encode_step(("group", 7, 0), step).unwrap()
}

fn done(offset: Offset) -> SpooledRecord {
    let batch = StateBatch { first: offset, last: offset, state: DeliveryState::Acknowledged, count: 1 };
    record(&Step::Update(update(None, vec![batch])))
}

fn owed(offset: Offset) -> SpooledRecord {
    let letter = OwedLetter { offset, count: 1, letters: None, reason: "r".repeat(500) };
    record(&Step::Owed(letter))
}

#[test]
fn a_file_stays_small_without_an_owner_until_it_owes_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let root = Directory::new(Arc::new(OsFileSystem), dir.path());
    let bounds = Bounds { merged_from: 2_000, most: 30_000, full: 1 << 20 };
    let files = Arc::new(StepFiles::with_bounds(root.clone(), None, bounds));
    let name = slot().steps();
    assert_eq!(topic_of(&name), Some(7));
    let lock = files.try_lock(&name).unwrap().unwrap();
    assert!(files.begin(&name).unwrap().is_empty());
    let len = || std::fs::metadata(dir.path().join(&name)).unwrap().len();
    for offset in 0..500 {
        files.append(&name, (&[done(offset)], &[])).unwrap();
        assert!(len() < 2_200, "{}", len());
    }
    assert_eq!(files.list().unwrap(), std::slice::from_ref(&name));
    let found = files.read(&name).unwrap().unwrap();
    assert_eq!(found.steps.0[&slot()].batches().len(), 1, "they are neighbours");
    let mut offset = 1_000;
    while offset < 1_200 && files.check_room(&name).is_ok() {
        files.append(&name, (&[owed(offset)], &[(slot(), offset)])).unwrap();
        offset += 1;
    }
    assert!((30_000..31_000).contains(&len()));
    assert!(files.check_room(&name).unwrap_err().is_disk_full());
    // The owner writes all of the letters but one, while steps come.
    let found = files.read(&name).unwrap().unwrap();
    let mut letters = found.steps.0[&slot()].owed.clone();
    letters.retain(|offset, _| *offset == 1_005);
    let left = Steps([(slot(), SlotSteps::only_owed(letters))].into());
    files.append(&name, (&[done(900)], &[])).unwrap();
    let owner = StepFiles::with_bounds(root, None, bounds);
    owner.take_out(&name, &found, &left).unwrap();
    files.append(&name, (&[done(901)], &[])).unwrap();
    let mut written = files.take_written(&name, &slot()).unwrap();
    written.sort_unstable();
    assert!(written.iter().copied().eq((1_000..offset).filter(|offset| *offset != 1_005)));
    let now = owner.read(&name).unwrap().unwrap();
    let steps = &now.steps.0[&slot()];
    assert!(steps.batches().iter().map(|one| (one.first, one.last)).eq([(900, 901), (1_005, 1_005)]));
    // What has been replaced since it was read is not taken out.
    owner.take_out(&name, &found, &Steps::default()).unwrap();
    assert_eq!(owner.read(&name).unwrap().unwrap().steps, now.steps);
    // What a cut has taken nobody who was here before goes on with.
    owner.clip(&name, (|_: &SlotName| Some(901), false)).unwrap();
    assert!(files.append(&name, (&[done(902)], &[])).is_err() && files.check_room(&name).is_err());
    drop(lock);
    let lock = files.try_lock(&name).unwrap();
    assert_eq!(files.begin(&name).unwrap().0[&slot()].batches().len(), 1);
    files.append(&name, (&[done(901)], &[])).unwrap();
    drop(lock);
}

/// Letters that no owner has written fill a file.
#[test]
fn messages_are_handed_out_again_once_an_owner_has_taken_over_what_filled_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let root = Directory::new(Arc::new(OsFileSystem), dir.path());
    let bounds = Bounds { merged_from: 2_000, most: 30_000, full: 1 << 20 };
    let files = Arc::new(StepFiles::with_bounds(root.clone(), None, bounds));
    let name = slot().steps();
    let _lock = files.try_lock(&name).unwrap().unwrap();
    files.begin(&name).unwrap();
    let mut offset = 0;
    while files.check_room(&name).is_ok() {
        files.append(&name, (&[owed(offset)], &[(slot(), offset)])).unwrap();
        offset += 1;
    }
    files.check_room(&name).unwrap_err();
    let owner = StepFiles::with_bounds(root, None, bounds);
    let found = owner.read(&name).unwrap().unwrap();
    owner.take_out(&name, &found, &Steps::default()).unwrap();
    files.check_room(&name).unwrap();
    let written = files.take_written(&name, &slot()).unwrap().len();
    assert_eq!(Offset::try_from(written).unwrap(), offset);
}

/// A file that is larger than can be read is of no use to anybody.
#[test]
fn a_file_of_steps_that_is_full_takes_no_answer_and_keeps_those_that_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let root = Directory::new(Arc::new(OsFileSystem), dir.path());
    let bounds = Bounds { merged_from: 2_000, most: 3_000, full: 30_000 };
    let files = Arc::new(StepFiles::with_bounds(root, None, bounds));
    let name = slot().steps();
    let _lock = files.try_lock(&name).unwrap().unwrap();
    files.begin(&name).unwrap();
    let letters =
        (0..200).take_while(|offset| files.append(&name, (&[owed(*offset)], &[(slot(), *offset)])).is_ok());
    let letters = letters.count();
    assert!((40..100).contains(&letters), "{letters}");
    assert!(files.append(&name, (&[owed(300)], &[])).unwrap_err().is_disk_full());
    assert!(std::fs::metadata(dir.path().join(&name)).unwrap().len() <= 30_000);
    let found = files.read(&name).unwrap().unwrap();
    assert_eq!(found.steps.0[&slot()].owed.len(), letters);
    files.take_out(&name, &found, &Steps::default()).unwrap();
    files.append(&name, (&[owed(300)], &[])).unwrap();
}
