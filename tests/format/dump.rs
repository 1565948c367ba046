//! `annals::dump` shows every byte of a segment's files as what it is.
#![expect(clippy::disallowed_methods, reason = "the test makes and damages files behind the library's back")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use annals::dump::{BatchDump, SegmentDump, SnapshotDump, Stretch};
use annals::{Codec, Durability, Error, Record, Store, TopicConfig};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Two records, (283843, key1 -> value1) and (1234, key2 -> value2), as Kafka's own builder encodes them, with the leader
/// epoch 0 that its broker writes.
const TWO_RECORDS: &str = "0000000000000000 00000055 00000000 02 e58cf1ff 0000 00000001 \
    00000000000454c3 00000000000454c3 ffffffffffffffff ffff ffffffff 00000002 \
    20 00 00 00 08 6b657931 0c 76616c756531 00 \
    24 00 e1bf22 02 08 6b657932 0c 76616c756532 00";

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).filter_map(byte).collect()
}

fn batches(segment: &SegmentDump) -> Outcome<Vec<BatchDump>> {
    let mut batches = Vec::new();
    for stretch in segment.stretches() {
        match stretch? {
            Stretch::Batch(batch) => batches.push(*batch),
            other => return Err(format!("{other:?}").into()),
        }
    }
    Ok(batches)
}

/// Ten segments or so, closed.
fn filled(dir: &Path, codec: Codec) -> Outcome {
    let store = Store::open(dir)?;
    let config = TopicConfig::new().compression_type(codec).segment_bytes(4096).index_interval_bytes(256);
    let partition = store.create_topic("orders", config)?.partition(0)?;
    for number in 0..200_i64 {
        let value = format!("{number} apples and as many pears");
        let record = Record::new().key("alice").value(&value).header("n", "1").timestamp(1000 + number % 7);
        partition.append(&[record.clone(), record], Durability::Os)?;
    }
    Ok(store.close()?)
}

#[test]
fn kafkas_own_bytes_are_shown_as_what_they_are() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("00000000000000000000.log");
    let bytes = bytes_of(TWO_RECORDS);
    assert_eq!(bytes.len(), 97);
    fs::write(&path, &bytes)?;
    let segment = SegmentDump::open(&path)?;
    let batches = batches(&segment)?;
    let [batch] = batches.as_slice() else { panic!("{batches:?}") };
    assert_eq!((batch.position, batch.bytes, batch.base_offset, batch.last_offset), (0, 97, 0, 1));
    assert_eq!((batch.crc, batch.crc_fits, batch.leader_epoch), (0xe58c_f1ff, true, 0));
    let records = batch.records()?;
    let seen: Vec<_> = records.iter().map(|record| (record.offset, record.timestamp)).collect();
    assert_eq!(seen, [(0, 283_843), (1, 1234)]);
    assert_eq!(records[1].value.as_deref(), Some(&b"value2"[..]));
    assert!(segment.offset_index()?.is_none());
    Ok(())
}

#[test]
fn every_record_and_every_index_entry_of_a_store_fits() -> Outcome {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let dir = tempfile::tempdir()?;
        filled(dir.path(), codec)?;
        let segments = SegmentDump::in_directory(dir.path().join("orders-0"))?;
        assert!(segments.len() > 3, "{}", segments.len());
        let (mut next, mut entries) = (0, 0);
        for segment in &segments {
            for batch in batches(segment)? {
                assert!(batch.crc_fits);
                for record in batch.records()? {
                    assert_eq!(record.offset, next);
                    next += 1;
                }
            }
            let (offsets, times) = (segment.offset_index()?.unwrap(), segment.time_index()?.unwrap());
            assert_eq!((offsets.trailing_bytes, times.trailing_bytes), (0, 0));
            assert!(offsets.entries.iter().all(|entry| entry.misfit.is_none()), "{offsets:?}");
            assert!(times.entries.iter().all(|entry| entry.misfit.is_none()), "{times:?}");
            entries += offsets.entries.len();
        }
        assert_eq!(next, 400);
        assert!(entries > 10);
    }
    Ok(())
}

#[test]
fn a_store_that_is_open_elsewhere_is_shown_with_the_space_allocated_ahead() -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    let partition = store.create_topic("orders", TopicConfig::new())?.partition(0)?;
    partition.append(&[Record::new().value("2 apples")], Durability::Os)?;
    let segments = SegmentDump::in_directory(dir.path().join("orders-0"))?;
    let stretches = segments[0].stretches().collect::<Result<Vec<_>, _>>()?;
    match stretches.as_slice() {
        [Stretch::Batch(batch), Stretch::Zeros { position, bytes }] => {
            assert_eq!(*position, batch.bytes);
            assert_eq!(position + bytes, segments[0].bytes());
        }
        other => panic!("{other:?}"),
    }
    Ok(())
}

