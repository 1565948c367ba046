//! Records of `__transaction_state`: what was decided about the transactions of each name.
//!
//! Key: i16 version 0, string name. Value, version 1: i64 producer id, i16 epoch, i32 timeout in milliseconds, i8 status, the
//! partitions as a compact nullable array of {compact string topic, compact array of i32, tags}, i64 time of the last change,
//! i64 time of the begin, tags.
//!
//! A decision of this crate also has a record header, which other readers leave alone: where the transaction's records end in each
//! partition. A decision counts only if all of them are there.
//! ```text
//! annals.ends: i8 version 1 | i32 count | each: 16 bytes topic id, i32 partition, i64 last offset, i8 1 for an input
//! ```

use super::Malformed;
use super::bytes::{self, Reader};
use super::offset_commit::check_version;
use crate::types::{Offset, Timestamp};

const KEY_VERSION: i16 = 0;
const VALUE_VERSION: i16 = 1;
const ENDS_VERSION: u8 = 1;
const END_LEN: usize = 29;
/// The client's protocol in which every transaction has an epoch of its own.
pub(crate) const CLIENT_VERSION: i16 = 2;
const CLIENT_VERSION_TAG: u32 = 2;

/// The header of a decision that says where the transaction's records end.
pub(crate) const ENDS_HEADER: &str = "annals.ends";

/// What stands between a transaction's begin and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TransactionStatus {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
    Dead,
    PrepareEpochFence,
}

impl TransactionStatus {
    const ALL: [Self; 8] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
        Self::Dead,
        Self::PrepareEpochFence,
    ];

    fn id(self) -> u8 {
        let at = Self::ALL.iter().position(|status| *status == self).unwrap_or_default();
        u8::try_from(at).unwrap_or_default()
    }

    fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// Kafka's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
            Self::Dead => "Dead",
            Self::PrepareEpochFence => "PrepareEpochFence",
        }
    }
}

/// The partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicPartitions {
    pub(crate) topic: String,
    pub(crate) partitions: Vec<i32>,
}

/// The value of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransactionState {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) timeout_millis: i32,
    pub(crate) status: TransactionStatus,
    /// `None` when it has none.
    pub(crate) partitions: Option<Vec<TopicPartitions>>,
    pub(crate) last_update: Timestamp,
    /// -1 before the first record.
    pub(crate) start: Timestamp,
    /// 2 where every transaction has an epoch of its own, less where they share one.
    pub(crate) client_version: i16,
}

/// Appends the key of a name. One beyond 32767 bytes is an error.
pub(crate) fn encode_transaction_key(name: &str, out: &mut Vec<u8>) -> Result<(), Malformed> {
    bytes::put_i16(out, KEY_VERSION);
    bytes::put_string(out, name)
}

/// The name in a key; `None` for a key of a kind that is not known.
pub(crate) fn decode_transaction_key(bytes: &[u8]) -> Result<Option<&str>, Malformed> {
    let mut reader = Reader::new(bytes);
    match reader.take_i16()? {
        KEY_VERSION => reader.take_string().map(Some),
        version if version < 0 => Err(Malformed::invalid(0, format!("key version {version} is negative"))),
        _ => Ok(None),
    }
}

impl TransactionState {
    /// Appends the value's bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        bytes::put_i16(out, VALUE_VERSION);
        bytes::put_i64(out, self.producer_id);
        bytes::put_i16(out, self.producer_epoch);
        bytes::put_i32(out, self.timeout_millis);
        out.push(self.status.id());
        match &self.partitions {
            None => bytes::put_unsigned(out, 0),
            Some(topics) => {
                put_count(out, topics.len())?;
                for topic in topics {
                    put_count(out, topic.topic.len())?;
                    out.extend_from_slice(topic.topic.as_bytes());
                    put_count(out, topic.partitions.len())?;
                    topic.partitions.iter().for_each(|partition| bytes::put_i32(out, *partition));
                    bytes::put_unsigned(out, 0);
                }
            }
        }
        bytes::put_i64(out, self.last_update);
        bytes::put_i64(out, self.start);
        if self.client_version == 0 {
            bytes::put_unsigned(out, 0);
            return Ok(());
        }
        bytes::put_unsigned(out, 1);
        bytes::put_unsigned(out, CLIENT_VERSION_TAG);
        bytes::put_unsigned(out, 2);
        bytes::put_i16(out, self.client_version);
        Ok(())
    }

    /// Decodes versions 0 and 1. Of the tags, the client's version is kept.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let version = check_version(reader.take_i16()?, "transaction state version", VALUE_VERSION)?;
        let (producer_id, producer_epoch) = (reader.take_i64()?, reader.take_i16()?);
        let timeout_millis = reader.take_i32()?;
        let at = reader.position();
        let status = TransactionStatus::from_id(reader.take_u8()?)
            .ok_or_else(|| Malformed::invalid(at, "a status that does not exist"))?;
        let partitions = if version == 0 { take_classic(&mut reader)? } else { take_compact(&mut reader)? };
        let (last_update, start) = (reader.take_i64()?, reader.take_i64()?);
        let client_version = if version > 0 { take_client_version(&mut reader)? } else { 0 };
        Ok(Self {
            producer_id,
            producer_epoch,
            timeout_millis,
            status,
            partitions,
            last_update,
            start,
            client_version,
        })
    }
}

