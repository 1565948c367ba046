//! A segment on a disk that fills up.

use super::*;
use crate::doubles::{Call, Fault, FaultyFileSystem, Times};

const ROOMY: SegmentConfig =
    SegmentConfig { max_bytes: 1 << 30, index_interval_bytes: 4096, max_index_bytes: 1 << 20 };

#[test]
fn each_append_asked_a_full_disk_for_space_ahead_again() {
    let disk = FaultyFileSystem::new();
    disk.fail(&[Call::Allocate], ".log", (0, Times::ForEver), Fault::Error(28));
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::new(Arc::clone(&disk) as _, dir.path());
    let mut segment = ActiveSegment::create(&directory, 0, ROOMY, ReadMode::Positional).unwrap();
    for base in 0..1000 {
        let bytes = batch(base, &[&[b'x'; 1000]]);
        segment.append(&BatchHeader::decode(&bytes).unwrap(), &bytes).unwrap();
    }
    let asked = disk.count(Call::Allocate, ".log");
    assert!((1..1000 / 8).contains(&asked), "{asked} calls for 1000 appends");
    // There is room again, and it is asked for before long.
    disk.heal();
    disk.forget();
    for base in 1000..1100 {
        let bytes = batch(base, &[&[b'x'; 1000]]);
        segment.append(&BatchHeader::decode(&bytes).unwrap(), &bytes).unwrap();
    }
    assert!((1..30).contains(&disk.count(Call::Allocate, ".log")));
    let log = directory.open(&segment_file_name(0, SegmentFile::Log), OpenMode::Read).unwrap();
    assert!(log.len().unwrap() > segment.bytes());
}

#[test]
fn index_files_took_the_last_room_that_there_was() {
    let disk = FaultyFileSystem::new();
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::new(Arc::clone(&disk) as _, dir.path());
    let sealed = |base: Offset| {
        let mut segment = ActiveSegment::create(&directory, base, ROOMY, ReadMode::Positional).unwrap();
        let bytes = batch(base, &[&[b'x'; 1000]]);
        segment.append(&BatchHeader::decode(&bytes).unwrap(), &bytes).unwrap();
        segment.seal().unwrap();
        disk.count(Call::Create, &segment_file_name(base, SegmentFile::Index))
    };
    disk.fail(&[Call::AvailableSpace], "", (0, Times::ForEver), Fault::Short(1000));
    assert_eq!(sealed(0), 0);
    disk.heal();
    assert_eq!(sealed(1), 1);
}
