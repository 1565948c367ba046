//! What an owner has written and not shown when it died.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use annals::{Record, StoreReader};

use crate::common::fast_dir;
use crate::pair::{STEPS, child, kill, open, wait_for};

fn log_file(dir: &Path) -> PathBuf {
    dir.join(format!("{STEPS}-0")).join("00000000000000000000.log")
}

/// The batch of a third record behind two.
fn third_batch() -> Vec<u8> {
    let dir = fast_dir();
    let store = open(dir.path());
    let partition = store.topic(STEPS).unwrap().partition(0).unwrap();
    let ends: Vec<_> = ["one", "two", "six"]
        .iter()
        .map(|value| {
            store.producer().send(Record::to(STEPS).partition(0).value(value)).unwrap();
            usize::try_from(partition.bytes()).unwrap()
        })
        .collect();
    std::fs::read(log_file(dir.path())).unwrap()[ends[1]..ends[2]].to_vec()
}

#[test]
fn a_reader_from_before_sees_what_a_dead_owner_had_written_and_not_shown_at_its_next_look() {
    let dir = fast_dir();
    open(dir.path()).close().unwrap();
    let mut owner = child("pair::sends_when_it_is_told_to", dir.path(), 0);
    let lines = wait_for(&mut owner, "open");
    let mut input = owner.stdin.take().unwrap();
    let readers = [(); 4].map(|()| StoreReader::attach(dir.path()).unwrap());
    let views = readers.each_ref().map(|reader| reader.topic(STEPS).unwrap().partition(0).unwrap());
    let mut consumer = readers[3].consumer_builder().build().unwrap();
    consumer.assign([(STEPS, 0)]).unwrap();
    writeln!(input, "one\ntwo").unwrap();
    while views.iter().any(|view| view.end() < 2) {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(consumer.poll(Duration::from_secs(10)).unwrap().len(), 2);
    let written = views[0].bytes();
    kill(owner);
    let log = std::fs::File::options().write(true).open(log_file(dir.path())).unwrap();
    log.write_all_at(&third_batch(), written).unwrap();
    // Each has its own look, and none has waited for anything.
    thread::sleep(Duration::from_millis(100));
    assert_eq!(views[0].end(), 3);
    assert!(views[1].get(2).unwrap().is_some());
    assert_eq!(views[2].read(2..).unwrap().into_iter().count(), 1);
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    drop(lines);
}