/// A count as flexible versions have it: one more, so that zero is null.
fn put_count(out: &mut Vec<u8>, count: usize) -> Result<(), Malformed> {
    let raw = u32::try_from(count).ok().and_then(|count| count.checked_add(1));
    let raw = raw.ok_or_else(|| Malformed::invalid(0, "more than 4294967294 of something"))?;
    bytes::put_unsigned(out, raw);
    Ok(())
}

fn take_count(reader: &mut Reader<'_>, least_len: usize) -> Result<Option<usize>, Malformed> {
    let at = reader.position();
    let Some(count) = usize::try_from(reader.take_unsigned()?).unwrap_or(usize::MAX).checked_sub(1) else {
        return Ok(None);
    };
    if count > reader.remaining() / least_len {
        return Err(Malformed::invalid(at, "a count beyond the end"));
    }
    Ok(Some(count))
}

fn take_compact(reader: &mut Reader<'_>) -> Result<Option<Vec<TopicPartitions>>, Malformed> {
    let Some(count) = take_count(reader, 3)? else { return Ok(None) };
    let null = |at| Malformed::invalid(at, "null where a value is needed");
    let topics = (0..count).map(|_| {
        let at = reader.position();
        let len = take_count(reader, 1)?.ok_or_else(|| null(at))?;
        let topic = reader.take_utf8(len)?.to_owned();
        let at = reader.position();
        let count = take_count(reader, 4)?.ok_or_else(|| null(at))?;
        let partitions = (0..count).map(|_| reader.take_i32()).collect::<Result<_, _>>()?;
        reader.skip_tags()?;
        Ok(TopicPartitions { topic, partitions })
    });
    topics.collect::<Result<_, _>>().map(Some)
}

fn take_classic(reader: &mut Reader<'_>) -> Result<Option<Vec<TopicPartitions>>, Malformed> {
    let Some(count) = take_classic_count(reader, 6)? else { return Ok(None) };
    let topics = (0..count).map(|_| {
        let topic = reader.take_string()?.to_owned();
        let count = take_classic_count(reader, 4)?.unwrap_or_default();
        let partitions = (0..count).map(|_| reader.take_i32()).collect::<Result<_, _>>()?;
        Ok(TopicPartitions { topic, partitions })
    });
    topics.collect::<Result<_, _>>().map(Some)
}

fn take_classic_count(reader: &mut Reader<'_>, least_len: usize) -> Result<Option<usize>, Malformed> {
    let at = reader.position();
    match reader.take_i32()? {
        -1 => Ok(None),
        count => usize::try_from(count)
            .ok()
            .filter(|count| *count <= reader.remaining() / least_len)
            .map(Some)
            .ok_or_else(|| Malformed::invalid(at, "a count beyond the end")),
    }
}

fn take_client_version(reader: &mut Reader<'_>) -> Result<i16, Malformed> {
    let mut client_version = 0;
    for _ in 0..reader.take_unsigned()? {
        let tag = reader.take_unsigned()?;
        let len = usize::try_from(reader.take_unsigned()?).unwrap_or(usize::MAX);
        let value = reader.take(len)?;
        if tag == CLIENT_VERSION_TAG {
            client_version = Reader::new(value).take_i16()?;
        }
    }
    Ok(client_version)
}

/// Where a transaction's records end in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DecisionEnd {
    pub(crate) topic: u128,
    pub(crate) partition: u32,
    /// Of its last record there; of the last record that a committed offset says was read.
    pub(crate) last: Offset,
    /// Nothing of the transaction is there: its offsets say that it was read up to there.
    pub(crate) is_input: bool,
}

/// The value of the header [`ENDS_HEADER`].
pub(crate) fn encode_ends(ends: &[DecisionEnd]) -> Vec<u8> {
    let mut out = vec![ENDS_VERSION];
    bytes::put_u32(&mut out, u32::try_from(ends.len()).unwrap_or(u32::MAX));
    for end in ends {
        bytes::put_u128(&mut out, end.topic);
        bytes::put_u32(&mut out, end.partition);
        bytes::put_i64(&mut out, end.last);
        out.push(end.is_input.into());
    }
    out
}

