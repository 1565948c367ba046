//! What a queue in another process than the owner has done, on its way to `__share_group_state`: `annals.steps.*`, a file for each queue. A
//! head, then one frame for each step, as in the spool.
//!
//! ```text
//! head:   "annstp" 0 1 | u64 tenure | u64 version | u32 CRC-32 of what stands before
//! begin:  key and value of a snapshot: the state is new, and begins at its start
//! update: key and value of an update, of no epoch; its start says that everything below is done, but what is owed
//! owed:   key 'o' and that of an update; value i64 offset, i16 count, i8 kind (0 own, 1 named), string topic, string reason
//! ```

use super::Malformed;
use super::bytes::{self, Reader};
use super::share_state::{ShareKey, ShareKind, ShareSnapshot, ShareUpdate};
use super::spool::{SpooledRecord, decode_unmarked};
use crate::types::{Offset, Timestamp};

/// `annstp`, a zero, and the version.
const MAGIC: [u8; 8] = *b"annstp\0\x01";
/// What the keys of owed letters begin with: keys of the topic begin with a zero.
const OWED: u8 = b'o';
const OWN: u8 = 0;
const NAMED: u8 = 1;

/// Which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepsHead {
    /// Another one when an owner has cut what the steps say: whoever has the queue does not know what is there any more.
    pub(crate) tenure: u64,
    /// Another one whenever the file was replaced.
    pub(crate) version: u64,
}

/// A message that is given up, and whose letter only the owner can write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwedLetter {
    pub(crate) offset: Offset,
    /// How often it was handed out.
    pub(crate) count: i16,
    /// The topic of the letter; `None` for the queue's own.
    pub(crate) letters: Option<String>,
    pub(crate) reason: String,
}

/// What became of messages of one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Begin(Offset),
    Update(ShareUpdate),
    Owed(OwedLetter),
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StepsContent {
    pub(crate) head: StepsHead,
    /// In whose name, the topic's id, the partition, and what became of some messages; the oldest first.
    pub(crate) steps: Vec<((String, u128, u32), Step)>,
    /// Where the last whole frame ends.
    pub(crate) end: usize,
}

impl StepsHead {
    pub(crate) const LEN: usize = 28;

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        bytes::put_u64(&mut out, self.tenure);
        bytes::put_u64(&mut out, self.version);
        let crc = crc32fast::hash(&out);
        bytes::put_u32(&mut out, crc);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.take_array::<8>()? != MAGIC {
            return Err(Malformed::invalid(0, "it does not begin as steps of this version do"));
        }
        let (tenure, version) = (reader.take_u64()?, reader.take_u64()?);
        let at = reader.position();
        if bytes.get(..at).map(crc32fast::hash) != Some(reader.take_u32()?) {
            return Err(Malformed::invalid(at, "its head is broken"));
        }
        Ok(Self { tenure, version })
    }
}

/// The record of a step, for a frame.
pub(crate) fn encode_step(
    (owner, topic, partition): (&str, u128, u32),
    step: &Step,
) -> Result<SpooledRecord, Malformed> {
    let partition = i32::try_from(partition).unwrap_or(i32::MAX);
    let kind = if matches!(step, Step::Begin(_)) { ShareKind::Snapshot } else { ShareKind::Update };
    let (mut key, mut value) = (Vec::new(), Vec::new());
    if let Step::Owed(_) = step {
        key.push(OWED);
    }
    ShareKey { kind, group: owner, topic, partition }.encode(&mut key)?;
    match step {
        Step::Begin(start) => beginning(*start).encode(&mut value)?,
        Step::Update(update) => update.encode(&mut value)?,
        Step::Owed(owed) => {
            bytes::put_i64(&mut value, owed.offset);
            bytes::put_i16(&mut value, owed.count);
            value.push(if owed.letters.is_some() { NAMED } else { OWN });
            bytes::put_string(&mut value, owed.letters.as_deref().unwrap_or_default())?;
            bytes::put_string(&mut value, &owed.reason)?;
        }
    }
    Ok(SpooledRecord { key, value: Some(value) })
}

fn beginning(start: Offset) -> ShareSnapshot {
    let (create_time, write_time): (Timestamp, Timestamp) = (0, 0);
    ShareSnapshot {
        epoch: 0,
        state_epoch: 0,
        leader_epoch: 0,
        start,
        create_time,
        write_time,
        batches: Vec::new(),
        complete_count: -1,
    }
}