#[test]
fn damage_is_named_and_the_rest_is_shown() -> Outcome {
    let dir = tempfile::tempdir()?;
    filled(dir.path(), Codec::None)?;
    let path = dir.path().join("orders-0/00000000000000000000.log");
    let mut bytes = fs::read(&path)?;
    let len = bytes.len();
    bytes[80] ^= 1;
    bytes.truncate(len - 1);
    fs::write(&path, &bytes)?;
    let segment = SegmentDump::open(&path)?;
    let stretches = segment.stretches().collect::<Result<Vec<_>, _>>()?;
    assert!(matches!(&stretches[0], Stretch::Batch(batch) if !batch.crc_fits));
    assert!(matches!(&stretches[1], Stretch::Batch(batch) if batch.crc_fits));
    match stretches.last() {
        Some(Stretch::Unreadable { position, bytes, reason }) => {
            assert_eq!(position + bytes, segment.bytes());
            assert!(reason.contains("bytes are needed"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    Ok(())
}

#[test]
fn index_entries_that_do_not_fit_are_named() -> Outcome {
    let dir = tempfile::tempdir()?;
    filled(dir.path(), Codec::None)?;
    let log = dir.path().join("orders-0/00000000000000000000.log");
    let mut bytes = fs::read(log.with_extension("index"))?;
    bytes[7] ^= 1; // the first entry's position
    bytes[11] ^= 2; // the second one's offset
    bytes.extend([0; 9]); // a zero entry and a byte: what an index that was never cut ends with
    fs::write(log.with_extension("index"), &bytes)?;
    let mut bytes = fs::read(log.with_extension("timeindex"))?;
    bytes[7] ^= 1;
    fs::write(log.with_extension("timeindex"), &bytes)?;
    let segment = SegmentDump::open(&log)?;
    let index = segment.offset_index()?.unwrap();
    let misfits: Vec<_> = index.entries.iter().map(|entry| entry.misfit.is_some()).collect();
    assert_eq!(misfits[..3], [true, true, false]);
    assert_eq!((misfits.last(), index.trailing_bytes), (Some(&true), 1));
    assert!(segment.time_index()?.unwrap().entries[0].misfit.is_some());
    Ok(())
}

#[test]
fn other_names_are_refused() {
    for name in ["orders.log", "00000000000000000000.index", "7.log"] {
        assert!(matches!(SegmentDump::open(name), Err(Error::InvalidArgument { .. })), "{name}");
    }
    assert!(matches!(SegmentDump::open("/nowhere/00000000000000000000.log"), Err(Error::Io { .. })));
}

#[test]
fn zeros_that_a_broker_allocated_ahead_in_an_index_are_no_misfits() -> Outcome {
    let dir = tempfile::tempdir()?;
    filled(dir.path(), Codec::None)?;
    let path = dir.path().join("orders-0/00000000000000000000.log");
    let before = SegmentDump::open(&path)?;
    let (offsets, times) = (before.offset_index()?.ok_or("none")?, before.time_index()?.ok_or("none")?);
    for (extension, len) in [("index", 8), ("timeindex", 12)] {
        let name = path.with_extension(extension);
        let mut bytes = fs::read(&name)?;
        bytes.resize(bytes.len() + 1000 * len, 0);
        fs::write(&name, bytes)?;
    }
    let padded = SegmentDump::open(&path)?;
    let (more_offsets, more_times) =
        (padded.offset_index()?.ok_or("none")?, padded.time_index()?.ok_or("none")?);
    assert_eq!((&more_offsets.entries, &more_times.entries), (&offsets.entries, &times.entries));
    assert_eq!((more_offsets.padding_bytes, more_times.padding_bytes), (8000, 12_000));
    assert_eq!((more_offsets.trailing_bytes, more_times.trailing_bytes), (0, 0));
    assert!(offsets.entries.iter().all(|entry| entry.misfit.is_none()));
    assert!(times.entries.iter().all(|entry| entry.misfit.is_none()));
    Ok(())
}

#[test]
fn a_walk_goes_on_where_an_earlier_one_ended() -> Outcome {
    let dir = tempfile::tempdir()?;
    filled(dir.path(), Codec::None)?;
    let segment = SegmentDump::open(dir.path().join("orders-0/00000000000000000000.log"))?;
    let all = batches(&segment)?;
    for (number, batch) in all.iter().enumerate() {
        let rest: Vec<_> = segment.stretches_from(batch.position).collect::<Result<_, _>>()?;
        assert_eq!(rest.len(), all.len() - number);
        assert!(matches!(&rest[0], Stretch::Batch(first) if first.base_offset == batch.base_offset));
    }
    assert_eq!(segment.stretches_from(segment.bytes()).count(), 0);
    Ok(())
}

/// What the records of a partition say, with their offsets.
fn words(partition: &Path) -> Outcome<Vec<(i64, Option<String>)>> {
    let mut words = Vec::new();
    for segment in SegmentDump::in_directory(partition)? {
        for batch in batches(&segment)? {
            words.extend(batch.records()?.into_iter().map(|record| (record.offset, record.words)));
        }
    }
    Ok(words)
}

#[test]
fn markers_decisions_and_committed_offsets_are_shown_in_words() -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    for topic in ["orders", "invoices"] {
        store.create_topic(topic, TopicConfig::new())?;
    }
    store.producer().send(Record::to("orders").value("2 apples"))?;
    let mut billing = store.consumer("billing")?;
    billing.subscribe(["orders"])?;
    billing.poll(std::time::Duration::from_secs(5))?;
    let mut aborted = store.transaction_builder("first").buffer_bytes(0).begin()?;
    aborted.send(Record::to("invoices").value("wrong"))?;
    aborted.abort()?;
    let mut tx = store.transaction_builder("second").durability(Durability::Disk).begin()?;
    tx.send(Record::to("invoices").value("12.50"))?;
    tx.commit_offsets(&billing)?;
    tx.commit()?;
    drop(billing);
    store.close()?;

    let invoices = words(&dir.path().join("invoices-0"))?;
    let [(0, None), (1, Some(abort)), (2, None), (3, Some(commit))] = invoices.as_slice() else {
        panic!("{invoices:?}")
    };
    assert!(abort.starts_with("abort of producer ") && abort.ends_with(", coordinator epoch 0"), "{abort}");
    assert!(commit.starts_with("commit of producer ") && commit.contains(", epoch 1, "), "{commit}");

    let offsets = words(&dir.path().join("__consumer_offsets-0"))?;
    let read = |(_, words): &(i64, Option<String>)| {
        words.as_ref().is_some_and(|words| words.starts_with("group billing has read orders-0 up to 1, "))
    };
    assert!(offsets.iter().any(read), "{offsets:?}");
    let decisions = words(&dir.path().join("__transaction_state-0"))?;
    let decided = |(_, words): &(i64, Option<String>)| {
        words.as_ref().is_some_and(|words| {
            words.starts_with("name second, PrepareCommit, producer ")
                && words.contains(", in invoices-0")
                && words.contains(", ends in partition 0 of topic ")
                && words.contains(", has read partition 0 of topic ")
        })
    };
    assert!(decisions.iter().any(decided), "{decisions:?}");
    Ok(())
}

#[test]
fn what_is_noted_of_producers_and_aborted_transactions_is_shown() -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    store.create_topic("orders", TopicConfig::new())?;
    let mut aborted = store.transaction_builder("shop").buffer_bytes(0).begin()?;
    aborted.send(Record::to("orders").value("2 apples"))?;
    aborted.send(Record::to("orders").value("3 apples"))?;
    aborted.abort()?;
    store.close()?;
    let partition = dir.path().join("orders-0");
    let segments = SegmentDump::in_directory(&partition)?;
    let index = segments[0].transaction_index()?.ok_or("no index")?;
    let [entry] = index.entries.as_slice() else { panic!("{index:?}") };
    assert_eq!((entry.first_offset, entry.last_offset, entry.last_stable_offset), (0, 2, 3));
    let snapshots = SnapshotDump::in_directory(&partition)?;
    let [first, snapshot] = snapshots.as_slice() else { panic!("{snapshots:?}") };
    // The first is of the empty log: made before the first batch of somebody with an id.
    assert_eq!((first.offset, first.producers.len(), &first.unreadable), (0, 0, &None));
    let [producer] = snapshot.producers.as_slice() else { panic!("{snapshot:?}") };
    assert_eq!((snapshot.offset, &snapshot.unreadable, producer.open_since), (3, &None, None));
    assert_eq!(producer.producer_id, entry.producer_id);

    let mut bytes = fs::read(&snapshot.path)?;
    *bytes.last_mut().ok_or("empty")? ^= 1;
    fs::write(&snapshot.path, bytes)?;
    let damaged = SnapshotDump::in_directory(&partition)?;
    assert!(damaged[1].unreadable.is_some() && damaged[1].producers.is_empty(), "{damaged:?}");
    fs::write(partition.join("00000000000000000000.txnindex"), b"part")?;
    let index = segments[0].transaction_index()?.ok_or("no index")?;
    assert!(index.unreadable.is_some() && index.entries.is_empty(), "{index:?}");
    Ok(())
}

/// The answer was the system's alone, without what was asked for.
#[test]
fn a_directory_or_a_file_that_is_not_there_is_named_with_what_to_give() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (missing, file) = (dir.path().join("orders-0"), dir.path().join("00000000000000000000.log"));
    let says = |error: Option<Error>, path: &Path, why: &str| {
        let said = error.unwrap().to_string();
        assert!(said.contains(&path.display().to_string()) && said.contains(why), "{said}");
    };
    says(SegmentDump::in_directory(&missing).err(), &missing, "no such directory: give that of a partition");
    says(SnapshotDump::in_directory(&missing).err(), &missing, "no such directory: give that of a partition");
    says(SegmentDump::open(&file).err(), &file, "no such file: give a .log");
    fs::write(&file, [])?;
    says(SegmentDump::in_directory(&file).err(), &file, "no directory: give that of a partition");
    Ok(())
}

/// A store that is open removes its oldest segments between the list of names and the look at each.
#[test]
fn a_segment_that_was_removed_meanwhile_ended_the_look_at_all_others() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = |base: u32| dir.path().join(format!("{base:020}.log"));
    for _ in 0..100 {
        (0..100).try_for_each(|base| fs::write(path(base), []))?;
        std::thread::scope(|scope| {
            scope.spawn(|| (1..100).rev().for_each(|base| fs::remove_file(path(base)).unwrap()));
            let found = SegmentDump::in_directory(dir.path()).map(|segments| segments.len());
            assert!(found.as_ref().is_ok_and(|found| (1..=100).contains(found)), "{found:?}");
        });
    }
    Ok(())
}

