//! One record by its offset.

use super::compaction::{now_config, put};
use super::place::Place;
use super::*;
use crate::error::Error;
use crate::format::Compression;

fn value(log: &Arc<Log>, offset: Offset) -> Option<Vec<u8>> {
    log.get(offset, |record| record.value.unwrap().to_vec()).unwrap()
}

fn is_out_of_range(log: &Arc<Log>, offset: Offset) -> bool {
    let range = log.start()..log.end();
    matches!(
        log.get(offset, |_| ()),
        Err(Error::OffsetOutOfRange { requested, start, end, .. }) if requested == offset && (start..end) == range
    )
}

#[test]
fn every_record_is_there_whatever_it_is_stored_in() {
    for (mode, codec) in [ReadMode::Mapped, ReadMode::Positional]
        .into_iter()
        .flat_map(|mode| [Codec::None, Codec::Lz4].map(|codec| (mode, codec)))
    {
        let place = Place::new(mode);
        let log = place.open();
        log.set_config(LogConfig { compression: Compression::of(codec), ..config(500) });
        append(&log, 0..30, Durability::Os);
        let values: Vec<_> = (30..60).map(|n| format!("value {n}")).collect();
        let records: Vec<_> = values.iter().map(|value| Record::new().value(value)).collect();
        for batch in records.chunks(6) {
            log.append(batch, &how(Durability::Os)).unwrap();
        }
        assert!(place.logs().len() > 3);
        let all: Vec<_> = (0..60).map(|offset| (offset, value(&log, offset).unwrap())).collect();
        assert_eq!(all, expected(0..60), "{codec:?}");
        // Batches of one record are not worth compressing; what is not compressed needs no reader.
        let is_quick: Vec<_> = (0..60).map(|offset| log.uncompressed_batch(offset).is_some()).collect();
        assert!(is_quick[..30].iter().all(|quick| *quick));
        assert!(is_quick[30..].iter().all(|quick| *quick == (codec == Codec::None)), "{codec:?}");
        log.close().unwrap();
        let log = place.open();
        let all: Vec<_> = (0..60).map(|offset| (offset, value(&log, offset).unwrap())).collect();
        assert_eq!(all, expected(0..60), "{codec:?}");
    }
}

#[test]
fn a_record_that_waits_in_memory_is_written_for_who_asks() {
    let place = Place::new(ReadMode::Positional);
    let log = place.open();
    append(&log, 0..3, Durability::Memory);
    assert_eq!((log.end(), log.next_offset()), (0, 3), "they linger");
    assert_eq!(value(&log, 1).unwrap(), b"value 1");
    assert_eq!(log.end(), 3);
}

#[test]
fn an_offset_below_the_start_or_at_the_end_is_out_of_range() {
    let place = Place::new(ReadMode::Positional);
    let log = place.open();
    assert!(is_out_of_range(&log, 0));
    append(&log, 0..20, Durability::Os);
    assert!(is_out_of_range(&log, 20) && is_out_of_range(&log, -1));
    log.delete_records(7).unwrap();
    assert!(is_out_of_range(&log, 6));
    assert_eq!(value(&log, 7).unwrap(), b"value 7");
}

#[test]
fn a_record_that_was_compacted_away_is_none_and_no_neighbour_of_it() {
    let place = Place::new(ReadMode::Positional);
    let log = place.open();
    for n in 0..40 {
        put(&log, &[(&format!("key {}", n % 4), &format!("value {n}"))]);
    }
    log.compact(&|| Some(now_config(&place))).unwrap();
    let found: Vec<_> = (0..40).map(|offset| value(&log, offset)).collect();
    for (n, found) in found.into_iter().enumerate() {
        let expected = (n >= 36).then(|| format!("value {n}").into_bytes());
        assert_eq!(found, expected, "offset {n}");
    }
}
