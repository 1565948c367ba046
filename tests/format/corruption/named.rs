//! What the sweep has found, and what must be told apart, each by its name.
#![expect(clippy::disallowed_methods, reason = "files are damaged from outside")]

use annals::{Error, Offset, ReadMode, Record, Store};

use crate::common::batch_ends;
use crate::corruption::stores::{Sample, builder, samples};
use annals_testing::{Image, MemoryFileSystem};

const PLAIN: &str = "/store/plain-0";

fn closed() -> &'static Sample {
    &samples()[0]
}

fn killed() -> &'static Sample {
    &samples()[1]
}

/// The store with one file edited.
fn edited(sample: &Sample, path: &str, edit: impl FnOnce(&mut Vec<u8>)) -> MemoryFileSystem {
    let mut bytes = sample.image.files()[path].to_vec();
    edit(&mut bytes);
    MemoryFileSystem::with(&sample.image, &[(path.to_owned(), Some(bytes.into()))])
}

/// The error that reading a partition ends with.
fn reading_ends_with(files: &MemoryFileSystem, topic: &str) -> Option<Error> {
    let store = builder(files, ReadMode::Mapped).open().unwrap();
    let read = store.topic(topic).unwrap().partition(0).unwrap().read(..).unwrap();
    let error = read.into_iter().find_map(Result::err);
    close_without_a_change(files, store);
    error
}

fn close_without_a_change(files: &MemoryFileSystem, store: Store) {
    files.freeze();
    drop(store);
}

/// A file of the killed store that was appended to, with a durable mark in the middle of it.
struct Active {
    topic: &'static str,
    path: String,
    durable: Offset,
    /// Where the mark is, and where its last batch ends.
    position: usize,
    end: usize,
}

fn active() -> Active {
    for topic in killed().content.topics.iter().filter(|topic| !topic.name.starts_with('_')) {
        let partition = &topic.partitions[0];
        let is_its =
            |path: &str| path.starts_with(&format!("{}/", partition.directory)) && path.ends_with(".log");
        let (path, bytes) = killed().image.files().iter().rfind(|(path, _)| is_its(path)).unwrap();
        let ends = batch_ends(bytes);
        let mark = ends.iter().find(|(_, next)| *next == partition.durable);
        if let (Some((position, durable)), Some((end, _))) = (mark, ends.last())
            && end > position
        {
            let at = |position: &u64| usize::try_from(*position).unwrap();
            let (position, end) = (at(position), at(end));
            return Active { topic: &topic.name, path: path.clone(), durable: *durable, position, end };
        }
    }
    panic!("no mark is in the middle of a file");
}

#[test]
fn a_torn_tail_above_the_mark_is_cut_without_help_and_told() {
    let Active { topic, path, durable, position, end } = active();
    let files = edited(killed(), &path, |bytes| bytes[end - 3] ^= 1);
    let store = builder(&files, ReadMode::Mapped).open().unwrap();
    let report = store.recovery().iter().find(|report| report.topic_partition == (topic, 0).into()).unwrap();
    let torn = report.torn.as_ref().unwrap();
    assert_eq!(torn.path.to_str(), Some(&*path));
    assert!(torn.position >= position as u64 && report.end >= durable);
    let partition = store.topic(topic).unwrap().partition(0).unwrap();
    let added =
        partition.append(&[Record::new().key("k").value("behind")], annals::Durability::Disk).unwrap();
    assert_eq!(added.first_offset, report.end);
    store.close().unwrap();
    let sound = builder(&files, ReadMode::Mapped).verify(|_| std::ops::ControlFlow::Continue(())).unwrap();
    assert!(sound.is_sound() && sound.torn.is_empty(), "{sound:?}");
}

#[test]
fn a_flipped_bit_below_the_mark_is_told_and_nothing_is_cut() {
    let Active { path, durable, position, .. } = active();
    for at in [0, 70, position - 1] {
        let files = edited(killed(), &path, |bytes| bytes[at] ^= 1);
        let store = builder(&files, ReadMode::Mapped).open().unwrap();
        let topic = path.rsplit('/').nth(1).unwrap().rsplit_once('-').unwrap().0;
        match store.topic(topic) {
            Err(Error::Corrupt { path: told, position, offset, .. }) => {
                assert_eq!(told.to_str(), Some(&*path));
                assert!(position <= at as u64 && offset.is_some_and(|offset| offset < durable));
            }
            other => panic!("byte {at}: {other:?}"),
        }
        files.freeze();
        drop(store);
        assert!(files.touched().is_empty(), "{:?}", files.touched());
    }
}