/// Queues, ids and what is sent for later: none of it is only hexadecimal.
#[test]
fn what_queues_ids_and_schedules_keep_is_shown_in_words() -> Outcome {
    let (dir, day) = (tempfile::tempdir()?, Duration::from_secs(86_400));
    let store = Store::open(dir.path())?;
    store.create_topic("mails", TopicConfig::new())?;
    for value in ["to alice", "to bob"] {
        store.producer().send(Record::to("mails").value(value))?;
    }
    let mut worker = store.queue("mails", "postman")?;
    let mut taken = worker.take(2, Duration::from_secs(5))?.into_iter();
    taken.next().unwrap().ack()?;
    taken.next().unwrap().reject("no such address")?;
    drop(worker);
    store.schedule().deliver_after(Record::to("mails").key("carol").value("later"), day)?;
    store
        .enqueuer_builder("mails")
        .unique_within(day, 1000)
        .build()?
        .send_once("mail-1", Record::new().value("once"))?;
    store.close()?;

    let said = |topic: &str| -> Outcome<Vec<String>> {
        let mut said = Vec::new();
        for entry in fs::read_dir(dir.path())? {
            let path = entry?.path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.rsplit_once('-').is_some_and(|(name, _)| name == topic) {
                for (_, words) in words(&path)? {
                    said.push(words.ok_or("a record of which nothing is said")?);
                }
            }
        }
        assert!(said.iter().all(|words| !words.starts_with("not understood")), "{said:?}");
        Ok(said)
    };
    let has = |said: &[String], begin: &str, end: &str| {
        assert!(
            said.iter().any(|words| words.starts_with(begin) && words.contains(end)),
            "{begin} {end}: {said:?}"
        );
    };
    let queues = said("__share_group_state")?;
    has(&queues, "queue of group postman, partition 0 of topic ", ": snapshot ");
    has(&queues, "queue of group postman, partition 0 of topic ", " given up");
    has(&queues, "dead letters that group postman has of mails, ", ": snapshot ");
    let ids = said("__message_ids")?;
    has(&ids, "ids sent to topic ", ": number ");
    has(&ids, "ids sent to topic ", ": known for 86400000 ms, 1000 of them, in ");
    has(&said("__delayed_messages")?, "to be delivered to mails-0 at ", ", topic id ");
    Ok(())
}

/// The store has gone on to the next segment before the index of this one is looked at.
#[test]
fn entries_of_what_was_written_since_the_look_began_were_misfits() -> Outcome {
    let dir = tempfile::tempdir()?;
    filled(dir.path(), Codec::None)?;
    let orders = dir.path().join("orders-0");
    let path = orders.join("00000000000000000000.log");
    let all = fs::read(&path)?;
    fs::write(&path, &all[..all.len() / 2])?;
    let segment = SegmentDump::open(&path)?;
    fs::write(&path, &all)?;
    let (offsets, times) = (segment.offset_index()?.unwrap(), segment.time_index()?.unwrap());
    assert!(offsets.entries.len() > 2 && segment.bytes() < all.len() as u64);
    assert!(offsets.entries.iter().all(|entry| entry.misfit.is_none()), "{offsets:?}");
    assert!(times.entries.iter().all(|entry| entry.misfit.is_none()), "{times:?}");
    Ok(())
}
