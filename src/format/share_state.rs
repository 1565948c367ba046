//! Records of `__share_group_state`: how far each queue is in each partition, and what is under way there.
//!
//! Key: i16 kind (0 snapshot, 1 update), string group, 16 bytes topic id, i32 partition. A snapshot stands for all that came
//! before it; an update changes the snapshot whose epoch it bears. A snapshot's key without a value deletes the state.
//!
//! ```text
//! snapshot: i16 0 | i32 epoch | i32 state epoch | i32 leader epoch | i64 start | i64 create time | i64 write time | batches | tags
//! update:   i16 0 | i32 epoch | i32 leader epoch | i64 start, -1 as before | batches | tags
//! batches:  compact array of { i64 first, i64 last, i8 state, i16 count, tags }
//! tag 0:    i32 how many records between start and the last batch are done
//! ```

use super::Malformed;
use super::bytes::{self, Reader};
use super::offset_commit::check_version;
use crate::types::{Offset, Timestamp};

const SNAPSHOT_KEY: i16 = 0;
const UPDATE_KEY: i16 = 1;
const VALUE_VERSION: i16 = 0;
const COMPLETE_COUNT_TAG: u32 = 0;
const COMPLETE_COUNT_LEN: u32 = 4;
/// Of one batch: two offsets, state, count, no tags.
const BATCH_LEN: usize = 20;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum DeliveryState {
    /// To be delivered, for the first time or again.
    Available,
    /// With a worker. Never written by us; read as available.
    Acquired,
    Acknowledged,
    /// On its way to the dead letters. Written by brokers; read as available.
    Archiving,
    /// Given up: rejected, delivered too often, or no longer there.
    Archived,
}

impl DeliveryState {
    const ALL: [Self; 5] =
        [Self::Available, Self::Acquired, Self::Acknowledged, Self::Archiving, Self::Archived];

    fn id(self) -> u8 {
        let at = Self::ALL.iter().position(|state| *state == self).unwrap_or_default();
        u8::try_from(at).unwrap_or_default()
    }
}

/// Records one after the other with one state and one count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StateBatch {
    pub(crate) first: Offset,
    pub(crate) last: Offset,
    pub(crate) state: DeliveryState,
    /// How often they were delivered.
    pub(crate) count: i16,
}

/// Whose state a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ShareKey<'a> {
    pub(crate) kind: ShareKind,
    pub(crate) group: &'a str,
    pub(crate) topic: u128,
    pub(crate) partition: i32,
}

/// What a record of the topic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ShareKind {
    Snapshot,
    Update,
}

/// All of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShareSnapshot {
    pub(crate) epoch: i32,
    pub(crate) state_epoch: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) start: Offset,
    pub(crate) create_time: Timestamp,
    pub(crate) write_time: Timestamp,
    pub(crate) batches: Vec<StateBatch>,
    /// -1 when not known.
    pub(crate) complete_count: i32,
}

/// A change of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShareUpdate {
    /// Of the snapshot that it changes.
    pub(crate) epoch: i32,
    pub(crate) leader_epoch: i32,
    /// `None` leaves it where it is.
    pub(crate) start: Option<Offset>,
    pub(crate) batches: Vec<StateBatch>,
    /// -1 when not known.
    pub(crate) complete_count: i32,
}

impl<'a> ShareKey<'a> {
    /// Appends the key's bytes. A group beyond 32767 bytes is an error.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let kind = match self.kind {
            ShareKind::Snapshot => SNAPSHOT_KEY,
            ShareKind::Update => UPDATE_KEY,
        };
        bytes::put_i16(out, kind);
        bytes::put_string(out, self.group)?;
        bytes::put_u128(out, self.topic);
        bytes::put_i32(out, self.partition);
        Ok(())
    }

    /// `None` for a kind that is not known.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut reader = Reader::new(bytes);
        let kind = match reader.take_i16()? {
            SNAPSHOT_KEY => ShareKind::Snapshot,
            UPDATE_KEY => ShareKind::Update,
            kind if kind < 0 => {
                return Err(Malformed::invalid(0, format!("key version {kind} is negative")));
            }
            _ => return Ok(None),
        };
        let (group, topic, partition) = (reader.take_string()?, reader.take_u128()?, reader.take_i32()?);
        Ok(Some(Self { kind, group, topic, partition }))
    }
}

