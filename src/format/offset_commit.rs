//! Keys of `__consumer_offsets` and the values of committed offsets.
//!
//! A key starts with a version that is also its kind; a record without a value deletes what the key names.

use super::Malformed;
use super::bytes::{self, Reader};
use super::varint;
use crate::types::{Offset, Timestamp};

const COMMIT_KEY: i16 = 1;
const OLD_COMMIT_KEY: i16 = 0;
const GROUP_KEY: i16 = 2;
/// Without a topic's id; readers of every age know it.
const PLAIN_VALUE: i16 = 3;
/// With tagged fields, of which brokers know one since 4.1: the topic's id. Earlier ones skip the tag.
const TAGGED_VALUE: i16 = 4;
const TOPIC_ID_TAG: u32 = 0;
const TOPIC_ID_LEN: u32 = 16;
/// Kafka's id of no topic.
const NO_TOPIC_ID: u128 = 0;

/// What a record of `__consumer_offsets` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CommitKey<'a> {
    /// A group's position in a partition.
    OffsetCommit { group: &'a str, topic: &'a str, partition: i32 },
    /// A group's members.
    GroupMetadata { group: &'a str },
    /// A kind of record that only brokers write, by its version: kept, not understood.
    Other(i16),
}

impl<'a> CommitKey<'a> {
    /// Appends the key's bytes. A name beyond 32767 bytes is an error, as is a kind that is not ours to write.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        match *self {
            Self::OffsetCommit { group, topic, partition } => {
                bytes::put_i16(out, COMMIT_KEY);
                bytes::put_string(out, group)?;
                bytes::put_string(out, topic)?;
                bytes::put_i32(out, partition);
                Ok(())
            }
            Self::GroupMetadata { group } => {
                bytes::put_i16(out, GROUP_KEY);
                bytes::put_string(out, group)
            }
            Self::Other(version) => {
                Err(Malformed::invalid(0, format!("a key of kind {version} is not ours to write")))
            }
        }
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        match reader.take_i16()? {
            OLD_COMMIT_KEY | COMMIT_KEY => Ok(Self::OffsetCommit {
                group: reader.take_string()?,
                topic: reader.take_string()?,
                partition: reader.take_i32()?,
            }),
            GROUP_KEY => Ok(Self::GroupMetadata { group: reader.take_string()? }),
            version if version < 0 => {
                Err(Malformed::invalid(0, format!("key version {version} is negative")))
            }
            version => Ok(Self::Other(version)),
        }
    }
}

/// A committed position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OffsetCommitValue {
    /// The next offset to read.
    pub(crate) offset: Offset,
    /// -1 if unknown.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
    pub(crate) commit_timestamp: Timestamp,
    /// The id of the topic it was committed for, if it says so: another topic of the same name has another.
    pub(crate) topic_id: Option<u128>,
}

impl OffsetCommitValue {
    /// Appends the value's bytes. Without a topic's id, metadata beyond 32767 bytes is an error.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let version = if self.topic_id.is_some() { TAGGED_VALUE } else { PLAIN_VALUE };
        bytes::put_i16(out, version);
        bytes::put_i64(out, self.offset);
        bytes::put_i32(out, self.leader_epoch);
        match self.topic_id {
            Some(_) => put_compact_string(out, &self.metadata)?,
            None => bytes::put_string(out, &self.metadata)?,
        }
        bytes::put_i64(out, self.commit_timestamp);
        if let Some(id) = self.topic_id {
            [1, TOPIC_ID_TAG, TOPIC_ID_LEN]
                .into_iter()
                .for_each(|word| varint::put_unsigned(out, word.into()));
            bytes::put_u128(out, id);
        }
        Ok(())
    }

    /// Decodes versions 0 to 4. An expiry time (version 1) and other tagged fields (version 4) are not kept.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let version = check_version(reader.take_i16()?, "offset commit value version", TAGGED_VALUE)?;
        let offset = reader.take_i64()?;
        let leader_epoch = if version >= 3 { reader.take_i32()? } else { -1 };
        let metadata = if version >= 4 { take_compact_string(&mut reader)? } else { reader.take_string()? };
        let commit_timestamp = reader.take_i64()?;
        let topic_id = if version >= 4 { take_topic_id(&mut reader)? } else { None };
        Ok(Self { offset, leader_epoch, metadata: metadata.to_owned(), commit_timestamp, topic_id })
    }
}

/// Walks the tagged fields: their number, then tag, length and bytes of each.
fn take_topic_id(reader: &mut Reader<'_>) -> Result<Option<u128>, Malformed> {
    let mut id = None;
    for _ in 0..reader.take_unsigned()? {
        let (tag, at, len) = (reader.take_unsigned()?, reader.position(), reader.take_unsigned()?);
        match tag {
            TOPIC_ID_TAG if len == TOPIC_ID_LEN => {
                id = Some(reader.take_u128()?).filter(|id| *id != NO_TOPIC_ID);
            }
            TOPIC_ID_TAG => return Err(Malformed::invalid(at, format!("a topic id of {len} bytes"))),
            _ => _ = reader.take(usize::try_from(len).unwrap_or(usize::MAX))?,
        }
    }
    Ok(id)
}

/// Refuses negative versions as damage and later ones as unsupported.
pub(super) fn check_version(version: i16, what: &'static str, max: i16) -> Result<i16, Malformed> {
    let (Ok(found), Ok(supported)) = (u32::try_from(version), u32::try_from(max)) else {
        return Err(Malformed::invalid(0, format!("{what} {version} is negative")));
    };
    if found > supported {
        return Err(Malformed::unsupported(what, found, supported));
    }
    Ok(version)
}

