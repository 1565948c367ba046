//! Files that are part of nothing: what failures and kills leave, and what has left the log.

#![expect(
    clippy::disallowed_methods,
    reason = "files are put there from outside, and two threads are at work"
)]

use std::thread;

use super::compaction::{contents, now_config, put};
use super::gate::{Gated, Stops};
use super::place::Place;
use super::*;
use crate::doubles::{Call, Fault, FaultyFileSystem, Gate, Times};
use crate::error::Error;
use crate::format::ProducerStamp;
use crate::log::write::writer::Phase;

const DISK_FULL: Fault = Fault::Error(28);

/// What compaction leaves of [`twenty`].
const LEFT: [&str; 3] = ["0 c=first", "19 a=value 18", "20 b=value 19"];

fn faulty() -> (Arc<FaultyFileSystem>, Place) {
    let disk = FaultyFileSystem::new();
    let place = Place::in_memory(ReadMode::Positional, Arc::clone(&disk) as _);
    (disk, place)
}

/// Twenty records of two keys behind one of another, in sealed segments and nothing in the active one.
fn twenty(place: &Place) -> Arc<Log> {
    let log = place.open();
    put(&log, &[("c", "first")]);
    for n in 0..20 {
        put(&log, &[(["a", "b"][n % 2], &format!("value {n}"))]);
    }
    log.roll().unwrap();
    log
}

/// What of the directory is no file of the log.
fn unfinished(place: &Place) -> Vec<String> {
    let is_unfinished = |name: &String| name.ends_with(".new") || name.ends_with(".cleaned");
    place.files().into_iter().filter(is_unfinished).collect()
}

fn leave(place: &Place, names: &[String]) {
    names.iter().for_each(|name| std::fs::write(place.dir.path().join(name), "left").unwrap());
}

#[test]
fn a_compaction_wanted_room_for_all_that_it_reads() {
    let (disk, place) = faulty();
    let log = twenty(&place);
    let bytes = log.bytes();
    // One segment has 500 bytes, and all that stays has 228, of which 78 are alone in theirs; an eighth of a segment stays free beside it.
    for (room, has_room) in [(0, false), (40, false), (130, false), (300, true)] {
        let room = Fault::Short(room);
        disk.fail(&[Call::AvailableSpace], "", (0, Times::ForEver), room);
        let compacted = log.compact(&|| Some(now_config(&place)));
        assert_eq!(compacted.is_ok(), has_room, "{compacted:?}");
        assert_eq!(unfinished(&place), [""; 0]);
        disk.heal();
    }
    assert_eq!(contents(&log), LEFT);
    assert!(log.bytes() < bytes / 2);
}

#[test]
fn a_rewrite_beside_which_others_took_the_room_took_what_was_left() {
    let (disk, place) = faulty();
    let log = twenty(&place);
    // There is enough when it begins, and not for what is to stay free when it writes.
    disk.fail(&[Call::AvailableSpace], "", (1, Times::ForEver), Fault::Short(10));
    disk.forget();
    assert!(log.compact(&|| Some(now_config(&place))).unwrap_err().is_disk_full());
    assert_eq!((disk.bytes(Call::Write, ".cleaned"), unfinished(&place)), (0, vec![]));
    disk.heal();
    log.compact(&|| Some(now_config(&place))).unwrap();
    assert_eq!(contents(&log), LEFT);
}

#[test]
fn a_rewrite_that_fails_at_its_end_leaves_no_file() {
    for call in [Call::Write, Call::Sync] {
        let (disk, place) = faulty();
        let log = twenty(&place);
        disk.fail(&[call], ".cleaned", (0, Times::ForEver), DISK_FULL);
        assert!(log.compact(&|| Some(now_config(&place))).unwrap_err().is_disk_full());
        assert_eq!(unfinished(&place), [""; 0], "{call:?}");
        disk.heal();
        log.compact(&|| Some(now_config(&place))).unwrap();
        assert_eq!(contents(&log), LEFT);
    }
}

