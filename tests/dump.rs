//! `annals::dump` shows every byte of a segment's files as what it is.
#![expect(clippy::disallowed_methods, reason = "the test makes and damages files behind the library's back")]

use std::fs;
use std::path::Path;

use annals::dump::{BatchDump, SegmentDump, Stretch};
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
