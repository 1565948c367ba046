//! The batch that was looked at last, and where its records begin: who looks at many of them, one by one, walks it once.

use crate::format::{BatchHeader, Malformed, RecordIter, RecordPlace, RecordSpan};
use crate::log::read::expand::OpenedBatch;
use crate::segment::Hit;
use crate::types::Offset;

/// So many offsets lie between two places that are kept, at least: twelve bytes for a thousand of the batch, or less.
const STRIDE: i64 = 64;

/// A batch in which hits are looked at, forwards or backwards.
#[derive(Debug)]
pub(super) struct Looked {
    /// The base of its segment, and its position there.
    at: (Offset, u64),
    pub(super) opened: OpenedBatch,
    /// Where records begin, in their order.
    places: Vec<RecordPlace>,
    /// Behind the record that was found last.
    last: Option<RecordPlace>,
}

impl Looked {
    pub(super) fn new(base: Offset, hit: Hit, opened: OpenedBatch) -> Self {
        Self { at: (base, hit.position), opened, places: Vec::new(), last: None }
    }

    /// Whether the hit in the segment with that base points to it.
    pub(super) fn is_of(&self, base: Offset, hit: Hit) -> bool {
        let header = &self.opened.header;
        self.at == (base, hit.position) && (header.base_offset..header.next_offset()).contains(&hit.offset)
    }

    /// The record of an offset, if there is one.
    pub(super) fn find(&mut self, offset: Offset) -> Result<Option<RecordSpan>, Malformed> {
        let header = self.opened.header;
        let delta = offset.saturating_sub(header.base_offset);
        let nearest = self.nearest(delta);
        let records = self.opened.bytes.get();
        let mut iter = match nearest {
            Some(place) => RecordIter::at(&header, records, place),
            None => RecordIter::new(&header, records),
        };
        Self::walk(&mut iter, &header, delta, &mut self.places)?;
        let span = iter.take_span_of(offset)?;
        self.last = Some(iter.place());
        Ok(span)
    }

    /// The nearest place that is known in front of the record at `delta` offsets from the base.
    fn nearest(&self, delta: i64) -> Option<RecordPlace> {
        let kept = self.places.partition_point(|place| place.next_delta() <= delta);
        let kept = kept.checked_sub(1).and_then(|at| self.places.get(at)).copied();
        let last = self.last.filter(|place| place.next_delta() <= delta);
        kept.into_iter().chain(last).max_by_key(|place| place.next_delta())
    }

    /// Goes to a few records in front of `delta`, and keeps places on the way.
    fn walk(
        iter: &mut RecordIter<'_>,
        header: &BatchHeader,
        delta: i64,
        places: &mut Vec<RecordPlace>,
    ) -> Result<(), Malformed> {
        let mut stood = iter.place().next_delta();
        while stood + STRIDE < delta {
            iter.skip_below(header.base_offset.saturating_add(stood + STRIDE))?;
            let place = iter.place();
            if place.next_delta() == stood {
                // A gap in the offsets, or the end.
                break;
            }
            stood = place.next_delta();
            if places.last().is_none_or(|last| last.next_delta() < stood) {
                places.push(place);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::format::{BatchBuilder, Codec, Compression, Compressor, NewRecord, Seal, TimestampType};
    use crate::log::read::record_slice::RecordBytes;

    const BASE: Offset = 1_000;

    /// A batch of so many records, looked at for none.
    fn looked(records: usize) -> Looked {
        let mut builder = BatchBuilder::new(BASE, 1 << 16);
        for number in 0..records {
            let value = number.to_string();
            let value = Some(value.as_bytes());
            builder.append(&NewRecord { timestamp: 1, key: Some(b"k"), value, headers: &[] });
        }
        let (compression, timestamp_type) = (Compression::of(Codec::None), TimestampType::CreateTime);
        let how = Seal { compression, timestamp_type, append_time: 0 };
        let sealed = builder.seal(&how, &mut Compressor::default()).unwrap();
        let (header, bytes) = (sealed.header, sealed.bytes[BatchHeader::LEN..].to_vec());
        let bytes = RecordBytes::Expanded(Arc::new(bytes));
        let opened = OpenedBatch { header, bytes, position: 0, remaining: header.record_count };
        Looked::new(BASE, Hit { offset: BASE, position: 0 }, opened)
    }

    fn value(looked: &mut Looked, number: i64) -> String {
        let span = looked.find(BASE + number).unwrap().unwrap();
        let record = span.of(looked.opened.bytes.get(), BASE);
        assert_eq!(record.offset, BASE + number);
        String::from_utf8(record.value.unwrap().to_vec()).unwrap()
    }

    #[test]
    fn each_record_of_a_batch_is_found_in_any_order() {
        for stride in [1, 7, 63, 64, 65, 401, 999] {
            let mut looked = looked(1_000);
            for step in 0..1_000 {
                let number = step * stride % 1_000;
                assert_eq!(value(&mut looked, number), number.to_string(), "{stride}");
            }
            assert!(looked.find(BASE + 1_000).unwrap().is_none());
        }
    }

    /// It was walked from its first record for each: a second for a stream of ten thousand events in one batch.
    #[test]
    fn who_looks_at_all_records_of_a_batch_was_going_through_it_once_for_each() {
        let mut forwards = looked(1_000);
        for number in 0..1_000 {
            let from = forwards.nearest(number).map_or(0, RecordPlace::next_delta);
            assert!(from == number, "{from} for {number}");
            value(&mut forwards, number);
        }
        let mut backwards = looked(1_000);
        for number in (0..1_000).rev() {
            let from = backwards.nearest(number).map_or(0, RecordPlace::next_delta);
            assert!(number == 999 || number - from <= STRIDE, "{from} for {number}");
            value(&mut backwards, number);
        }
        assert!(backwards.places.len() <= 1_000 / 64, "{}", backwards.places.len());
    }
}