impl ShareSnapshot {
    /// Appends the value's bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        bytes::put_i16(out, VALUE_VERSION);
        bytes::put_i32(out, self.epoch);
        bytes::put_i32(out, self.state_epoch);
        bytes::put_i32(out, self.leader_epoch);
        bytes::put_i64(out, self.start);
        bytes::put_i64(out, self.create_time);
        bytes::put_i64(out, self.write_time);
        put_batches(out, &self.batches)?;
        put_tags(out, self.complete_count);
        Ok(())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        check_version(reader.take_i16()?, "share snapshot version", VALUE_VERSION)?;
        let (epoch, state_epoch, leader_epoch) = (reader.take_i32()?, reader.take_i32()?, reader.take_i32()?);
        let at = reader.position();
        let (start, create_time, write_time) = (reader.take_i64()?, reader.take_i64()?, reader.take_i64()?);
        if start < 0 {
            return Err(Malformed::invalid(at, format!("start {start} is negative")));
        }
        let batches = take_batches(&mut reader)?;
        let complete_count = take_tags(&mut reader)?;
        Ok(Self { epoch, state_epoch, leader_epoch, start, create_time, write_time, batches, complete_count })
    }
}

impl ShareUpdate {
    /// Appends the value's bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        bytes::put_i16(out, VALUE_VERSION);
        bytes::put_i32(out, self.epoch);
        bytes::put_i32(out, self.leader_epoch);
        bytes::put_i64(out, self.start.unwrap_or(-1));
        put_batches(out, &self.batches)?;
        put_tags(out, self.complete_count);
        Ok(())
    }

    /// Appends the bytes of one that says only what becomes of some records.
    pub(crate) fn encode_batches(
        epoch: i32,
        batches: &[StateBatch],
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        bytes::put_i16(out, VALUE_VERSION);
        bytes::put_i32(out, epoch);
        bytes::put_i32(out, 0);
        bytes::put_i64(out, -1);
        put_batches(out, batches)?;
        put_tags(out, -1);
        Ok(())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        check_version(reader.take_i16()?, "share update version", VALUE_VERSION)?;
        let (epoch, leader_epoch) = (reader.take_i32()?, reader.take_i32()?);
        let start = Some(reader.take_i64()?).filter(|start| *start >= 0);
        let batches = take_batches(&mut reader)?;
        let complete_count = take_tags(&mut reader)?;
        Ok(Self { epoch, leader_epoch, start, batches, complete_count })
    }
}

fn put_batches(out: &mut Vec<u8>, batches: &[StateBatch]) -> Result<(), Malformed> {
    let count = u32::try_from(batches.len()).ok().and_then(|count| count.checked_add(1));
    let count = count.ok_or_else(|| Malformed::invalid(0, "more than 4294967294 batches"))?;
    bytes::put_unsigned(out, count);
    for batch in batches {
        bytes::put_i64(out, batch.first);
        bytes::put_i64(out, batch.last);
        out.push(batch.state.id());
        bytes::put_i16(out, batch.count);
        bytes::put_unsigned(out, 0);
    }
    Ok(())
}

fn put_tags(out: &mut Vec<u8>, complete_count: i32) {
    if complete_count < 0 {
        bytes::put_unsigned(out, 0);
        return;
    }
    [1, COMPLETE_COUNT_TAG, COMPLETE_COUNT_LEN].into_iter().for_each(|word| bytes::put_unsigned(out, word));
    bytes::put_i32(out, complete_count);
}

fn take_batches(reader: &mut Reader<'_>) -> Result<Vec<StateBatch>, Malformed> {
    let at = reader.position();
    let raw = usize::try_from(reader.take_unsigned()?).unwrap_or(usize::MAX);
    let count = raw.checked_sub(1).ok_or_else(|| Malformed::invalid(at, "null where batches are needed"))?;
    if count > reader.remaining() / BATCH_LEN {
        return Err(Malformed::invalid(at, "a count beyond the end"));
    }
    (0..count).map(|_| take_batch(reader)).collect()
}

fn take_batch(reader: &mut Reader<'_>) -> Result<StateBatch, Malformed> {
    let at = reader.position();
    let (first, last) = (reader.take_i64()?, reader.take_i64()?);
    if first < 0 || last < first || last == Offset::MAX {
        return Err(Malformed::invalid(at, format!("records from {first} to {last}")));
    }
    let at = reader.position();
    let state = DeliveryState::ALL.get(usize::from(reader.take_u8()?)).copied();
    let state = state.ok_or_else(|| Malformed::invalid(at, "a state that does not exist"))?;
    let count = reader.take_i16()?;
    reader.skip_tags()?;
    Ok(StateBatch { first, last, state, count: count.max(0) })
}