/// Reads the value of the header [`ENDS_HEADER`].
pub(crate) fn decode_ends(bytes: &[u8]) -> Result<Vec<DecisionEnd>, Malformed> {
    let mut reader = Reader::new(bytes);
    let version = reader.take_u8()?;
    if version > ENDS_VERSION {
        return Err(Malformed::unsupported("decision version", version.into(), ENDS_VERSION.into()));
    }
    let count = usize::try_from(reader.take_u32()?).unwrap_or(usize::MAX);
    if version == 0 || count.checked_mul(END_LEN) != Some(reader.remaining()) {
        return Err(Malformed::invalid(0, "the number of ends does not fit"));
    }
    let mut end = || {
        let (topic, partition) = (reader.take_u128()?, reader.take_u32()?);
        let (last, at) = (reader.take_i64()?, reader.position());
        match reader.take_u8()? {
            kind @ (0 | 1) => Ok(DecisionEnd { topic, partition, last, is_input: kind == 1 }),
            _ => Err(Malformed::invalid(at, "an end that is neither written nor read")),
        }
    };
    (0..count).map(|_| end()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(partitions: Option<Vec<TopicPartitions>>) -> TransactionState {
        TransactionState {
            producer_id: 7,
            producer_epoch: 3,
            timeout_millis: 60_000,
            status: TransactionStatus::PrepareCommit,
            partitions,
            last_update: 9,
            start: 8,
            client_version: CLIENT_VERSION,
        }
    }

    fn orders() -> TopicPartitions {
        TopicPartitions { topic: "orders".into(), partitions: vec![0, 2] }
    }

    #[test]
    fn keys_are_kafkas() {
        let mut key = Vec::new();
        encode_transaction_key("shop", &mut key).unwrap();
        assert_eq!(key, b"\0\0\0\x04shop");
        assert_eq!(decode_transaction_key(&key), Ok(Some("shop")));
        assert_eq!(decode_transaction_key(b"\0\x01anything"), Ok(None));
        assert!(decode_transaction_key(b"\xff\xff").is_err());
        assert!(decode_transaction_key(b"\0\0\0\x05shop").is_err());
        assert!(encode_transaction_key(&"x".repeat(40_000), &mut Vec::new()).is_err());
    }

    #[test]
    fn values_are_written_as_version_1() {
        let mut bytes = Vec::new();
        state(Some(vec![orders()])).encode(&mut bytes).unwrap();
        let expected =
            b"\0\x01\0\0\0\0\0\0\0\x07\0\x03\0\0\xea\x60\x02\x02\x07orders\x03\0\0\0\0\0\0\0\x02\0\
            \0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x08\x01\x02\x02\0\x02";
        assert_eq!(bytes, expected);
        assert_eq!(TransactionState::decode(&bytes), Ok(state(Some(vec![orders()]))));
    }

    #[test]
    fn values_without_partitions_and_of_version_0_are_read() {
        let mut bytes = Vec::new();
        state(None).encode(&mut bytes).unwrap();
        assert_eq!(TransactionState::decode(&bytes), Ok(state(None)));
        let old =
            b"\0\0\0\0\0\0\0\0\0\x07\0\x03\0\0\xea\x60\x02\0\0\0\x01\0\x06orders\0\0\0\x02\0\0\0\0\0\0\0\x02\
            \0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x08";
        let without = TransactionState { client_version: 0, ..state(Some(vec![orders()])) };
        assert_eq!(TransactionState::decode(old), Ok(without));
        let newer = Malformed::unsupported("transaction state version", 2, 1);
        assert_eq!(TransactionState::decode(&[0, 2]), Err(newer));
    }

    #[test]
    fn each_status_has_kafkas_number() {
        for (id, status) in (0_u8..).zip(TransactionStatus::ALL) {
            assert_eq!((status.id(), TransactionStatus::from_id(id)), (id, Some(status)));
        }
        assert_eq!(TransactionStatus::from_id(8), None);
        assert_eq!(TransactionStatus::PrepareCommit.id(), 2);
        assert_eq!(TransactionStatus::CompleteAbort.id(), 5);
    }

    #[test]
    fn counts_beyond_the_end_are_refused_and_nothing_is_allocated_for_them() {
        let mut bytes = Vec::new();
        state(Some(vec![orders()])).encode(&mut bytes).unwrap();
        for at in [17, 25] {
            let mut more = bytes.clone();
            more[at] = 0x7f;
            assert!(TransactionState::decode(&more).is_err(), "byte {at}");
        }
        for len in 0..bytes.len() {
            assert!(TransactionState::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn ends_come_back() {
        let ends = [
            DecisionEnd { topic: 1, partition: 2, last: 3, is_input: false },
            DecisionEnd { topic: u128::MAX, partition: 0, last: i64::MAX, is_input: true },
        ];
        let bytes = encode_ends(&ends);
        assert_eq!(bytes.len(), 5 + 2 * END_LEN);
        assert_eq!(decode_ends(&bytes), Ok(ends.to_vec()));
        assert_eq!(decode_ends(&encode_ends(&[])), Ok(Vec::new()));
        assert!(decode_ends(&bytes[..bytes.len() - 1]).is_err());
        assert!(decode_ends(&[2, 0, 0, 0, 0]).is_err());
        assert!(decode_ends(&[0, 0, 0, 0, 0]).is_err());
    }
}
