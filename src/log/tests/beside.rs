//! Readers beside every change of files: one of each mode and each way to take damage, at each call that the change makes
//! of the file system, and the change at each read that a reader makes.

use super::compaction::now_config;
use super::gate::{Gated, Stops};
use super::place::Place;
use super::*;
use crate::error::Error;
use crate::locks::Mutex;

type Contents = Vec<(Offset, String)>;

/// Something that changes files under readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Append,
    FirstAppendAfterAKill,
    FirstAppendAfterAClose,
    Roll,
    Compaction,
    Erasure,
    Retention,
    DeletionOfRecords,
    Close,
}

const CHANGES: [Change; 9] = [
    Change::Append,
    Change::FirstAppendAfterAKill,
    Change::FirstAppendAfterAClose,
    Change::Roll,
    Change::Compaction,
    Change::Erasure,
    Change::Retention,
    Change::DeletionOfRecords,
    Change::Close,
];

/// Sixty records of ten keys in many segments, the last of them neither synced nor sealed.
fn sixty(place: &Place) -> Arc<Log> {
    let log = place.open();
    for n in 0..60 {
        let (key, value) = (format!("key {}", n * 7 % 10), format!("value {n}"));
        let durability = if n < 40 { Durability::Disk } else { Durability::Os };
        log.append(&[Record::new().key(&key).value(&value)], &how(durability)).unwrap();
    }
    log
}

impl Change {
    /// The log before the change.
    pub(super) fn prepare(self, place: &Place) -> Arc<Log> {
        let log = sixty(place);
        match self {
            Self::FirstAppendAfterAKill => {
                // The last segment holds what was synced and what was not.
                let from = log.end();
                log.append(&[Record::new().key("key 1").value("synced")], &how(Durability::Disk)).unwrap();
                log.append(&[Record::new().key("key 2").value("not synced")], &how(Durability::Os)).unwrap();
                assert_eq!(log.end(), from + 2);
                drop(log);
                place.open()
            }
            Self::FirstAppendAfterAClose => {
                log.close().unwrap();
                drop(log);
                place.open()
            }
            _ => log,
        }
    }

    /// Makes the change. What it promises is looked at when nothing fails.
    pub(super) fn make(self, log: &Arc<Log>, place: &Place) -> Result<(), Error> {
        match self {
            Self::Append | Self::FirstAppendAfterAKill | Self::FirstAppendAfterAClose => {
                log.append(&[Record::new().key("key 3").value("new")], &how(Durability::Disk))?;
            }
            Self::Roll => assert!(log.roll()?),
            Self::Compaction => assert!(log.compact(&|| Some(now_config(place)))?.removed_records > 0),
            Self::Erasure => assert!(log.erase(&|key| key == b"key 3")?.records > 0),
            Self::Retention => {
                let policy = RetentionPolicy { max_bytes: Some(1000), ..Default::default() };
                assert!(!log.apply_retention(|| policy)?.removed.is_empty());
            }
            Self::DeletionOfRecords => assert_eq!(log.delete_records(33)?.start, 33),
            Self::Close => log.close()?,
        }
        Ok(())
    }
}

fn reader(log: &Arc<Log>, on_damage: OnDamage) -> Reader {
    Reader::new(Arc::clone(log), 0, Visibility::Written, on_damage).below_start(BelowStart::GoOn)
}

