//! After a repair a store opens, what is not told to be lost is there as it was, and what was taken out is in the copies.
#![expect(clippy::disallowed_methods, reason = "directories are made and looked at from outside")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use annals::{
    Offset, ReadMode, Store,
    report::{Repair, RepairReport},
};

use crate::common::{batch_ends, count_from_env};
use crate::corruption::damage::{Changes, Damage};
use crate::corruption::judge::Outcome;
use crate::corruption::stores::{PartitionContent, Sample, builder, content, samples};
use annals_testing::{Files, Image, MemoryFileSystem};

/// Where the copies go.
const COPIES: &str = "/taken-out/today";
/// Bits and lengths that are tried: every so many. A prime: all bits of a byte come up.
const STRIDE: usize = 1499;
/// Repairs that are killed at each of their calls.
const KILLED_STRIDE: usize = 40_009;

fn repair(files: &MemoryFileSystem) -> annals::Result<RepairReport> {
    builder(files, ReadMode::Mapped).repair(COPIES)
}

fn chosen(sample: &Sample, stride: usize) -> Vec<Damage> {
    let all = Damage::all(sample).into_iter().enumerate();
    let often = |damage: &Damage| matches!(damage, Damage::FlippedBit { .. } | Damage::CutTo { .. });
    let rare = |number: usize| number.is_multiple_of(stride.div_ceil(100));
    all.filter(|(number, damage)| if often(damage) { number.is_multiple_of(stride) } else { rare(*number) })
        .map(|(_, damage)| damage)
        .collect()
}

#[test]
fn what_a_repair_does_not_tell_of_is_there_and_what_it_took_is_in_the_copies() {
    let stride = count_from_env("ANNALS_REPAIR_STRIDE", STRIDE).max(1);
    let (mut failures, mut counts) = (Vec::new(), BTreeMap::<_, usize>::new());
    for sample in samples() {
        for damage in chosen(sample, stride) {
            match check(sample, &damage.changes(sample)) {
                Ok(outcome) => *counts.entry((sample.name, damage.kind(), outcome)).or_default() += 1,
                Err(why) => {
                    failures.push(format!("{} {damage:?} {:?}: {why}", sample.name, paths(sample, &damage)))
                }
            }
        }
    }
    for ((sample, kind, outcome), count) in &counts {
        println!("{sample:7} {kind:18} {outcome:12} {count:6}");
    }
    let repaired: usize =
        counts.iter().filter(|((_, _, outcome), _)| *outcome == "repaired").map(|(_, n)| n).sum();
    assert!(failures.is_empty(), "{} failures: {:#?}", failures.len(), &failures[..failures.len().min(20)]);
    assert!(repaired > 100, "{counts:?}");
}

fn paths(sample: &Sample, damage: &Damage) -> Vec<String> {
    damage.changes(sample).into_iter().map(|(path, _)| path).collect()
}

/// Repairs a store once, and tells what came of it.
fn check(sample: &Sample, changes: &Changes) -> Outcome<&'static str> {
    let files = MemoryFileSystem::with(&sample.image, changes);
    let before = files.files();
    let report = repair(&files).map_err(|error| format!("the repair fails: {error}"))?;
    let after = files.files();
    for repair in &report.repairs {
        check_copy(repair, &before, &after)?;
    }
    if !report.refused.is_empty() {
        return Ok("refused");
    }
    // Everything a repair did is durable when it returns.
    let is_hint = |path: &str| path.ends_with("index");
    let synced = files.durable_files();
    if let Some((path, _)) =
        after.iter().find(|(path, bytes)| !is_hint(path) && synced.get(*path) != Some(bytes))
    {
        return Err(format!("{path} is not durable: {report:?}"));
    }
    check_content(sample, &files, &report.repairs).map_err(|why| format!("{why} after {report:#?}"))?;
    let again = repair(&files).map_err(|error| format!("the second repair fails: {error}"))?;
    if !again.is_unchanged() {
        return Err(format!("a second repair goes on: {again:?} after {report:?}"));
    }
    Ok(if report.repairs.is_empty() { "unchanged" } else { "repaired" })
}

