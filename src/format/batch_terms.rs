//! What the records of a small batch are found by, put down while they are encoded: so they need not be decoded again.

use super::batch_builder::NewRecord;
use super::key_index::{TAG_HEADER, TYPE_HEADER, TermHash, TermKind};

/// Terms that are put down; a batch with more of them is decoded, which by then costs little for each.
const MOST: usize = 8;

/// The terms of a batch, in the order of its records, or of its first ones.
#[derive(Debug, Default)]
pub(crate) struct BatchTerms {
    terms: [(TermHash, i32); MOST],
    count: usize,
    /// Records whose terms are all here.
    records: i32,
}

impl BatchTerms {
    /// Forgets all of them: another batch begins.
    #[inline]
    pub(crate) fn clear(&mut self) {
        (self.count, self.records) = (0, 0);
    }

    /// Puts down those of the batch's next record, where those of all before it are here and there is room. `key_term` is that of
    /// its key, where it is known.
    #[inline]
    pub(crate) fn add(&mut self, record: &NewRecord<'_>, key_term: Option<TermHash>, offset_delta: i32) {
        if offset_delta != self.records || self.count == MOST {
            return;
        }
        let mut has_room = true;
        if let Some(key) = record.key {
            let term = key_term.unwrap_or_else(|| TermHash::of(TermKind::Key, key));
            debug_assert_eq!(term, TermHash::of(TermKind::Key, key), "the term of another key");
            has_room = self.put(term, offset_delta);
        }
        for header in record.headers {
            let Some(value) = header.value else { continue };
            has_room &= match header.key.as_bytes() {
                TYPE_HEADER => self.put(TermHash::of(TermKind::Type, value), offset_delta),
                TAG_HEADER => self.put(TermHash::of(TermKind::Tag, value), offset_delta),
                _ => true,
            };
        }
        self.records += i32::from(has_room);
    }

    #[inline]
    fn put(&mut self, term: TermHash, offset_delta: i32) -> bool {
        let Some(free) = self.terms.get_mut(self.count) else { return false };
        *free = (term, offset_delta);
        self.count += 1;
        true
    }

    /// They, if they are all that a batch of so many records has.
    pub(crate) fn of_all(&self, records: i32) -> Option<&Self> {
        (self.records == records).then_some(self)
    }

    /// Each, and how far its record is from the first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TermHash, i32)> + '_ {
        self.terms.iter().take(self.count).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{
        BatchBuilder, Compression, Compressor, RecordIter, Seal, TimestampType, for_each_term,
    };
    use crate::types::{Header, Record};

    type Terms = Vec<(TermHash, i32)>;

    /// What decoding the batch finds, and what was put down while it was encoded.
    fn both(records: &[Record<'_>]) -> (Terms, Option<Terms>) {
        let (mut builder, mut terms) = (BatchBuilder::new(70, 0), BatchTerms::default());
        for (delta, record) in (0..).zip(records) {
            let headers = record.headers();
            let new =
                NewRecord { timestamp: 1, key: record.key_bytes(), value: record.value_bytes(), headers };
            builder.append(&new);
            terms.add(&new, None, delta);
        }
        let seal = Seal {
            compression: Compression::default(),
            timestamp_type: TimestampType::CreateTime,
            append_time: 0,
        };
        let header = builder.seal(&seal, &mut Compressor::default()).unwrap().header;
        let mut decoded = Terms::new();
        for record in RecordIter::new(&header, builder.records()).map(Result::unwrap) {
            let delta = i32::try_from(record.offset - 70).unwrap();
            for_each_term(&record, |hash| decoded.push((hash, delta)));
        }
        (decoded, terms.of_all(header.record_count).map(|terms| terms.iter().collect()))
    }

    #[test]
    fn they_are_those_that_decoding_the_batch_finds() {
        let full = || Record::new().key("k").value("v").header("type", "t").header("tag", "a");
        let one = full().header("other", "x").null_header("tag").header("tag", "").header("tag", "b");
        for records in [
            vec![Record::new()],
            vec![Record::new().key("")],
            vec![one.clone()],
            vec![Record::new().key("a"), Record::new(), Record::new().key("a").header("type", "t")],
            vec![one, full()],
        ] {
            let (decoded, put_down) = both(&records);
            assert!(decoded.len() <= MOST);
            assert_eq!(put_down, Some(decoded), "{records:?}");
        }
    }

    #[test]
    fn those_of_half_a_batch_are_not_taken_for_all() {
        let tags = vec![Header { key: "tag".into(), value: Some(b"x") }; MOST];
        let with = |tags: &[Header<'static>]| {
            tags.iter().fold(Record::new().key("k"), |record, _| record.header("tag", "x"))
        };
        assert_eq!(both(&[with(&tags)]).1, None, "one more than there is room for");
        assert_eq!(both(&[with(&tags[1..]), Record::new()]).1, None);
        assert_eq!(both(&vec![Record::new().key("k"); MOST + 1]).1, None);
        let mut terms = BatchTerms::default();
        terms.add(&NewRecord { timestamp: 1, key: Some(b"k"), value: None, headers: &[] }, None, 1);
        assert!(terms.of_all(2).is_none(), "nobody put down those of the first record");
        terms.clear();
        assert!(terms.of_all(1).is_none());
    }
}
