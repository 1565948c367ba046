//! `.txnindex`: the transactions whose ABORT marker stands in the segment.
//!
//! ```text
//! i16 version 0 | i64 producer id | i64 first offset | i64 last offset, the marker's | i64 last stable offset after it
//! ```

use super::Malformed;
use super::bytes::{self, Reader};
use super::end_marker::check_exact_version;
use crate::types::Offset;

const VERSION: i16 = 0;

/// A transaction that was aborted, as far as one partition knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AbortedTransaction {
    pub(crate) producer_id: i64,
    /// Of its first record.
    pub(crate) first: Offset,
    /// Of its marker.
    pub(crate) last: Offset,
    /// The last stable offset once the marker was there: every transaction with a record below it has its end at or below
    /// the marker.
    pub(crate) stable: Offset,
}

impl AbortedTransaction {
    pub(crate) const LEN: usize = 34;

    /// Whether the record of `offset` that this producer wrote belongs to the transaction.
    pub(crate) fn holds(&self, producer_id: i64, offset: Offset) -> bool {
        self.producer_id == producer_id && (self.first..=self.last).contains(&offset)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        bytes::put_i16(out, VERSION);
        bytes::put_i64(out, self.producer_id);
        bytes::put_i64(out, self.first);
        bytes::put_i64(out, self.last);
        bytes::put_i64(out, self.stable);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let at = reader.position();
        check_exact_version(reader.take_i16()?, "transaction index version", VERSION)?;
        let entry = Self {
            producer_id: reader.take_i64()?,
            first: reader.take_i64()?,
            last: reader.take_i64()?,
            stable: reader.take_i64()?,
        };
        if entry.first < 0 || entry.first > entry.last || entry.stable < 0 {
            return Err(Malformed::invalid(at, "an aborted transaction that ends before it begins"));
        }
        Ok(entry)
    }
}

/// The whole file.
pub(crate) fn encode_aborted(entries: &[AbortedTransaction]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len().saturating_mul(AbortedTransaction::LEN));
    entries.iter().for_each(|entry| entry.encode(&mut out));
    out
}

/// Reads the whole file: last offsets rise strictly.
pub(crate) fn decode_aborted(bytes: &[u8]) -> Result<Vec<AbortedTransaction>, Malformed> {
    if !bytes.len().is_multiple_of(AbortedTransaction::LEN) {
        return Err(Malformed::invalid(bytes.len(), "an index of parts of entries"));
    }
    let mut reader = Reader::new(bytes);
    let mut entries: Vec<AbortedTransaction> = Vec::with_capacity(bytes.len() / AbortedTransaction::LEN);
    while reader.remaining() > 0 {
        let at = reader.position();
        let entry = AbortedTransaction::decode(&mut reader)?;
        if entries.last().is_some_and(|before| before.last >= entry.last) {
            return Err(Malformed::invalid(at, "index entries that do not grow"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(producer_id: i64, first: Offset, last: Offset, stable: Offset) -> AbortedTransaction {
        AbortedTransaction { producer_id, first, last, stable }
    }

    #[test]
    fn an_entry_is_34_bytes() {
        let bytes = encode_aborted(&[entry(7, 10105, 10110, 10108)]);
        let mut expected = vec![0, 0];
        for field in [7_i64, 10105, 10110, 10108] {
            expected.extend_from_slice(&field.to_be_bytes());
        }
        assert_eq!(bytes, expected);
        assert_eq!(decode_aborted(&bytes), Ok(vec![entry(7, 10105, 10110, 10108)]));
        assert_eq!(decode_aborted(&[]), Ok(Vec::new()));
    }

    #[test]
    fn disorder_parts_and_other_versions_are_refused() {
        let (a, b) = (entry(1, 0, 5, 6), entry(2, 3, 9, 10));
        assert_eq!(decode_aborted(&encode_aborted(&[a, b])), Ok(vec![a, b]));
        assert!(decode_aborted(&encode_aborted(&[b, a])).is_err());
        assert!(decode_aborted(&encode_aborted(&[a, a])).is_err());
        assert!(decode_aborted(&encode_aborted(&[entry(1, 6, 5, 6)])).is_err());
        assert!(decode_aborted(&encode_aborted(&[entry(1, -1, 5, 6)])).is_err());
        assert!(decode_aborted(&encode_aborted(&[a])[..33]).is_err());
        let mut newer = encode_aborted(&[a]);
        newer[1] = 1;
        assert!(matches!(decode_aborted(&newer), Err(Malformed::Unsupported { found: 1, .. })));
        newer[0] = 0xff;
        assert!(matches!(decode_aborted(&newer), Err(Malformed::Invalid { .. })));
    }

    #[test]
    fn what_belongs_to_a_transaction() {
        let aborted = entry(7, 10, 20, 21);
        assert!(aborted.holds(7, 10) && aborted.holds(7, 20));
        assert!(!aborted.holds(7, 9) && !aborted.holds(7, 21) && !aborted.holds(8, 15));
    }
}
