//! One record of a batch, by its offset.

use super::record::RawRecord;
use super::short_varint::ShortVarints;
use super::{BatchHeader, Malformed, RecordIter};
use crate::types::Offset;

/// The record of `offset`, `None` when the batch has none; `records` are the batch's bytes after its header, uncompressed.
///
/// Of the records in front of it nothing but the length is looked at where that is enough, and nothing of those after it.
pub(crate) fn record_at<'a>(
    header: &BatchHeader,
    records: &'a [u8],
    offset: Offset,
) -> Result<Option<RawRecord<'a>>, Malformed> {
    if let Some(record) = nth(header, records, offset) {
        return Ok(Some(record));
    }
    let mut walk = RecordIter::new(header, records);
    walk.skip_below(offset)?;
    let record = walk.next_record().transpose()?;
    Ok(record.filter(|record| record.offset == offset))
}

/// The same for a batch that has a record for each of its offsets, as nearly all have. What is there must say itself that it
/// has the offset.
fn nth<'a>(header: &BatchHeader, records: &'a [u8], offset: Offset) -> Option<RawRecord<'a>> {
    let before = i32::try_from(offset.checked_sub(header.base_offset)?).ok()?;
    if before < 0 || header.last_offset_delta.checked_add(1)? != header.record_count {
        return None;
    }
    let position = behind(records, before)?;
    let mut walk = RecordIter::resume(header, records, position, header.record_count.checked_sub(before)?);
    walk.next_record()?.ok().filter(|record| record.offset == offset)
}

/// The position after the first `count` records, by what they say of their lengths.
fn behind(records: &[u8], count: i32) -> Option<usize> {
    let mut at = 0_usize;
    for _ in 0..count {
        let mut varints = ShortVarints::at(records, at)?;
        let len = usize::try_from(varints.take()? >> 1).ok()?;
        at = at.checked_add(varints.taken()?)?.checked_add(len)?;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{BatchBuilder, Compression, Compressor, NewRecord, Seal, TimestampType};

    /// Records with values of many lengths, from offset 1000 on, and their header.
    fn batch() -> (BatchHeader, Vec<u8>) {
        let value = vec![b'x'; 20_000];
        let mut builder = BatchBuilder::new(1000, 0);
        for len in [0, 1, 50, 63, 64, 70, 8_000, 20_000, 3] {
            builder.append(&NewRecord { timestamp: 7, key: None, value: value.get(..len), headers: &[] });
        }
        let seal = Seal {
            compression: Compression::default(),
            timestamp_type: TimestampType::CreateTime,
            append_time: 0,
        };
        let sealed = builder.seal(&seal, &mut Compressor::default()).unwrap();
        (sealed.header, sealed.bytes[BatchHeader::LEN..].to_vec())
    }

    #[test]
    fn each_offset_has_its_own_record() {
        let (header, bytes) = batch();
        for record in RecordIter::new(&header, &bytes).map(Result::unwrap) {
            let found = record_at(&header, &bytes, record.offset).unwrap().unwrap();
            assert_eq!((found.offset, found.value), (record.offset, record.value));
        }
        for absent in [0, 999, 1009, i64::MAX] {
            assert!(record_at(&header, &bytes, absent).unwrap().is_none());
        }
    }

    /// Otherwise every record in front of it would be decoded: the same answer, later.
    #[test]
    fn where_each_offset_has_a_record_nothing_in_front_is_decoded() {
        let (header, bytes) = batch();
        let mut walk = RecordIter::new(&header, &bytes);
        for before in 0..header.record_count {
            assert_eq!(behind(&bytes, before), Some(walk.position()));
            let record = walk.next_record().unwrap().unwrap();
            let found = nth(&header, &bytes, record.offset).unwrap();
            assert_eq!((found.offset, found.value), (record.offset, record.value));
        }
        assert_eq!(behind(&bytes, header.record_count + 1), None);
        for absent in [0, 999, 1009, 1010, i64::MIN, i64::MAX] {
            assert!(nth(&header, &bytes, absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn where_records_are_missing_nothing_is_concluded_from_how_many_are_in_front() {
        let (dense, bytes) = batch();
        for last_offset_delta in [dense.last_offset_delta + 1, i32::MAX] {
            let gapped = BatchHeader { last_offset_delta, ..dense };
            for offset in 1000..1009 {
                assert!(nth(&gapped, &bytes, offset).is_none());
                assert_eq!(record_at(&gapped, &bytes, offset).unwrap().unwrap().offset, offset);
            }
            assert!(record_at(&gapped, &bytes, 1009).unwrap().is_none());
        }
    }

    #[test]
    fn a_record_that_says_another_offset_is_not_the_one() {
        let (header, bytes) = batch();
        let mut walk = RecordIter::new(&header, &bytes);
        walk.next_record();
        // The header counts a record for each offset, and the first is not there.
        let behind_first = &bytes[walk.position()..];
        let found = record_at(&header, behind_first, 1001).unwrap().unwrap();
        assert_eq!((found.offset, found.value.map(<[u8]>::len)), (1001, Some(1)));
        assert!(record_at(&header, behind_first, 1000).unwrap().is_none());
    }
}