#[test]
fn a_flipped_base_offset_does_not_end_the_log_early() {
    let log = format!("{PLAIN}/00000000000000000000.log");
    for at in 0..8 {
        let files = edited(closed(), &log, |bytes| bytes[at] ^= 0x20);
        assert!(reading_ends_with(&files, "plain").is_some_and(|error| error.is_corruption()), "byte {at}");
    }
}

#[test]
fn a_flipped_base_offset_misleads_no_reader_whom_an_index_sends_there() {
    let content = &closed().content.topics.iter().find(|topic| topic.name == "plain").unwrap().partitions[0];
    let logs = closed().image.files().iter();
    for (path, bytes) in logs.filter(|(path, _)| path.starts_with(PLAIN) && path.ends_with(".log")) {
        let ends = batch_ends(bytes);
        let starts = [0].into_iter().chain(ends.iter().map(|(end, _)| usize::try_from(*end).unwrap()));
        for (start, bit) in starts.take(ends.len()).flat_map(|start| (0..6).map(move |bit| (start, bit))) {
            let files = edited(closed(), path, |bytes| bytes[start + 7] ^= 1 << bit);
            let store = builder(&files, ReadMode::Mapped).open().unwrap();
            let partition = store.topic("plain").unwrap().partition(0).unwrap();
            for expected in &content.records {
                match partition.read_from(expected.offset).unwrap().into_iter().next() {
                    Some(Ok(record)) => assert_eq!(&record, expected, "{path} {start} {bit}"),
                    Some(Err(error)) => assert!(error.is_corruption(), "{error}"),
                    None => panic!("{path} {start} {bit}: no record at {}", expected.offset),
                }
            }
            close_without_a_change(&files, store);
        }
    }
}

#[test]
fn a_flipped_control_bit_or_record_count_hides_no_batch() {
    let log = format!("{PLAIN}/00000000000000000000.log");
    // The attributes say that it is for brokers; the count that nothing is in it; the delta that it ends elsewhere.
    for (at, bit) in [(22, 0x20), (60, 1), (26, 0x40), (23, 0x40)] {
        let files = edited(closed(), &log, |bytes| bytes[at] ^= bit);
        assert!(reading_ends_with(&files, "plain").is_some_and(|error| error.is_corruption()), "byte {at}");
    }
}

#[test]
fn a_flipped_largest_time_hides_no_record_from_a_look_up() {
    let log = format!("{PLAIN}/00000000000000000000.log");
    let files = edited(closed(), &log, |bytes| bytes[35] ^= 0x80);
    let store = builder(&files, ReadMode::Mapped).open().unwrap();
    let found = store.topic("plain").unwrap().partition(0).unwrap().offset_for_time(0);
    assert!(found.as_ref().is_err_and(Error::is_corruption), "{found:?}");
    close_without_a_change(&files, store);
}

#[test]
fn an_earlier_list_of_topics_destroys_no_topic_that_it_lacks() {
    for sample in samples() {
        let text = String::from_utf8(sample.image.files()["/store/annals.topics"].to_vec()).unwrap();
        let kept = text.lines().filter(|line| !line.contains(" late ") && !line.starts_with("crc32"));
        let text: String = kept.map(|line| format!("{line}\n")).collect();
        let list = format!("{text}crc32 {:08x}\n", crc32(text.as_bytes()));
        let files = MemoryFileSystem::with(
            &sample.image,
            &[("/store/annals.topics".to_owned(), Some(list.into_bytes().into()))],
        );
        let store = builder(&files, ReadMode::Mapped).open().unwrap();
        let refused = store.topic("late").map(drop);
        assert!(refused.as_ref().is_err_and(Error::is_corruption), "{refused:?}");
        let refused = store.create_topic("late", annals::TopicConfig::new()).map(drop);
        assert!(refused.as_ref().is_err_and(Error::is_corruption), "{refused:?}");
        store.close().unwrap();
        let touched = files.touched();
        assert!(!touched.iter().any(|path| path.contains("late-0")), "{touched:?}");
        // Asked for, it lists the topic again.
        builder(&files, ReadMode::Mapped).repair("/taken-out").unwrap();
        let store = builder(&files, ReadMode::Mapped).open().unwrap();
        assert_eq!(
            store.topic("late").unwrap().partition(0).unwrap().read(..).unwrap().into_iter().count(),
            6
        );
        close_without_a_change(&files, store);
    }
}

