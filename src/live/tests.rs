use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::error::Error;
use crate::io::{Directory, OpenMode, OsFileSystem};
use crate::live::layout::{LIVE_FILE, Life, Stage, head};
use crate::live::page::{OWNER_BYTE, Page};
use crate::locks::{AtomicBool, AtomicU64, Ordering};

fn directory(dir: &tempfile::TempDir) -> Directory {
    Directory::new(Arc::new(OsFileSystem), dir.path())
}

fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

fn growth(number: i64) -> Growth {
    Growth {
        end: number,
        stable: number - number % 3,
        bytes: (number * 7).unsigned_abs(),
        records: number.unsigned_abs(),
        first_timestamp: number / 2,
        max_timestamp: number * 2,
    }
}

fn appended(number: i64) -> u64 {
    (number * 11).unsigned_abs()
}

fn synced(number: i64) -> Synced {
    Synced { durable: number, kept: number - number % 2 }
}

fn table(number: i64) -> Table {
    Table { kind: Kind::Growing, start: number / 4, base: number / 3, growth: growth(number) }
}

/// Ends a thread that turns until then, also when a test fails.
struct EndOf<'a>(&'a AtomicBool);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Millions of looks at a slot that changes all the time: none of them sees a mixture. `ANNALS_SEQLOCK_READS` is their number.
#[test]
fn no_look_takes_some_of_one_moment_and_some_of_another() {
    let reads =
        std::env::var("ANNALS_SEQLOCK_READS").ok().and_then(|text| text.parse().ok()).unwrap_or(300_000_u64);
    let dir = memory();
    let owner = Opened::shown(&directory(&dir)).unwrap().owner.unwrap();
    let own = owner.slot(77, 3).unwrap();
    own.begin(&table(0), synced(0));
    owner.opened();
    owner.catalog_changed();
    let guest = Guest::attach(&directory(&dir)).unwrap();
    let slot = guest.slot(77, 3).unwrap().unwrap();
    let (is_over, changes) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !is_over.load(Ordering::Relaxed) {
                number += 1;
                if number % 64 == 0 {
                    own.show(&table(number))
                } else {
                    own.grow(&growth(number), appended(number))
                }
                changes.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _end = EndOf(&is_over);
        let (mut last, mut seen) = (0, 0_u64);
        for _ in 0..reads {
            let Some(shown) = slot.read() else { continue };
            let end = shown.growth.end;
            assert_eq!(shown.growth, growth(end), "a mixture");
            // An edit of the table is no append.
            let last_append = end - i64::from(end % 64 == 0 && end > 0);
            assert_eq!(shown.appended_bytes, appended(last_append), "a mixture at {end}");
            assert!(end >= last, "{end} after {last}");
            let of_table = end - end % 64;
            assert_eq!((shown.start, shown.base), (of_table / 4, of_table / 3), "a mixture at {end}");
            seen += u64::from(end != last);
            last = end;
        }
        println!("{reads} looks, {seen} saw something new, {} changes", changes.load(Ordering::Relaxed));
        assert!(seen > 0);
    });
}

#[test]
fn what_an_owner_left_in_the_middle_of_a_change_is_nothing_and_the_next_one_goes_on() {
    let dir = memory();
    let owner = Opened::shown(&directory(&dir)).unwrap().owner.unwrap();
    let own = owner.slot(1, 0).unwrap();
    own.begin(&table(5), synced(2));
    owner.opened();
    let guest = Guest::attach(&directory(&dir)).unwrap();
    let slot = guest.slot(1, 0).unwrap().unwrap();
    assert_eq!((slot.read().unwrap().growth, slot.read().unwrap().synced), (growth(5), synced(2)));
    assert!(matches!(guest.owner().unwrap(), OwnerState::Here(_)));
    let life = guest.life();
    own.begin_a_change();
    assert_eq!(slot.read(), None);
    own.leave();
    owner.close();
    assert!(matches!(guest.owner().unwrap(), OwnerState::Gone(_)));
    let next = Opened::shown(&directory(&dir)).unwrap().owner.unwrap();
    assert!(matches!(guest.owner().unwrap(), OwnerState::Opening(_)));
    assert_ne!(guest.life(), life);
    assert!(guest.slot(1, 0).unwrap().is_none(), "of an earlier life");
    let own = next.slot(1, 0).unwrap();
    own.begin(&table(9), synced(0));
    next.opened();
    next.catalog_changed();
    assert_eq!(guest.slot(1, 0).unwrap().unwrap().read().unwrap().growth, growth(9));
    assert!(Opened::shown(&directory(&dir)).unwrap().owner.is_none(), "the byte is locked");
}

#[test]
fn a_slot_that_was_given_back_is_nobodys_and_serves_again() {
    let dir = memory();
    let owner = Opened::shown(&directory(&dir)).unwrap().owner.unwrap();
    owner.opened();
    let guest = Guest::attach(&directory(&dir)).unwrap();
    for topic in 1..600_u128 {
        let own = owner.slot(topic, 0).unwrap();
        own.begin(&table(1), synced(0));
        owner.catalog_changed();
        let slot = guest.slot(topic, 0).unwrap().unwrap();
        let generation = slot.generation();
        own.end();
        own.grow(&growth(3), appended(3));
        own.sync(synced(3));
        assert_ne!(slot.generation(), generation);
        assert_eq!(slot.read().unwrap().kind, Kind::Free);
        assert!(guest.slot(topic, 0).unwrap().is_none());
    }
    assert_eq!(std::fs::metadata(dir.path().join(LIVE_FILE)).unwrap().len(), 65_536, "one slot served all");
    let many: Vec<_> = (0..500_u32).map(|number| owner.slot(9, number).unwrap()).collect();
    many.iter().for_each(|own| own.begin(&table(2), synced(0)));
    owner.catalog_changed();
    assert!(guest.slot(9, 499).unwrap().is_some());
    assert_eq!(std::fs::metadata(dir.path().join(LIVE_FILE)).unwrap().len(), 131_072);
}

#[test]
fn a_wish_is_taken_back_by_the_ring_that_answers_it() {
    let dir = memory();
    let owner = Opened::shown(&directory(&dir)).unwrap().owner.unwrap();
    let own = owner.slot(1, 0).unwrap();
    own.begin(&table(1), synced(0));
    owner.opened();
    let guest = Guest::attach(&directory(&dir)).unwrap();
    let slot = guest.slot(1, 0).unwrap().unwrap();
    let rung = guest.rung();
    own.ring_if_wanted();
    assert_eq!(guest.rung(), rung, "nobody waits");
    slot.want();
    assert!(own.is_wanted());
    own.ring_if_wanted();
    assert!(!own.is_wanted() && own.is_followed());
    assert_eq!(guest.rung(), rung + 1);
    own.ring_if_wanted();
    assert_eq!(guest.rung(), rung + 1);
}

#[test]
fn who_attaches_to_an_owner_that_stands_before_its_page_is_written_is_told_that_it_opens() {
    let dir = memory();
    let root = directory(&dir);
    let page = Page::new(root.open(LIVE_FILE, OpenMode::CreateNew).unwrap()).unwrap().unwrap();
    page.head.store(head::LIFE, Life(0).next().at(Stage::Opening).0, Ordering::SeqCst);
    assert!(page.file.try_lock_byte(OWNER_BYTE).unwrap());
    let attached = Guest::attach_within(&root, Duration::from_millis(20));
    let Err(Error::Io { source, .. }) = &attached else { panic!("{attached:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::TimedOut);
}
