//! Copies of a log that is open.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::*;
use crate::doubles::{Call, Fault, FaultyFileSystem, MemoryFileSystem, Times};

const TWO: Duration = Duration::from_millis(2);

struct Place {
    disk: Arc<FaultyFileSystem>,
    log: Arc<Log>,
}

impl Place {
    fn new() -> Self {
        let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
        let directory = Self::directory_on(&disk, "/log");
        Log::create(&directory, IDENTITY, &config(500)).unwrap();
        let log = open(&directory, ReadMode::Positional, 500).0;
        Self { disk, log }
    }

    fn directory_on(disk: &Arc<FaultyFileSystem>, path: &str) -> Directory {
        let directory = Directory::new(Arc::clone(disk) as _, Path::new(path));
        directory.ensure().unwrap();
        directory
    }

    /// A log of what the plan says.
    fn copy(&self, held: &HeldLog, plan: &Plan) -> Arc<Log> {
        let target = Self::directory_on(&self.disk, "/copy");
        let mut carrier = Carrier { links: Links::Allowed, parent: None, step: &mut |_, _| Ok(()) };
        held.copy(plan, &target, &mut carrier).unwrap();
        let (copy, report) = open(&target, ReadMode::Positional, 500);
        assert!(report.clean);
        copy
    }
}

#[test]
fn segments_that_come_and_go_between_hold_and_copy_are_in_the_copy() {
    let place = Place::new();
    append(&place.log, 0..20, Durability::Os);
    let held = place.log.hold_for_copy().unwrap();
    // These come after the hold, and before the cut.
    append(&place.log, 20..60, Durability::Os);
    append(&place.log, 60..65, Durability::Memory);
    let cut = Log::cut_through(&[&held]);
    append(&place.log, 65..100, Durability::Os);
    // All of that goes, before anybody has looked what of it is needed.
    place
        .log
        .apply_retention(|| RetentionPolicy { keep_from: Some(90), ..RetentionPolicy::default() })
        .unwrap();
    assert!(place.log.start() > 65);
    let plan = held.plan(cut.points[0]).unwrap().unwrap();
    let copy = place.copy(&held, &plan);
    assert_eq!((copy.start(), copy.end()), (0, 65));
    assert_eq!(read_all(&copy, 0), expected(0..65));
    // With the last hold the files go, too.
    let files = |place: &Place| place.log.directory.list().unwrap().len();
    let before = files(&place);
    drop(held);
    assert!(files(&place) < before / 2, "{} of {before}", files(&place));
    assert_eq!(read_all(&place.log, place.log.start()), expected(place.log.start()..100));
}

#[test]
fn a_closed_segment_that_was_sealed_after_the_cut_was_copied_twice_and_there_was_no_backup() {
    let mut place = Place::new();
    append(&place.log, 0..5, Durability::Os);
    place.log.close().unwrap();
    let directory = Place::directory_on(&place.disk, "/log");
    place.log = open(&directory, ReadMode::Positional, 500).0;
    let held = place.log.hold_for_copy().unwrap();
    let cut = Log::cut_through(&[&held]);
    // As the first append of a life does that finds it full.
    place.log.roll().unwrap();
    append(&place.log, 5..8, Durability::Os);
    let plan = held.plan(cut.points[0]).unwrap().unwrap();
    let copy = place.copy(&held, &plan);
    assert_eq!((copy.start(), copy.end()), (0, 5));
    assert_eq!(read_all(&copy, 0), expected(0..5));
    append(&copy, 5..6, Durability::Os);
    assert_eq!(read_all(&copy, 0), expected(0..6));
}

#[test]
fn a_cut_is_made_again_when_records_below_it_could_not_be_written() {
    let place = Place::new();
    append(&place.log, 0..5, Durability::Os);
    let held = place.log.hold_for_copy().unwrap();
    append(&place.log, 5..8, Durability::Memory);
    let cut = Log::cut_through(&[&held]);
    place.disk.fail(&[Call::Write], "/log", (0, Times::Once), Fault::Error(28));
    assert!(place.log.flush().is_err());
    place.disk.heal();
    // Others have these offsets now, and more.
    for n in 5..20 {
        let appended = place.log.append(&[Record::new().value("another")], &how(Durability::Os)).unwrap();
        assert_eq!(appended.first_offset, n);
    }
    assert!(held.plan(cut.points[0]).unwrap().is_none());
    let cut = Log::cut_through(&[&held]);
    let plan = held.plan(cut.points[0]).unwrap().unwrap();
    assert_eq!(plan.bounds(), (0, 20));
    assert_eq!(read_all(&place.copy(&held, &plan), 0), read_all(&place.log, 0));
}

#[test]
fn a_rewrite_that_is_under_way_when_a_hold_begins_puts_nothing_in_the_place_of_anything() {
    let place = Place::new();
    append(&place.log, 0..100, Durability::Os);
    let keyed = Record::new().key("k").value("keyed");
    place.log.append(&[keyed], &how(Durability::Os)).unwrap();
    place.log.roll().unwrap();
    // The new segment is written, and its name about to be synced, when the hold is taken.
    let gate: Arc<crate::doubles::Gate> = Arc::default();
    place.disk.fail(&[Call::SyncDir], "/log", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    thread::scope(|scope| {
        let erasing = scope.spawn(|| place.log.erase(&|key| key == b"k"));
        gate.await_arrival();
        let held = place.log.hold_for_copy().unwrap();
        gate.open();
        assert!(matches!(erasing.join().unwrap(), Err(crate::error::Error::Held { .. })));
        assert_eq!(read_all(&place.log, 100), [(100, b"keyed".to_vec())]);
        let cut = Log::cut_through(&[&held]);
        let plan = held.plan(cut.points[0]).unwrap().unwrap();
        assert_eq!(read_all(&place.copy(&held, &plan), 100), [(100, b"keyed".to_vec())]);
    });
    place.log.erase(&|key| key == b"k").unwrap();
    assert_eq!(read_all(&place.log, 100), []);
}

/// The cut has to wait for the second log. Whoever sends to the first one meanwhile, and then to the second, is in it with both
/// or with neither.
#[test]
fn no_log_is_cut_before_all_are_at_rest() {
    let [first, second] = [Place::new(), Place::new()];
    let held = [first.log.hold_for_copy().unwrap(), second.log.hold_for_copy().unwrap()];
    let (cause, cutting) = (AtomicBool::new(false), AtomicBool::new(false));
    let cut = thread::scope(|scope| {
        let mut accumulator = second.log.accumulator.lock();
        let cut = scope.spawn(|| {
            cutting.store(true, Ordering::SeqCst);
            Log::cut_through(&[&held[0], &held[1]])
        });
        while !cutting.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        thread::sleep(20 * TWO);
        scope.spawn(|| {
            append(&first.log, 0..1, Durability::Os);
            cause.store(true, Ordering::SeqCst);
        });
        thread::sleep(20 * TWO);
        if cause.load(Ordering::SeqCst) {
            let placed = crate::log::write::accumulator::tests::place_one(&mut accumulator);
            assert_eq!(placed, 0);
        }
        drop(accumulator);
        cut.join().unwrap()
    });
    let [causes, effects] = [cut.points[0].end, cut.points[1].end];
    assert!(effects <= causes, "{effects} effects of {causes} causes");
}