fn take_tags(reader: &mut Reader<'_>) -> Result<i32, Malformed> {
    let mut complete_count = -1;
    for _ in 0..reader.take_unsigned()? {
        let (tag, at) = (reader.take_unsigned()?, reader.position());
        let len = reader.take_unsigned()?;
        let value = reader.take(usize::try_from(len).unwrap_or(usize::MAX))?;
        match tag {
            COMPLETE_COUNT_TAG if len == COMPLETE_COUNT_LEN => {
                complete_count = Reader::new(value).take_i32()?;
            }
            COMPLETE_COUNT_TAG => return Err(Malformed::invalid(at, format!("a count of {len} bytes"))),
            _ => {}
        }
    }
    Ok(complete_count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: u128 = 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10;

    fn batch(first: Offset, last: Offset, state: DeliveryState, count: i16) -> StateBatch {
        StateBatch { first, last, state, count }
    }

    fn snapshot() -> ShareSnapshot {
        ShareSnapshot {
            epoch: 3,
            state_epoch: 0,
            leader_epoch: 0,
            start: 5,
            create_time: 7,
            write_time: 9,
            batches: vec![
                batch(5, 5, DeliveryState::Available, 2),
                batch(6, 8, DeliveryState::Acknowledged, 1),
            ],
            complete_count: 3,
        }
    }

    #[test]
    fn keys_are_kafkas() {
        for (kind, number) in [(ShareKind::Snapshot, 0), (ShareKind::Update, 1)] {
            let key = ShareKey { kind, group: "g", topic: TOPIC, partition: 4 };
            let mut bytes = Vec::new();
            key.encode(&mut bytes).unwrap();
            let expected =
                [&[0, number, 0, 1, b'g'][..], &(1..=16).collect::<Vec<u8>>(), &[0, 0, 0, 4]].concat();
            assert_eq!(bytes, expected);
            assert_eq!(ShareKey::decode(&bytes), Ok(Some(key)));
            assert!(ShareKey::decode(&bytes[..bytes.len() - 1]).is_err());
        }
        assert_eq!(ShareKey::decode(b"\0\x02anything"), Ok(None));
        assert!(ShareKey::decode(b"\xff\xff").is_err());
        let long = "g".repeat(40_000);
        let key = ShareKey { kind: ShareKind::Update, group: &long, topic: 0, partition: 0 };
        assert!(key.encode(&mut Vec::new()).is_err());
    }

    #[test]
    fn snapshots_are_written_as_the_share_coordinator_writes_them() {
        let mut bytes = Vec::new();
        snapshot().encode(&mut bytes).unwrap();
        let expected =
            b"\0\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x09\x03\
            \0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x05\0\0\x02\0\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x08\x02\0\x01\0\
            \x01\0\x04\0\0\0\x03";
        assert_eq!(bytes, expected);
        assert_eq!(ShareSnapshot::decode(&bytes), Ok(snapshot()));
        for len in 0..bytes.len() {
            assert!(ShareSnapshot::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
        let newer = Malformed::unsupported("share snapshot version", 1, 0);
        assert_eq!(ShareSnapshot::decode(&[0, 1]), Err(newer));
    }

    #[test]
    fn updates_are_written_as_the_share_coordinator_writes_them() {
        let update = ShareUpdate {
            epoch: 3,
            leader_epoch: 0,
            start: None,
            batches: vec![batch(9, 10, DeliveryState::Archived, 5)],
            complete_count: -1,
        };
        let mut bytes = Vec::new();
        update.encode(&mut bytes).unwrap();
        let expected = b"\0\0\0\0\0\x03\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x02\
            \0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x0a\x04\0\x05\0\0";
        assert_eq!(bytes, expected);
        assert_eq!(ShareUpdate::decode(&bytes), Ok(update.clone()));
        for len in 0..bytes.len() {
            assert!(ShareUpdate::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
        let moved = ShareUpdate { start: Some(4), ..update };
        bytes.clear();
        moved.encode(&mut bytes).unwrap();
        assert_eq!(ShareUpdate::decode(&bytes), Ok(moved));
    }

    #[test]
    fn counts_beyond_the_end_and_ranges_that_are_none_are_refused() {
        let mut bytes = Vec::new();
        snapshot().encode(&mut bytes).unwrap();
        let count_at = 38;
        assert_eq!(bytes[count_at], 3);
        for wrong in [0, 4, 0x7f] {
            let mut more = bytes.clone();
            more[count_at] = wrong;
            assert!(ShareSnapshot::decode(&more).is_err(), "{wrong} for the count");
        }
        let mut backwards = bytes.clone();
        backwards[count_at + 8] = 6;
        assert!(ShareSnapshot::decode(&backwards).is_err());
        let mut no_state = bytes;
        no_state[count_at + 17] = 5;
        assert!(ShareSnapshot::decode(&no_state).is_err());
    }
}
