//! Records of `__message_ids`: which ids were sent to a topic lately.
//!
//! A topic has a ring of slots. The id with a number stands in the slot *number mod size*, in place of the one that stood there.
//!
//! ```text
//! key of a slot:  i16 0 | 16 bytes topic id | i32 slot
//! value:          i16 0 | i64 number | i64 milliseconds when it was sent | 16 bytes SipHash-2-4-128 of the id, key 0
//! key of a ring:  i16 1 | 16 bytes topic id
//! value:          i16 0 | i64 milliseconds of the window | i64 ids of the window | i32 size
//! key of a mark:  i16 2 | 16 bytes topic id | i32 partition
//! value:          i16 0 | i64 the offset behind the last record there whose id is written
//! ```

use super::Malformed;
use super::bytes::{self, Reader};
use super::offset_commit::check_version;
use crate::types::{Offset, Timestamp};

const SLOT: i16 = 0;
const RING: i16 = 1;
const MARK: i16 = 2;
const VALUE_VERSION: i16 = 0;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum IdKey {
    Slot { topic: u128, slot: i32 },
    Ring { topic: u128 },
    Mark { topic: u128, partition: u32 },
}

/// An id that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SentId {
    /// Ids of a topic have numbers in the order in which they were sent.
    pub(crate) number: i64,
    pub(crate) at: Timestamp,
    pub(crate) hash: u128,
}

/// For how long, and of how many, ids are known, and how many slots there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdRing {
    pub(crate) window_ms: i64,
    pub(crate) most: i64,
    pub(crate) size: i32,
}

/// How far the ids of a partition's records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdMark {
    pub(crate) offset: Offset,
}

impl IdKey {
    pub(crate) fn topic(self) -> u128 {
        match self {
            Self::Slot { topic, .. } | Self::Ring { topic } | Self::Mark { topic, .. } => topic,
        }
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Slot { topic, slot } => {
                bytes::put_i16(&mut out, SLOT);
                bytes::put_u128(&mut out, topic);
                bytes::put_i32(&mut out, slot);
            }
            Self::Ring { topic } => {
                bytes::put_i16(&mut out, RING);
                bytes::put_u128(&mut out, topic);
            }
            Self::Mark { topic, partition } => {
                bytes::put_i16(&mut out, MARK);
                bytes::put_u128(&mut out, topic);
                bytes::put_u32(&mut out, partition);
            }
        }
        out
    }

    /// `None` for a kind that is not known.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut reader = Reader::new(bytes);
        match reader.take_i16()? {
            SLOT => Ok(Some(Self::Slot { topic: reader.take_u128()?, slot: reader.take_i32()? })),
            RING => Ok(Some(Self::Ring { topic: reader.take_u128()? })),
            MARK => Ok(Some(Self::Mark { topic: reader.take_u128()?, partition: reader.take_u32()? })),
            _ => Ok(None),
        }
    }
}

impl SentId {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        bytes::put_i16(&mut out, VALUE_VERSION);
        bytes::put_i64(&mut out, self.number);
        bytes::put_i64(&mut out, self.at);
        bytes::put_u128(&mut out, self.hash);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        check_version(reader.take_i16()?, "message id version", VALUE_VERSION)?;
        Ok(Self { number: reader.take_i64()?, at: reader.take_i64()?, hash: reader.take_u128()? })
    }
}

impl IdRing {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        bytes::put_i16(&mut out, VALUE_VERSION);
        bytes::put_i64(&mut out, self.window_ms);
        bytes::put_i64(&mut out, self.most);
        bytes::put_i32(&mut out, self.size);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        check_version(reader.take_i16()?, "message id ring version", VALUE_VERSION)?;
        Ok(Self { window_ms: reader.take_i64()?, most: reader.take_i64()?, size: reader.take_i32()? })
    }
}

impl IdMark {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        bytes::put_i16(&mut out, VALUE_VERSION);
        bytes::put_i64(&mut out, self.offset);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        check_version(reader.take_i16()?, "message id mark version", VALUE_VERSION)?;
        Ok(Self { offset: reader.take_i64()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_were_written_and_cut_ones_are_refused() {
        let slot = IdKey::Slot { topic: 7, slot: 9 };
        assert_eq!(slot.encode(), [&[0, 0][..], &7_u128.to_be_bytes(), &[0, 0, 0, 9]].concat());
        for key in [slot, IdKey::Ring { topic: u128::MAX }, IdKey::Mark { topic: 3, partition: 8 }] {
            assert_eq!(IdKey::decode(&key.encode()).unwrap(), Some(key));
            assert!(IdKey::decode(&key.encode()[..10]).is_err());
        }
        assert_eq!(IdKey::decode(&[0, 3, 5]).unwrap(), None);
        let sent = SentId { number: 3, at: 1_000_000, hash: 5 };
        assert_eq!(sent.encode().len(), 34);
        assert_eq!(SentId::decode(&sent.encode()).unwrap(), sent);
        let ring = IdRing { window_ms: 86_400_000, most: 100_000, size: 1024 };
        assert_eq!(IdRing::decode(&ring.encode()).unwrap(), ring);
        assert!(
            SentId::decode(&sent.encode()[..33]).is_err() && IdRing::decode(&ring.encode()[..21]).is_err()
        );
        let mark = IdMark { offset: 1 << 40 };
        assert_eq!(IdMark::decode(&mark.encode()).unwrap(), mark);
        assert!(SentId::decode(&[0, 1]).is_err(), "a later version");
    }
}