/// A string of a flexible version: its length plus one, unsigned, and UTF-8; zero is null.
fn take_compact_string<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    let at = reader.position();
    match usize::try_from(reader.take_unsigned()?).ok().and_then(|raw| raw.checked_sub(1)) {
        Some(len) => reader.take_utf8(len),
        None => Err(Malformed::invalid(at, "null where a string is needed")),
    }
}

fn put_compact_string(out: &mut Vec<u8>, text: &str) -> Result<(), Malformed> {
    let raw = u32::try_from(text.len()).ok().and_then(|len| len.checked_add(1));
    let raw = raw.ok_or_else(|| Malformed::invalid(0, "a text of more than 4 GiB"))?;
    varint::put_unsigned(out, raw.into());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_bytes(key: CommitKey<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        key.encode(&mut out).unwrap();
        out
    }

    fn value(topic_id: Option<u128>) -> OffsetCommitValue {
        let metadata = "m".to_owned();
        OffsetCommitValue { offset: 7, leader_epoch: -1, metadata, commit_timestamp: 9, topic_id }
    }

    #[test]
    fn keys_round_trip_in_kafkas_layout() {
        let commit = CommitKey::OffsetCommit { group: "g", topic: "tt", partition: 5 };
        let bytes = key_bytes(commit);
        assert_eq!(bytes, b"\0\x01\0\x01g\0\x02tt\0\0\0\x05");
        assert_eq!(CommitKey::decode(&bytes), Ok(commit));
        let group = CommitKey::GroupMetadata { group: "g" };
        assert_eq!(key_bytes(group), b"\0\x02\0\x01g");
        assert_eq!(CommitKey::decode(b"\0\x02\0\x01g"), Ok(group));
        assert_eq!(CommitKey::decode(b"\0\0\0\x01g\0\x02tt\0\0\0\x05"), Ok(commit));
    }

    #[test]
    fn keys_that_are_not_ours() {
        assert_eq!(CommitKey::decode(b"\0\x03anything"), Ok(CommitKey::Other(3)));
        assert!(CommitKey::Other(3).encode(&mut Vec::new()).is_err());
        assert!(matches!(CommitKey::decode(&[0xff, 0xff]), Err(Malformed::Invalid { .. })));
        assert!(matches!(CommitKey::decode(b"\0\x01\0\x05g"), Err(Malformed::Truncated { .. })));
        assert!(CommitKey::GroupMetadata { group: &"g".repeat(40_000) }.encode(&mut Vec::new()).is_err());
    }

    #[test]
    fn values_without_a_topic_id_are_written_as_version_3() {
        let value = value(None);
        let mut bytes = Vec::new();
        value.encode(&mut bytes).unwrap();
        assert_eq!(bytes, b"\0\x03\0\0\0\0\0\0\0\x07\xff\xff\xff\xff\0\x01m\0\0\0\0\0\0\0\x09");
        assert_eq!(OffsetCommitValue::decode(&bytes), Ok(value));
    }

    #[test]
    fn values_with_a_topic_id_are_written_as_brokers_since_4_1_write_them() {
        let value = value(Some(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10));
        let mut bytes = Vec::new();
        value.encode(&mut bytes).unwrap();
        let before_the_tags = b"\0\x04\0\0\0\0\0\0\0\x07\xff\xff\xff\xff\x02m\0\0\0\0\0\0\0\x09";
        let tags = [&[1, 0, 16][..], &(1..=16).collect::<Vec<u8>>()].concat();
        assert_eq!(bytes, [&before_the_tags[..], &tags].concat());
        assert_eq!(OffsetCommitValue::decode(&bytes).as_ref(), Ok(&value));
        // Fields of a later broker are passed over.
        let later = [&before_the_tags[..], &[2], &tags[1..], &[9, 3, 1, 2, 3]].concat();
        assert_eq!(OffsetCommitValue::decode(&later), Ok(value));
        let short = [&before_the_tags[..], &[1, 0, 2, 1, 2]].concat();
        assert!(matches!(OffsetCommitValue::decode(&short), Err(Malformed::Invalid { .. })));
        let cut = [&before_the_tags[..], &tags[..9]].concat();
        assert!(matches!(OffsetCommitValue::decode(&cut), Err(Malformed::Truncated { .. })));
    }

    #[test]
    fn values_of_every_version_are_read() {
        let expected = value(None);
        let versions: [&[u8]; 4] = [
            b"\0\0\0\0\0\0\0\0\0\x07\0\x01m\0\0\0\0\0\0\0\x09",
            b"\0\x01\0\0\0\0\0\0\0\x07\0\x01m\0\0\0\0\0\0\0\x09\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\0\x02\0\0\0\0\0\0\0\x07\0\x01m\0\0\0\0\0\0\0\x09",
            b"\0\x04\0\0\0\0\0\0\0\x07\xff\xff\xff\xff\x02m\0\0\0\0\0\0\0\x09\0",
        ];
        for bytes in versions {
            assert_eq!(OffsetCommitValue::decode(bytes).as_ref(), Ok(&expected));
        }
        let later = Malformed::Unsupported { what: "offset commit value version", found: 5, supported: 4 };
        assert_eq!(OffsetCommitValue::decode(&[0, 5]), Err(later));
        assert!(matches!(OffsetCommitValue::decode(&[0xff, 0xff]), Err(Malformed::Invalid { .. })));
    }
}