#[test]
fn a_topic_that_was_deleted_is_cleared_away_after_a_kill() {
    let files = MemoryFileSystem::over(&closed().image);
    let store = builder(&files, ReadMode::Mapped).open().unwrap();
    let before = files.calls();
    store.delete_topic("late").unwrap();
    let calls = files.calls() - before;
    close_without_a_change(&files, store);
    for call in 0..calls {
        let files = MemoryFileSystem::over(&closed().image);
        let store = builder(&files, ReadMode::Mapped).open().unwrap();
        files.stop_after(files.calls() + call);
        drop(store.delete_topic("late"));
        close_without_a_change(&files, store);
        let left = MemoryFileSystem::over(&Image::new(files.files()));
        let store = builder(&left, ReadMode::Mapped).open().unwrap();
        // An empty directory says of no topic: whoever creates one of the name takes it.
        let is_of_it = |path: &String| path.starts_with("/store/late-0/") && !path.ends_with('/');
        let is_there = left.files().keys().any(is_of_it);
        assert_eq!(store.topic("late").is_ok(), is_there, "call {call}");
        close_without_a_change(&left, store);
    }
}

/// CRC-32 as gzip has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// Stores of several segments, of which the first grows by what is no part of the log.
fn grown(codec: annals::Codec, tail: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = crate::common::fast_dir();
    let path = dir.path().join("store");
    let store = Store::open(&path).unwrap();
    let config = annals::TopicConfig::new().segment_bytes(2000).compression_type(codec);
    store.create_topic("t", config).unwrap();
    for number in 0..100 {
        store.producer().send(Record::to("t").key("k").value(&format!("record {number}"))).unwrap();
    }
    store.close().unwrap();
    let file = path.join("t-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend(tail);
    std::fs::write(&file, bytes).unwrap();
    (dir, path)
}

#[test]
fn bytes_after_the_end_of_a_sealed_segment_are_reported_taken_out_and_in_no_readers_way() {
    let (sound, path) = grown(annals::Codec::None, &[]);
    let batches = std::fs::read(path.join("t-0/00000000000000000000.log")).unwrap();
    drop(sound);
    for codec in [annals::Codec::None, annals::Codec::Zstd] {
        for tail in [&[7][..], &[0; 1], &[7; 100], &[0; 100], &[0; 4096], &batches[..]] {
            let (dir, path) = grown(codec, tail);
            let found = Store::verify(&path).unwrap();
            let [damage] = &found.findings[..] else { panic!("{:?}", found.findings) };
            let sealed = damage.position;
            let file = path.join("t-0/00000000000000000000.log");
            assert_eq!(damage.path, file);
            assert_eq!(std::fs::metadata(&file).unwrap().len(), sealed + tail.len() as u64);
            assert!(damage.reason.starts_with(&format!("{} bytes follow", tail.len())), "{damage}");
            for mode in [ReadMode::Mapped, ReadMode::Positional] {
                let store = Store::builder(&path).read_mode(mode).open().unwrap();
                let partition = store.topic("t").unwrap().partition(0).unwrap();
                let read = partition.read(..).unwrap().into_iter().map(|record| record.unwrap().offset);
                assert!(read.eq(0..100), "{mode:?}");
                assert!(partition.get(0).unwrap().is_some());
                assert!(partition.offset_for_time(0).unwrap().is_some());
                store.close().unwrap();
            }
            let copies = dir.path().join("copies");
            let report = Store::builder(&path).repair(&copies).unwrap();
            let [repair] = &report.repairs[..] else { panic!("{:?}", report.repairs) };
            assert_eq!(repair.position, sealed..sealed + tail.len() as u64);
            assert!(repair.lost.is_empty(), "{repair}");
            assert_eq!(std::fs::read(repair.copy.as_ref().unwrap()).unwrap(), tail);
            assert!(Store::verify(&path).unwrap().is_sound());
            assert_eq!(std::fs::metadata(&file).unwrap().len(), sealed);
            let store = Store::open(&path).unwrap();
            let partition = store.topic("t").unwrap().partition(0).unwrap();
            assert_eq!(partition.read(..).unwrap().into_iter().filter_map(Result::ok).count(), 100);
            assert_eq!(partition.end(), 100);
        }
    }
}