/// What is left to read, or an error in words.
fn rest_of(reader: &mut Reader) -> Result<Contents, String> {
    let mut found = Vec::new();
    loop {
        let slices = reader.fetch(FetchLimits { max_records: 3, max_bytes: 200 });
        let slices = slices.map_err(|error| format!("{error} after {:?}", found.last()))?;
        if slices.is_empty() {
            return Ok(found);
        }
        for record in slices.iter().flat_map(RecordSlice::iter) {
            found.push((record.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
        }
    }
}

fn all(log: &Arc<Log>) -> Contents {
    rest_of(&mut reader(log, OnDamage::Fail)).unwrap()
}

/// What is in the log before and after must be read, from `from` on, and nothing that is in neither.
fn judge(found: &Result<Contents, String>, from: Offset, before: &Contents, after: &Contents, what: &str) {
    let found = found.as_ref().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(found.is_sorted_by(|one, next| one.0 < next.0), "{what}: {found:?}");
    let strange = found.iter().find(|record| !before.contains(record) && !after.contains(record));
    assert_eq!(strange, None, "{what}");
    let must = before.iter().filter(|record| record.0 >= from && after.contains(record));
    let missing: Vec<_> = must.filter(|record| !found.contains(record)).collect();
    assert!(missing.is_empty(), "{what}: {missing:?} was not read");
}

struct Seen {
    what: String,
    from: Offset,
    found: Result<Contents, String>,
}

fn at_each_call(change: Change, mode: ReadMode) {
    let files = Gated::default();
    let place = Place::in_memory(mode, Arc::new(files.clone()));
    let log = change.prepare(&place);
    let before = all(&log);
    let how = [OnDamage::Fail, OnDamage::Skip];
    // Those that began before, and have come as far as somewhere in the log.
    let mut begun: Vec<_> = how
        .into_iter()
        .flat_map(|how| (0..60).map(move |at| (how, at)))
        .map(|(how, at)| {
            let mut reader = reader(&log, how);
            let handed_out =
                reader.fetch(FetchLimits { max_records: at * 7 % 60 + 1, max_bytes: usize::MAX });
            assert!(!handed_out.unwrap().is_empty());
            reader
        })
        .collect();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (visited, readable) = (Arc::clone(&seen), Arc::clone(&log));
    let visit = move || {
        let stop = visited.lock().len();
        let look = |what: &str, mut reader: Reader| {
            let from = reader.position();
            let what = format!("{change:?} {mode:?}, {what} reader, stop {stop}");
            visited.lock().push(Seen { what, from, found: rest_of(&mut reader) });
        };
        how.into_iter().for_each(|how| look("new", reader(&readable, how)));
        for _ in 0..2 {
            if let Some(reader) = begun.pop() {
                look("old", reader);
            }
        }
    };
    files.stopping(Stops::Changes, visit, || change.make(&log, &place)).unwrap();
    let after = all(&log);
    let seen = seen.lock();
    assert!(seen.len() > 2, "{change:?} {mode:?} changed nothing");
    seen.iter().for_each(|seen| judge(&seen.found, seen.from, &before, &after, &seen.what));
}

#[test]
fn no_reader_sees_a_file_other_than_its_list_says_at_any_call_of_a_change() {
    for change in CHANGES {
        for mode in [ReadMode::Mapped, ReadMode::Positional] {
            at_each_call(change, mode);
        }
    }
}

/// The change happens at the read of that number; false when the reader made fewer.
fn at_one_read(change: Change, on_damage: OnDamage, number: usize) -> bool {
    let files = Gated::default();
    let place = Arc::new(Place::in_memory(ReadMode::Positional, Arc::new(files.clone())));
    let log = change.prepare(&place);
    let before = all(&log);
    let mut reads = 0;
    let happened = Arc::new(Mutex::new(false));
    let (happens, changed, where_it_is) = (Arc::clone(&happened), Arc::clone(&log), Arc::clone(&place));
    let visit = move || {
        if reads == number {
            change.make(&changed, &where_it_is).unwrap();
            *happens.lock() = true;
        }
        reads += 1;
    };
    let mut reader = reader(&log, on_damage);
    let found = files.stopping(Stops::Reads, visit, || rest_of(&mut reader));
    if !*happened.lock() {
        return false;
    }
    let what = format!("{change:?} at read {number}, {on_damage:?}");
    judge(&found, 0, &before, &all(&log), &what);
    true
}

#[test]
fn no_reader_sees_a_file_other_than_its_list_says_when_it_changes_at_any_read() {
    for change in CHANGES {
        for on_damage in [OnDamage::Fail, OnDamage::Skip] {
            let reads = (0..).take_while(|number| at_one_read(change, on_damage, *number)).count();
            assert!(reads > 5, "{change:?}: {reads}");
        }
    }
}
