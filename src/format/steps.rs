//! What a queue in another process than the owner has done, on its way to `__share_group_state`: `annals.steps.*`, a file for each queue. A
//! head, then one frame for each step, as in the spool.
//!
//! ```text
//! head:   "annstp" 0 2 | u64 tenure | u64 version | u32 CRC-32 of what stands before | marks and doubt, as in the spool
//! begin:  key and value of a snapshot: the state is new, and begins at its start
//! update: key and value of an update, of no epoch; its start says that everything below is done, but what is owed
//! owed:   key 'o' and that of an update; value i64 offset, i16 count, i8 kind (0 own, 1 named), string topic, string reason
//! ```

use super::Malformed;
use super::bytes::{self, Reader};
use super::marks::SyncMarks;
use super::share_state::{ShareKey, ShareKind, ShareSnapshot, ShareUpdate};
use super::spool::{FrameMark, SpoolContent, SpooledRecord, decode_frames};
use crate::types::{Offset, Timestamp};

/// `annstp`, and a zero. The version follows.
const MAGIC: [u8; 7] = *b"annstp\0";
const VERSION: u8 = 2;
const MARKS_AT: usize = 28;
/// What the keys of owed letters begin with: keys of the topic begin with a zero.
const OWED: u8 = b'o';
const OWN: u8 = 0;
const NAMED: u8 = 1;

/// What the file begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepsHead {
    pub(crate) id: StepsId,
    pub(crate) marks: SyncMarks,
}

/// Which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepsId {
    /// Another one of a file that is not made from the one before, or when an owner has cut what the steps say: whoever has the queue does not
    /// know what is there any more.
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

/// What frames hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StepsContent {
    /// In whose name, the topic's id, the partition, and what became of some messages; the oldest first.
    pub(crate) steps: Vec<((String, u128, u32), Step)>,
    /// The position in the file where the last whole frame ends. What stands behind it is nothing.
    pub(crate) end: usize,
    /// That frame.
    pub(crate) last: Option<FrameMark>,
}

impl StepsId {
    /// Of the file that is made from this one.
    pub(crate) fn next(self) -> Self {
        Self { version: self.version.wrapping_add(1), ..self }
    }
}

impl StepsHead {
    pub(crate) const LEN: usize = MARKS_AT + SyncMarks::LEN;

    /// Of a file that is synced up to a position before it gets its name, which is in doubt until the names are synced.
    pub(crate) fn new(id: StepsId, durable: usize) -> Self {
        Self { id, marks: SyncMarks::new(MARKS_AT, durable) }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        bytes::put_u64(&mut out, self.id.tenure);
        bytes::put_u64(&mut out, self.id.version);
        let crc = crc32fast::hash(&out);
        bytes::put_u32(&mut out, crc);
        self.marks.encode(&mut out);
        out
    }

    /// # Errors
    /// Another version; bytes that were never written so: the file gets its name after a sync.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.take_array::<7>()? != MAGIC {
            return Err(Malformed::invalid(0, "it does not begin as steps do"));
        }
        let version = reader.take_u8()?;
        if version > VERSION {
            return Err(Malformed::unsupported("steps version", version.into(), VERSION.into()));
        }
        let id = StepsId { tenure: reader.take_u64()?, version: reader.take_u64()? };
        let at = reader.position();
        if version < VERSION || bytes.get(..at).map(crc32fast::hash) != Some(reader.take_u32()?) {
            return Err(Malformed::invalid(at, "its head is broken, or of version 1"));
        }
        Ok(Self { id, marks: SyncMarks::decode(&mut reader)? })
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

/// Takes the frames behind a head apart.
///
/// # Errors
/// A frame that was synced and is broken or missing; a step that is not understood: to pass it over would be to hand out again what is done.
pub(crate) fn decode_steps(frames: &[u8], head: &StepsHead) -> Result<StepsContent, Malformed> {
    let SpoolContent { commits, end, last } = decode_frames(frames, StepsHead::LEN, head.marks.durable())?;
    let steps = commits.iter().flatten().map(decode_step).collect::<Result<_, _>>()?;
    Ok(StepsContent { steps, end, last })
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
    fn a_power_cut_ends_the_steps_that_were_not_synced_and_breaks_none_that_were() {
        let id = StepsId { tenure: 3, version: 9 };
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
        let (mut frames, mut ends) = (Vec::new(), vec![0]);
        for step in &steps {
            frames.extend(encode_spooled(&[encode_step(("group", 77, 3), step).unwrap()]));
            ends.push(frames.len());
        }
        let named: Vec<_> = steps.iter().map(|step| (("group".to_owned(), 77, 3), step.clone())).collect();
        for (durable, kept) in ends.iter().zip(0..) {
            let head = StepsHead::new(id, StepsHead::LEN + durable);
            for cut in 0..=frames.len() {
                let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
                let mut hole = frames.clone();
                let until = ends.get(whole + 1).copied().unwrap_or(cut);
                hole[cut..until].fill(0);
                for left in [&frames[..cut], &hole] {
                    let found = decode_steps(left, &head);
                    assert!(found.is_ok() || whole < kept, "cut at {cut}, synced to {durable}");
                    let Ok(found) = found else { continue };
                    assert!(found.steps.len() >= whole && named.starts_with(&found.steps), "cut at {cut}");
                }
            }
            for at in 0..*durable {
                let mut broken = frames.clone();
                broken[at] ^= 1;
                assert!(decode_steps(&broken, &head).is_err(), "byte {at}");
            }
        }
        let head = StepsHead::new(id, 4711);
        let bytes = head.encode();
        assert_eq!((bytes.len(), StepsHead::decode(&bytes)), (StepsHead::LEN, Ok(head)));
        for at in 0..bytes.len() {
            assert!(StepsHead::decode(&bytes[..at]).is_err(), "cut at {at}");
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            let is_mark = at >= MARKS_AT;
            assert_eq!(StepsHead::decode(&broken).is_ok(), is_mark, "byte {at}");
        }
        let unknown = SpooledRecord { key: b"\0\x07?".to_vec(), value: Some(Vec::new()) };
        assert!(decode_step(&unknown).is_err());
    }
}