#[test]
fn what_a_rewrite_could_not_remove_is_in_no_way_of_the_next_one_and_is_owed() {
    let (disk, place) = faulty();
    let log = twenty(&place);
    log.free_what_is_owed().unwrap();
    let fails_and_leaves = || {
        // What nothing stays of goes meanwhile, and then there is another try.
        disk.fail(&[Call::Sync], ".cleaned", (0, Times::ForEver), DISK_FULL);
        // The first one is of what an earlier try may have left, before the file is made.
        disk.fail(&[Call::Remove], ".cleaned", (1, Times::ForEver), Fault::Error(5));
        assert!(log.compact(&|| Some(now_config(&place))).is_err());
        assert_eq!(unfinished(&place).len(), 1);
        disk.heal();
    };
    fails_and_leaves();
    log.free_what_is_owed().unwrap();
    assert_eq!(unfinished(&place), [""; 0], "maintenance takes it away");
    // Where there is no room for the next try, what the first has left is gone first.
    fails_and_leaves();
    disk.fail(&[Call::AvailableSpace], "", (0, Times::ForEver), Fault::Short(0));
    assert!(log.compact(&|| Some(now_config(&place))).unwrap_err().is_disk_full());
    assert_eq!(unfinished(&place), [""; 0]);
}

#[test]
fn what_a_rewrite_has_left_goes_though_a_file_of_a_segment_stays() {
    let (disk, place) = faulty();
    let log = twenty(&place);
    disk.fail(&[Call::Sync], ".cleaned", (0, Times::ForEver), DISK_FULL);
    disk.fail(&[Call::Remove], ".cleaned", (1, Times::ForEver), Fault::Error(5));
    assert!(log.compact(&|| Some(now_config(&place))).is_err());
    assert_eq!(unfinished(&place).len(), 1);
    disk.heal();
    disk.fail(&[Call::Remove], "/00000000000000000000.index", (0, Times::ForEver), Fault::Error(5));
    assert!(!log.delete_records(place.logs()[1]).unwrap().is_freed);
    assert_eq!(unfinished(&place), [""; 0]);
}

#[test]
fn what_cannot_be_removed_is_all_that_stays_listed() {
    let (disk, place) = faulty();
    let log = twenty(&place);
    let listed = || match &log.writer.lock().phase {
        Phase::Open(open) => open.state.state().obsolete.clone(),
        _ => panic!("it is open"),
    };
    let stays = place.logs()[1];
    disk.fail(&[Call::Remove], &format!("/{stays:020}.log"), (0, Times::ForEver), Fault::Error(5));
    for _ in 0..3 {
        assert!(!log.delete_records(log.end()).unwrap().is_freed);
        assert_eq!((listed(), place.logs()), (vec![stays], vec![stays, log.end()]));
        append_one(&log);
    }
    disk.heal();
    log.free_what_is_owed().unwrap();
    assert_eq!(listed(), [0; 0]);
}

#[test]
fn what_was_being_written_of_a_segment_goes_with_it() {
    let (_, place) = faulty();
    let log = twenty(&place);
    let suffixes = ["log.new", "keyindex.new", "snapshot.new"];
    leave(&place, &suffixes.map(|suffix| format!("{:020}.{suffix}", 0)));
    assert!(log.delete_records(10).unwrap().is_freed);
    assert_eq!(unfinished(&place), [""; 0], "it holds records that were deleted");
}

#[test]
fn what_a_killed_process_was_writing_goes_with_the_first_append() {
    for is_clean in [true, false] {
        let (_, place) = faulty();
        let log = twenty(&place);
        append_one(&log);
        if is_clean {
            log.close().unwrap();
        }
        drop(log);
        let suffixes = ["log.new", "keyindex.new", "snapshot.new", "log.cleaned"];
        leave(&place, &suffixes.map(|suffix| format!("{:020}.{suffix}", 7)));
        leave(&place, &["notes.new".to_owned()]);
        let log = place.open();
        assert_eq!(unfinished(&place).len(), 5, "an open changes nothing");
        append_one(&log);
        assert_eq!(unfinished(&place), ["notes.new"], "clean: {is_clean}");
    }
}

