//! What a copy of something taken out must be.
#![expect(clippy::disallowed_methods, reason = "the test meddles with the files as somebody else would")]

use std::sync::Arc;

use super::*;
use crate::io::OsFileSystem;

#[test]
fn copies_are_what_was_there_and_none_takes_the_place_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let store = Directory::new(Arc::new(OsFileSystem), &dir.path().join("orders-0"));
    store.create().unwrap();
    let bytes: Vec<u8> =
        (0_u32..).take(2 * CHUNK + 100).map(|at| at.wrapping_mul(0x9e37_79b9).to_le_bytes()[3]).collect();
    store.open("file", OpenMode::CreateNew).unwrap().write_at(&bytes, 0).unwrap();
    let copies = Copies::open(Directory::new(Arc::new(OsFileSystem), &dir.path().join("copies"))).unwrap();
    for number in 0..3 {
        let (path, len) = copies.keep_file(&store, "file").unwrap().unwrap();
        assert_eq!(len, bytes.len() as u64);
        assert!(std::fs::read(&path).unwrap() == bytes);
        let name = path.file_name().unwrap().to_str().unwrap();
        let numbered = format!("file.0.{number}");
        assert!(path.starts_with(dir.path().join("copies/orders-0")), "{path:?}");
        assert_eq!(name, if number == 0 { "file.0" } else { &numbered });
    }
    for range in [10..11, 50..CHUNK, 7..bytes.len() - 3, 20..20] {
        let path = copies.keep(&store, "file", range.start as u64..range.end as u64).unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes[range.clone()], "{range:?}");
        assert!(path.ends_with(format!("orders-0/file.{}", range.start)));
    }
    // A file that is shorter than was thought is copied as far as it goes.
    let path = copies.keep(&store, "file", 100..u64::MAX).unwrap();
    assert!(std::fs::read(path).unwrap() == bytes[100..]);
    assert!(copies.keep_file(&store, "none").unwrap().is_none());
    assert!(copies.keep(&store, "none", 0..1).is_err());
}

#[test]
fn a_file_that_cannot_be_opened_is_not_taken_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = Directory::new(Arc::new(OsFileSystem), &dir.path().join("orders-0"));
    store.create().unwrap();
    let copies = Copies::open(Directory::new(Arc::new(OsFileSystem), &dir.path().join("copies"))).unwrap();
    // A link to itself: there is something, and it cannot be read, not even by root.
    std::os::unix::fs::symlink("file", dir.path().join("orders-0/file")).unwrap();
    assert!(matches!(copies.keep_file(&store, "file"), Err(Error::Io { .. })));
}