/// Takes a file apart.
///
/// # Errors
/// Another head; a frame that is broken and is not the last; a step that is not understood: to pass it over would be to hand out again
/// what is done.
pub(crate) fn decode_steps(bytes: &[u8]) -> Result<StepsContent, Malformed> {
    let head = StepsHead::decode(bytes)?;
    let frames = decode_unmarked(bytes, StepsHead::LEN)?;
    let steps = frames.commits.iter().flatten().map(decode_step).collect::<Result<_, _>>()?;
    Ok(StepsContent { head, steps, end: frames.end })
}

fn decode_step(record: &SpooledRecord) -> Result<((String, u128, u32), Step), Malformed> {
    let unknown = || Malformed::invalid(0, "a step of a kind that is not known");
    let value = record.value.as_deref().ok_or_else(unknown)?;
    let is_owed = record.key.first() == Some(&OWED);
    let key = record.key.get(usize::from(is_owed)..).unwrap_or_default();
    let key = ShareKey::decode(key)?.ok_or_else(unknown)?;
    let partition = u32::try_from(key.partition).map_err(|_| unknown())?;
    let step = match key.kind {
        ShareKind::Snapshot => Step::Begin(ShareSnapshot::decode(value)?.start),
        ShareKind::Update if is_owed => Step::Owed(decode_owed(value)?),
        ShareKind::Update => Step::Update(ShareUpdate::decode(value)?),
    };
    Ok(((key.group.to_owned(), key.topic, partition), step))
}

fn decode_owed(value: &[u8]) -> Result<OwedLetter, Malformed> {
    let mut reader = Reader::new(value);
    let (offset, count) = (reader.take_i64()?, reader.take_i16()?);
    if !(0..Offset::MAX).contains(&offset) {
        return Err(Malformed::invalid(0, format!("a letter of offset {offset}")));
    }
    let is_named = reader.take_u8()? == NAMED;
    let (topic, reason) = (reader.take_string()?.to_owned(), reader.take_string()?.to_owned());
    Ok(OwedLetter { offset, count: count.max(0), letters: is_named.then_some(topic), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{DeliveryState, StateBatch, encode_spooled};

    #[test]
    fn what_is_cut_off_anywhere_is_the_steps_before_and_what_is_broken_is_told() {
        let head = StepsHead { tenure: 3, version: 9 };
        let batch = StateBatch { first: 4, last: 9, state: DeliveryState::Acknowledged, count: 2 };
        let update = ShareUpdate {
            epoch: 0,
            leader_epoch: 0,
            start: Some(4),
            batches: vec![batch],
            complete_count: -1,
        };
        let owed = OwedLetter { offset: 7, count: 5, letters: None, reason: "no".to_owned() };
        let named = OwedLetter { letters: Some("dead".to_owned()), ..owed.clone() };
        let steps = [Step::Begin(4), Step::Update(update), Step::Owed(owed), Step::Owed(named)];
        let mut bytes = head.encode();
        assert_eq!(bytes.len(), StepsHead::LEN);
        let mut ends = vec![bytes.len()];
        for step in &steps {
            bytes.extend(encode_spooled(&[encode_step(("group", 77, 3), step).unwrap()]));
            ends.push(bytes.len());
        }
        for cut in StepsHead::LEN..=bytes.len() {
            let found = decode_steps(&bytes[..cut]).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!((found.head, found.end), (head, ends[whole]), "cut at {cut}");
            let expected: Vec<_> =
                steps[..whole].iter().map(|step| (("group".to_owned(), 77, 3), step.clone())).collect();
            assert_eq!(found.steps, expected, "cut at {cut}");
        }
        for cut in 0..StepsHead::LEN {
            assert!(decode_steps(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..ends[3] {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            // A length that leads beyond the end is that of a frame that was cut off.
            let is_length = ends.iter().any(|end| (*end..*end + 4).contains(&at));
            let found = decode_steps(&broken);
            assert!(found.is_err() || is_length && found.unwrap().end < bytes.len(), "byte {at}");
        }
        let unknown = SpooledRecord { key: b"\0\x07?".to_vec(), value: Some(Vec::new()) };
        assert!(decode_step(&unknown).is_err());
    }
}
