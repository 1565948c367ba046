//! A process that may have no more address space (`ulimit -v`): the system refuses maps, and a store reads positionally.
//!
//! The limit holds for a whole process, so this test starts another.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;

use annals::{Durability, ReadMode, Record, Store, TopicConfig};

const DIR: &str = "ANNALS_LITTLE_SPACE";
const SEGMENTS: usize = 24;
const SEGMENT_BYTES: u32 = 4 << 20;
/// What the process may have on top of what it has: room for buffers, and for a few segments of all.
const SPARE: u64 = 32 << 20;

fn address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmSize")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn with_little_address_space_everything_is_read() {
    let _alone = crate::alone();
    let dir = tempfile::Builder::new().tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([
        "--exact",
        "address_space::a_child_with_little_address_space",
        "--test-threads=1",
        "--nocapture",
    ]);
    let done = child.env(DIR, dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("maps were refused"), "{said}");
}

/// Does nothing unless the other test starts it.
#[test]
fn a_child_with_little_address_space() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let builder = Store::builder(&dir).read_mode(ReadMode::Mapped).maintain_by_hand();
    let store = builder.open().unwrap();
    let topic = store.create_topic("orders", TopicConfig::new().segment_bytes(SEGMENT_BYTES)).unwrap();
    let partition = topic.partition(0).unwrap();
    let value = vec![b'x'; 900 << 10];
    let count = SEGMENTS * 4;
    for _ in 0..count {
        partition.append(&[Record::new().value(&value[..])], Durability::Os).unwrap();
    }
    let most = address_space() + SPARE;
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the call reads `limit`, which outlives it.
    #[expect(unsafe_code, reason = "std does not set limits")]
    let code = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(code, 0);
    for _ in 0..2 {
        let read = partition.read(..).unwrap().into_iter().map(|record| record.unwrap().value.unwrap().len());
        assert_eq!(read.collect::<Vec<_>>(), vec![value.len(); count]);
    }
    for offset in 0..i64::try_from(count).unwrap() {
        assert!(partition.get(offset).unwrap().is_some());
    }
    partition.append(&[Record::new().value("goes on")], Durability::Disk).unwrap();
    if SEGMENTS as u64 * u64::from(SEGMENT_BYTES) > 2 * SPARE {
        println!("more is read than can be mapped: maps were refused");
    }
    store.close().unwrap();
}