/// The copy of what was taken out holds what was there.
fn check_copy(repair: &Repair, before: &Files, after: &Files) -> Outcome {
    if repair.position.is_empty() {
        return Ok(());
    }
    let range =
        usize::try_from(repair.position.start).unwrap()..usize::try_from(repair.position.end).unwrap();
    let taken = &before[repair.path.to_str().unwrap()][range];
    let copy = repair.copy.as_ref().map(|copy| &after[copy.to_str().unwrap()]);
    if copy.is_none_or(|copy| **copy != *taken) {
        return Err(format!("the copy is another: {repair:?}"));
    }
    Ok(())
}

/// The store opens and is sound; its records are those that were there, but for those that are told to be lost.
fn check_content(sample: &Sample, files: &MemoryFileSystem, repairs: &[Repair]) -> Outcome {
    let store =
        builder(files, ReadMode::Mapped).open().map_err(|error| format!("it does not open: {error}"))?;
    let checked = read_all(sample, &store, repairs);
    let fixed = files.files();
    files.freeze();
    drop(store);
    files.stop_after(u64::MAX);
    checked?;
    let copy = MemoryFileSystem::over(&Image::new(fixed));
    let found = builder(&copy, ReadMode::Positional).verify(|_| std::ops::ControlFlow::Continue(()));
    let found = found.map_err(|error| error.to_string())?;
    if found.is_sound() { Ok(()) } else { Err(format!("not sound: {found:?}")) }
}

fn read_all(sample: &Sample, store: &Store, repairs: &[Repair]) -> Outcome {
    let found = content(store).map_err(|error| format!("it cannot be read: {error}"))?;
    for topic in &sample.content.topics {
        let Some(there) = found.topics.iter().find(|there| there.name == topic.name) else {
            return Err(format!("no topic {}", topic.name));
        };
        for (expected, there) in topic.partitions.iter().zip(&there.partitions) {
            check_partition(expected, there, repairs)?;
        }
    }
    Ok(())
}

fn check_partition(expected: &PartitionContent, there: &PartitionContent, repairs: &[Repair]) -> Outcome {
    let directory = Path::new(&expected.directory);
    let lost = |offset: Offset| {
        repairs.iter().any(|repair| repair.path.starts_with(directory) && repair.lost.contains(&offset))
    };
    let by_offset: BTreeMap<_, _> = expected.records.iter().map(|record| (record.offset, record)).collect();
    let rebuilt = repairs.iter().any(|repair| repair.path == directory.join("annals.state"));
    for record in &there.records {
        match by_offset.get(&record.offset) {
            Some(expected) if *expected == record => {}
            // The start of the log stands in the state file alone.
            None if rebuilt && record.offset < expected.start => {}
            // The open set back what groups had committed beyond an end.
            None if expected.directory.ends_with("__consumer_offsets-0") && record.offset >= expected.end => {
            }
            _ => return Err(format!("another record at {} of {}", record.offset, expected.directory)),
        }
    }
    let offsets: BTreeSet<_> = there.records.iter().map(|record| record.offset).collect();
    let missing =
        expected.records.iter().map(|record| record.offset).filter(|offset| !offsets.contains(offset));
    if let Some(offset) = missing.filter(|offset| *offset < expected.durable && !lost(*offset)).min() {
        return Err(format!("no record at {offset} of {}, and nothing is told", expected.directory));
    }
    let told_until =
        repairs.iter().filter(|repair| repair.path.starts_with(directory)).map(|repair| repair.lost.end);
    if there.end < expected.durable && told_until.max().is_none_or(|until| until < expected.durable) {
        return Err(format!("offsets from {} of {} are given out again", there.end, expected.directory));
    }
    Ok(())
}

