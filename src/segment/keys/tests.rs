//! The file of more terms than are held in memory, and looks where neither memory nor a file holds them.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{
    KeyEntry, KeyStamp, SegmentFile, TermHash, TermKind, encode_key_index, segment_file_name,
};
use crate::io::{Directory, OpenMode, OsFileSystem};
use crate::segment::ReadMode;
use crate::segment::keys::growing::Growing;
use crate::segment::keys::hit::{Hit, HitRange, Take};
use crate::segment::keys::keys::Keys;
use crate::segment::keys::making::{self, Walk};
use crate::types::Offset;

const BASE: Offset = 500;

/// A segment of these terms that may hold so many of them in memory.
struct Terms {
    entries: Vec<KeyEntry>,
    most: usize,
    /// Whether files get their names.
    is_named: bool,
    /// A file in which a bit is wrong whenever anything was written.
    damaged: Option<std::path::PathBuf>,
}

impl Walk for Terms {
    fn most_terms(&self) -> usize {
        self.most
    }

    fn walk(&self, _until: Offset) -> Result<Option<Growing>> {
        Ok(None)
    }

    fn each(&self, until: Offset, found: &mut dyn FnMut(KeyEntry) -> Result<()>) -> Result<()> {
        let until = u32::try_from(until - BASE).unwrap();
        let below = self.entries.iter().filter(|entry| entry.relative_offset < until);
        below.copied().try_for_each(found)
    }

    fn unless_left(&self, write: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        if !self.is_named {
            return Err(Error::StoreClosed { path: "elsewhere".into() });
        }
        write()?;
        if let Some(path) = self.damaged.as_ref().filter(|path| path.exists()) {
            damage(path);
        }
        Ok(())
    }
}

/// Its pages but the first.
#[expect(clippy::disallowed_methods, reason = "files are damaged from outside")]
fn damage(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[4096..].iter_mut().step_by(500).for_each(|byte| *byte ^= 1);
    std::fs::write(path, bytes).unwrap();
}

fn hash(key: u32) -> TermHash {
    TermHash::of(TermKind::Key, &key.to_be_bytes())
}

/// So many records, of keys that come once and of ones that come often; every seventh has its key twice.
fn terms(records: u32, most: usize) -> Terms {
    let key = |number: u32| if number.is_multiple_of(3) { number } else { number % 5 };
    let entry = |number| KeyEntry { hash: hash(key(number)), relative_offset: number, position: number * 11 };
    let times = |number: u32| if number.is_multiple_of(7) { 2 } else { 1 };
    let entries = (0..records).flat_map(|number| std::iter::repeat_n(entry(number), times(number))).collect();
    Terms { entries, most, is_named: true, damaged: None }
}

fn stamp(records: u32) -> KeyStamp {
    KeyStamp { base: BASE, next_offset: BASE + Offset::from(records), bytes: 77, headers_crc: 5 }
}

struct Place {
    directory: Directory,
    _dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { directory: Directory::new(Arc::new(OsFileSystem), dir.path()), _dir: dir }
    }

    fn files(&self) -> usize {
        self.directory.list().unwrap().len()
    }

    fn file(&self) -> Vec<u8> {
        let name = segment_file_name(BASE, SegmentFile::KeyIndex);
        self.directory.open(&name, OpenMode::Read).unwrap().read(0, 64 << 20).unwrap()
    }
}

#[test]
fn a_file_of_more_terms_than_are_held_is_the_same_to_the_byte() {
    for (records, most) in
        [(0, 0), (1, 0), (1, 1), (5, 2), (900, 1), (900, 37), (40_000, 4_500), (40_000, 90_000)]
    {
        let (place, terms) = (Place::new(), terms(records, most));
        making::make(&place.directory, stamp(records), &terms).unwrap();
        let expected = encode_key_index(stamp(records), terms.entries).unwrap();
        assert_eq!(place.file(), expected, "{records} records, {most} at once");
        assert_eq!(place.files(), 1, "nothing else is left");
    }
}

#[test]
fn of_a_segment_that_has_left_no_file_is_made_and_none_is_left() {
    let (place, mut terms) = (Place::new(), terms(900, 40));
    terms.is_named = false;
    assert!(making::make(&place.directory, stamp(900), &terms).is_err());
    assert_eq!(place.files(), 0);
}

/// Hits of a key as the records say.
fn expected(terms: &Terms, key: u32, range: &HitRange) -> Vec<Hit> {
    let mut hits: Vec<_> = terms
        .entries
        .iter()
        .filter(|entry| entry.hash == hash(key))
        .map(|entry| Hit {
            offset: BASE + i64::from(entry.relative_offset),
            position: u64::from(entry.position),
        })
        .filter(|hit| (range.from..range.until).contains(&hit.offset))
        .collect();
    hits.dedup();
    if let Take::Last(most) = range.take {
        hits.drain(..hits.len().saturating_sub(most));
    }
    hits
}

#[test]
fn where_neither_memory_nor_a_file_holds_the_terms_the_batches_are_asked() {
    let records = 3000;
    for is_named in [true, false] {
        let (place, mut terms) = (Place::new(), terms(records, 40));
        terms.is_named = is_named;
        let keys = Keys::unknown(BASE, Some(stamp(records)));
        let how = (&place.directory, ReadMode::Positional, &terms as &dyn Walk);
        for key in [0, 1, 2, 4, 6, 9, 2997, 5000] {
            for (from, until) in [(BASE, BASE + 3000), (BASE + 100, BASE + 2000), (BASE + 9, BASE + 10)] {
                for take in [Take::All, Take::Last(1), Take::Last(4)] {
                    let range = HitRange { from, until, take };
                    let hits = keys.hits(hash(key), range, how).unwrap();
                    assert_eq!(hits, expected(&terms, key, &range), "key {key}, {range:?}, {is_named}");
                }
            }
        }
        assert_eq!(keys.in_memory(), 0);
        assert_eq!(place.files(), usize::from(is_named));
    }
}

#[test]
fn an_index_that_was_damaged_as_often_as_it_was_made_had_a_look_go_on_for_ever() {
    let (place, mut terms) = (Place::new(), terms(3000, 40));
    terms.damaged = Some(place.directory.join(&segment_file_name(BASE, SegmentFile::KeyIndex)));
    let keys = Keys::unknown(BASE, Some(stamp(3000)));
    let how = (&place.directory, ReadMode::Positional, &terms as &dyn Walk);
    let range = HitRange { from: BASE, until: BASE + 3000, take: Take::All };
    assert_eq!(keys.hits(hash(4), range, how).unwrap(), expected(&terms, 4, &range));
}
