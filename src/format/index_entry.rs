//! Entries of `.index` and `.timeindex`.
//!
//! Offsets are relative to the segment's base offset and, like positions, i32 on disk: a negative one is damage.

use super::Malformed;
use super::bytes::Reader;
use crate::types::Timestamp;

/// `.index`: the batch whose last offset is `relative_offset` starts at `position` of the `.log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetIndexEntry {
    pub(crate) relative_offset: u32,
    pub(crate) position: u32,
}

const _: () = assert!(OffsetIndexEntry::LEN == 2 * size_of::<u32>(), "an offset and a position");
const _: () =
    assert!(TimeIndexEntry::LEN == size_of::<Timestamp>() + size_of::<u32>(), "a time and an offset");

impl OffsetIndexEntry {
    pub(crate) const LEN: usize = 8;

    /// The entry's bytes. Both fields must fit an i32, as everything in a segment does.
    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..4].copy_from_slice(&self.relative_offset.to_be_bytes());
        out[4..].copy_from_slice(&self.position.to_be_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            relative_offset: take_unsigned_i32(&mut reader, "a negative relative offset")?,
            position: take_unsigned_i32(&mut reader, "a negative position")?,
        })
    }
}

/// `.timeindex`: up to and including `relative_offset`, the largest timestamp of the segment is `timestamp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeIndexEntry {
    pub(crate) timestamp: Timestamp,
    pub(crate) relative_offset: u32,
}

impl TimeIndexEntry {
    pub(crate) const LEN: usize = 12;

    /// The entry's bytes. The offset must fit an i32, as everything in a segment does.
    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..].copy_from_slice(&self.relative_offset.to_be_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            timestamp: reader.take_i64()?,
            relative_offset: take_unsigned_i32(&mut reader, "a negative relative offset")?,
        })
    }
}

fn take_unsigned_i32(reader: &mut Reader<'_>, why: &'static str) -> Result<u32, Malformed> {
    let at = reader.position();
    u32::try_from(reader.take_i32()?).map_err(|_| Malformed::invalid(at, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_entries_are_two_big_endian_i32() {
        let entry = OffsetIndexEntry { relative_offset: 0x0102_0304, position: 0x7fff_ffff };
        assert_eq!(entry.encode(), [1, 2, 3, 4, 0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(OffsetIndexEntry::decode(&entry.encode()), Ok(entry));
    }

    #[test]
    fn time_entries_are_an_i64_and_an_i32() {
        let entry = TimeIndexEntry { timestamp: -1, relative_offset: 9 };
        assert_eq!(entry.encode(), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9]);
        assert_eq!(TimeIndexEntry::decode(&entry.encode()), Ok(entry));
    }

    #[test]
    fn negative_and_short_entries_are_refused() {
        assert!(matches!(
            OffsetIndexEntry::decode(&[0x80, 0, 0, 0, 0, 0, 0, 0]),
            Err(Malformed::Invalid { at: 0, .. })
        ));
        assert!(matches!(
            OffsetIndexEntry::decode(&[0, 0, 0, 0, 0xff, 0, 0, 0]),
            Err(Malformed::Invalid { at: 4, .. })
        ));
        assert!(matches!(TimeIndexEntry::decode(&[0xff; 12]), Err(Malformed::Invalid { at: 8, .. })));
        assert!(matches!(TimeIndexEntry::decode(&[0; 11]), Err(Malformed::Truncated { .. })));
        assert!(matches!(OffsetIndexEntry::decode(&[0; 7]), Err(Malformed::Truncated { .. })));
    }
}