#[test]
fn a_repair_that_is_killed_at_any_call_is_done_by_the_next() {
    let mut killed = 0;
    for sample in samples() {
        let mut damages = chosen(sample, KILLED_STRIDE);
        damages.push(Damage::flip(sample, "plain-0/annals.state", 2 * 8));
        damages.push(Damage::flip(sample, "plain-0/00000000000000000018.log", 900 * 8));
        damages.push(Damage::flip(sample, "/annals.topics", 77));
        for damage in damages {
            let changes = damage.changes(sample);
            let files = MemoryFileSystem::with(&sample.image, &changes);
            let before = files.files();
            let report = repair(&files).unwrap();
            if report.repairs.is_empty() || !report.refused.is_empty() {
                continue;
            }
            for call in 0..files.calls() {
                let files = MemoryFileSystem::with(&sample.image, &changes);
                files.stop_after(call);
                assert!(repair(&files).is_err(), "{damage:?} at call {call}");
                for left in [files.files(), files.durable_files()] {
                    let files = MemoryFileSystem::over(&Image::new(left));
                    let again = repair(&files).unwrap();
                    let all: Vec<_> = report.repairs.iter().chain(&again.repairs).cloned().collect();
                    let checked = check_content(sample, &files, &all)
                        .and_then(|()| check_all_copied(&report, &before, &files.files()));
                    checked.unwrap_or_else(|why| panic!("{damage:?} at call {call}: {why} after {again:#?}"));
                    killed += 1;
                }
            }
        }
    }
    println!("{killed} repairs were killed");
    assert!(killed > 100, "{killed}");
}

/// Whatever was taken out is in some copy, made by this run or that.
fn check_all_copied(report: &RepairReport, before: &Files, after: &Files) -> Outcome {
    let copies: Vec<_> =
        after.iter().filter(|(path, _)| path.starts_with(COPIES)).map(|(_, bytes)| bytes).collect();
    for repair in report.repairs.iter().filter(|repair| !repair.position.is_empty()) {
        let range =
            usize::try_from(repair.position.start).unwrap()..usize::try_from(repair.position.end).unwrap();
        let taken = &before[repair.path.to_str().unwrap()][range];
        if !copies.iter().any(|copy| ***copy == *taken) {
            return Err(format!("no copy of {repair:?}"));
        }
    }
    Ok(())
}

/// Behind a damaged batch nothing tells which offset comes next, and no checksum covers a base offset.
#[test]
fn a_wrong_base_offset_behind_a_damaged_batch_makes_no_record_far_ahead() {
    let sample = &samples()[1];
    let is_it = |path: &&String| path.ends_with("plain-0/00000000000000000018.log");
    let path = sample.image.files().keys().find(is_it).unwrap();
    let mut bytes = sample.image.files()[path].to_vec();
    let ends = batch_ends(&bytes);
    let begin_of = |offset: Offset| {
        let end = ends.iter().find(|(_, next)| *next == offset).unwrap().0;
        usize::try_from(end).unwrap()
    };
    // One that was synced, or there is nothing to repair; and the last but one.
    for offset in [20, 31] {
        bytes[begin_of(offset) + 70] ^= 1;
    }
    bytes[begin_of(32) + 4] ^= 1;
    assert_eq!(check(sample, &vec![(path.clone(), Some(bytes.into()))]).unwrap(), "repaired");
}

#[test]
fn copies_in_the_store_are_refused() {
    let files = MemoryFileSystem::over(&samples()[0].image);
    let refused = builder(&files, ReadMode::Mapped).repair("/store/plain-0/copies");
    assert!(matches!(refused, Err(annals::Error::InvalidArgument { .. })), "{refused:?}");
    assert!(files.touched().is_empty());
}

#[test]
fn a_directory_that_is_no_store_does_not_become_one_by_a_repair() {
    let dir = crate::common::fast_dir();
    let (photos, copies) = (dir.path().join("photos"), dir.path().join("copies"));
    std::fs::create_dir_all(photos.join("summer")).unwrap();
    std::fs::write(photos.join("index.txt"), "1 beach").unwrap();
    let refused = annals::Store::builder(&photos).repair(&copies);
    assert!(matches!(&refused, Err(annals::Error::InvalidArgument { .. })), "{refused:?}");
    let names = std::fs::read_dir(&photos).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.filter(|name| name != ".lock").collect();
    names.sort();
    assert_eq!(names, ["index.txt", "summer"]);
    assert!(!copies.exists());
}