fn append_one(log: &Arc<Log>) {
    log.append(&[Record::new().key("d").value("one more")], &how(Durability::Os)).unwrap();
}

#[test]
fn an_erasure_beside_a_roll_takes_nothing_that_the_roll_is_writing() {
    let (disk, place) = faulty();
    let log = twenty(&place);
    let records = [Record::new().key("d").value("of a producer")];
    let stamp =
        ProducerStamp { producer_id: 7, producer_epoch: 0, base_sequence: 0, is_transactional: false };
    let mut stage = log.stage().unwrap();
    stage.place(&Part { records: &records, stamp, ends_with: None }).unwrap();
    stage.write().unwrap();
    drop(stage);
    let [listing, syncing]: [Arc<Gate>; 2] = Default::default();
    disk.fail(&[Call::List], "", (0, Times::Once), Fault::Hold(Arc::clone(&listing)));
    disk.fail(&[Call::Sync], ".snapshot.new", (0, Times::Once), Fault::Hold(Arc::clone(&syncing)));
    let erased = Arc::clone(&log);
    let erasure = thread::spawn(move || erased.erase(&|key| key == b"nobody"));
    listing.await_arrival();
    let rolled = Arc::clone(&log);
    let roll = thread::spawn(move || rolled.roll());
    // Where the two take turns it does not come so far.
    for _ in 0..200 {
        if syncing.waiting() > 0 {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    listing.open();
    thread::sleep(Duration::from_millis(50));
    syncing.open();
    erasure.join().unwrap().unwrap();
    assert!(roll.join().unwrap().unwrap());
}

#[test]
fn a_swap_whose_last_note_has_no_room_frees_the_old_segments_all_the_same() {
    let (disk, place) = faulty();
    let log = twenty(&place);
    let before = place.logs().len();
    // The first one is the swap's own.
    disk.fail(&[Call::Write], "annals.state.new", (1, Times::Once), DISK_FULL);
    let report = log.compact(&|| Some(now_config(&place))).unwrap();
    assert_eq!(report.removed_records, 18);
    assert!(place.logs().len() < before, "{:?} of {before}", place.logs());
    assert_eq!(place.logs().len(), 1 + report.segments_after);
    assert!(!log.has_obsolete());
    drop(log);
    assert_eq!(contents(&place.open()), LEFT);
}

#[test]
fn an_erasure_beside_which_a_copy_begins_does_not_say_that_the_files_are_gone() {
    let files = Gated::default();
    let place = Place::in_memory(ReadMode::Positional, Arc::new(files.clone()));
    let log = place.open();
    put(&log, &[("erased", "1"), ("erased", "2")]);
    log.roll().unwrap();
    put(&log, &[("erased", "3"), ("b", "4")]);
    log.roll().unwrap();
    // The first one leaves, and one of its files cannot be removed: so all stay.
    let file = place.dir.path().join(format!("{:020}.index", 0));
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    log.apply_retention(|| RetentionPolicy { keep_from: Some(2), ..Default::default() }).unwrap();
    std::fs::remove_dir(&file).unwrap();
    leave(&place, &[format!("{:020}.log", 0)]);
    let (visited, path) = (Arc::clone(&log), place.dir.path().join(format!("{:020}.log.cleaned", 2)));
    let holds = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (taken, mut was_there) = (Arc::clone(&holds), false);
    let visit = move || {
        // It has its own name by now: all that was to be rewritten is.
        if was_there && !path.exists() && taken.lock().unwrap().is_empty() {
            taken.lock().unwrap().push(visited.hold());
        }
        was_there |= path.exists();
    };
    let erased = files.stopping(Stops::Changes, visit, || log.erase(&|key| key == b"erased"));
    assert_eq!(holds.lock().unwrap().len(), 1);
    assert!(place.logs().contains(&0), "it is held");
    assert!(matches!(erased, Err(Error::Held { .. })), "{erased:?}");
    drop(std::mem::take(&mut *holds.lock().unwrap()));
    assert_eq!(log.erase(&|key| key == b"erased").unwrap().records, 0);
    assert_eq!(place.logs(), [2, 4]);
}
