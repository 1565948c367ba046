//! Keys of `__consumer_offsets` and the values of committed offsets.
//!
//! A key starts with a version that is also its kind; a record without a value deletes what the key names.

use super::Malformed;
use super::bytes::{self, Reader};
use crate::types::{Offset, Timestamp};

const COMMIT_KEY: i16 = 1;
const OLD_COMMIT_KEY: i16 = 0;
const GROUP_KEY: i16 = 2;
/// The version brokers write; readers of every age know it.
const VALUE_VERSION: i16 = 3;
const MAX_VALUE_VERSION: i16 = 4;

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
}

impl OffsetCommitValue {
    /// Appends the value's bytes. Metadata beyond 32767 bytes is an error.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        bytes::put_i16(out, VALUE_VERSION);
        bytes::put_i64(out, self.offset);
        bytes::put_i32(out, self.leader_epoch);
        bytes::put_string(out, &self.metadata)?;
        bytes::put_i64(out, self.commit_timestamp);
        Ok(())
    }

    /// Decodes versions 0 to 4. An expiry time (version 1) and tagged fields (version 4) are not kept.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let version = check_version(reader.take_i16()?, "offset commit value version", MAX_VALUE_VERSION)?;
        let offset = reader.take_i64()?;
        let leader_epoch = if version >= 3 { reader.take_i32()? } else { -1 };
        let metadata = if version >= 4 { take_compact_string(&mut reader)? } else { reader.take_string()? };
        Ok(Self { offset, leader_epoch, metadata: metadata.to_owned(), commit_timestamp: reader.take_i64()? })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key_bytes(key: CommitKey<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        key.encode(&mut out).unwrap();
        out
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
    fn values_are_written_as_version_3() {
        let value =
            OffsetCommitValue { offset: 7, leader_epoch: -1, metadata: "m".into(), commit_timestamp: 9 };
        let mut bytes = Vec::new();
        value.encode(&mut bytes).unwrap();
        assert_eq!(bytes, b"\0\x03\0\0\0\0\0\0\0\x07\xff\xff\xff\xff\0\x01m\0\0\0\0\0\0\0\x09");
        assert_eq!(OffsetCommitValue::decode(&bytes), Ok(value));
    }

    #[test]
    fn values_of_every_version_are_read() {
        let expected =
            OffsetCommitValue { offset: 7, leader_epoch: -1, metadata: "m".into(), commit_timestamp: 9 };
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