/// A store in `path` whose first segment does not read.
fn damaged_store(path: &Path) {
    let store = Store::open(path).unwrap();
    let config = annals::TopicConfig::new().segment_bytes(500);
    let orders = store.create_topic("orders", config).unwrap();
    for number in 0..20_u8 {
        orders
            .partition(0)
            .unwrap()
            .append(&[annals::Record::new().value(&[number; 100])], annals::Durability::Disk)
            .unwrap();
    }
    store.close().unwrap();
    let file = path.join("orders-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[90] ^= 1;
    std::fs::write(&file, bytes).unwrap();
}

#[test]
fn a_repair_put_its_copies_into_the_store_by_a_link_or_two_dots_and_refused_a_place_outside() {
    let dir = crate::common::fast_dir();
    let at = |path: &str| dir.path().join(path);
    let names = || {
        let names = std::fs::read_dir(at("store")).unwrap().map(|entry| entry.unwrap().file_name());
        names.collect::<BTreeSet<_>>()
    };
    damaged_store(&at("store"));
    std::fs::create_dir(at("beside")).unwrap();
    std::os::unix::fs::symlink(at("store"), at("link")).unwrap();
    std::os::unix::fs::symlink(at("store/orders-0"), at("partition")).unwrap();
    let before = names();
    for (store, copies) in [
        ("store", "link/copies"),
        ("store", "link"),
        ("store", "partition"),
        ("store", "partition/copies"),
        ("store", "beside/../store/copies"),
        ("link", "store/copies"),
        ("beside/../store", "store/copies"),
        ("store", "missing/../store/copies"),
    ] {
        let refused = Store::builder(at(store)).repair(at(copies));
        assert!(matches!(&refused, Err(annals::Error::InvalidArgument { .. })), "{copies}: {refused:?}");
        assert_eq!(names(), before, "{copies}");
    }
    for copies in ["store/../copies", "store/orders-0/../../others"] {
        let report = Store::builder(at("store")).repair(at(copies)).unwrap();
        let copy = report.repairs[0].copy.as_ref().unwrap();
        assert!(copy.starts_with(dir.path()) && !copy.starts_with(at("store")), "{copies}: {copy:?}");
        std::fs::remove_dir_all(at("store")).unwrap();
        damaged_store(&at("store"));
    }
    // Where the store stands, the copy of the list of topics would lie in it.
    std::fs::write(at("store/annals.topics"), "").unwrap();
    let before = names();
    let refused = Store::builder(at("store")).repair(dir.path());
    assert!(matches!(&refused, Err(annals::Error::InvalidArgument { .. })), "{refused:?}");
    assert_eq!(names(), before);
}

#[test]
fn a_second_repair_made_the_indexes_that_the_first_had_left_stale() {
    let dir = crate::common::fast_dir();
    let at = |path: &str| dir.path().join(path);
    // A batch that is gone, one whose base offset is put right, and a state file that is made anew.
    for (file, byte) in
        [("00000000000000000000.log", 90), ("00000000000000000000.log", 7), ("annals.state", 1540)]
    {
        damaged_store(&at("store"));
        let log = at("store/orders-0/00000000000000000000.log");
        let mut bytes = std::fs::read(&log).unwrap();
        bytes[90] ^= 1;
        std::fs::write(&log, bytes).unwrap();
        let path = at("store/orders-0").join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[byte] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let first = Store::builder(at("store")).repair(at("copies")).unwrap();
        assert!(!first.repairs.is_empty(), "{file} at {byte}");
        let found = Store::verify(at("store")).unwrap();
        assert!(
            found.is_sound() && found.stale_indexes.is_empty(),
            "{file} at {byte}: {found:?} after {first:?}"
        );
        let second = Store::builder(at("store")).repair(at("copies")).unwrap();
        assert!(second.is_unchanged(), "{file} at {byte}: {second:?} after {first:?}");
        std::fs::remove_dir_all(at("store")).unwrap();
    }
}
