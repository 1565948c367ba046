//! Copying the tail.
#![expect(clippy::disallowed_methods, reason = "the test meddles with the files as somebody else would")]

use std::sync::Arc;

use super::*;
use crate::io::{Directory, OsFileSystem};

#[test]
fn a_range_is_copied_and_nothing_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::new(Arc::new(OsFileSystem), dir.path());
    let bytes: Vec<u8> =
        (0_u32..).take(3 * CHUNK).map(|at| at.wrapping_mul(0x9e37_79b9).to_le_bytes()[3]).collect();
    let source = directory.open("source", OpenMode::CreateNew).unwrap();
    source.write_at(&bytes, 0).unwrap();
    for range in [0..1, 5..CHUNK, 7..2 * CHUNK + 9, 4..4] {
        let name = format!("{range:?}");
        let target = directory.open(&name, OpenMode::CreateNew).unwrap();
        copy_range(&source, &target, range.start as u64..range.end as u64).unwrap();
        assert!(std::fs::read(dir.path().join(&name)).unwrap() == bytes[range], "{name}");
    }
}
