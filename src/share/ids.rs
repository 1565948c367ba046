//! Which ids were sent lately.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::error::Result;
use crate::format::sip_hash_128;
use crate::share::sent_back::was_sent_back;
use crate::topic::{Partition, RecordRef};
use crate::types::{Offset, Timestamp};

/// When it was sent, i64 milliseconds, and the id.
pub(super) const ID_HEADER: &str = "annals.message.id";
/// The same of a record for later. No record is looked at for it: its id is written with it.
pub(super) const LATER_ID_HEADER: &str = "annals.message.id.later";

const MOST_SLOTS: usize = 1 << 30;

/// For how long, and of how many, ids are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) time: Duration,
    pub(super) most: usize,
}

impl Window {
    /// One that holds what either does.
    pub(super) fn or(self, other: Self) -> Self {
        Self { time: self.time.max(other.time), most: self.most.max(other.most) }
    }

    /// One as it is written.
    pub(super) fn from_millis(millis: i64, most: i64) -> Self {
        let time = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        Self { time, most: usize::try_from(most).unwrap_or(0) }
    }

    /// Its time, rounded up.
    pub(super) fn millis(self) -> i64 {
        i64::try_from(self.time.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
    }

    pub(super) fn count(self) -> i64 {
        i64::try_from(self.most).unwrap_or(i64::MAX)
    }

    /// In how many slots all of them have room.
    pub(super) fn slots(self) -> usize {
        self.most.clamp(1, MOST_SLOTS)
    }

    pub(super) fn begins(&self, now: Timestamp) -> Timestamp {
        let time = Timestamp::try_from(self.time.as_millis()).unwrap_or(Timestamp::MAX);
        now.saturating_sub(time)
    }
}

/// The ids of a topic's records within a window. Two ids with the same 128 bits of hash are one: that is one in 10^26 among a
/// million.
#[derive(Debug)]
pub(super) struct Ids {
    pub(super) window: Window,
    /// When each was sent, and the number of its sending.
    sent: HashMap<u128, (Timestamp, u64)>,
    /// The oldest first, by their numbers.
    order: VecDeque<(u128, u64)>,
    last: u64,
}

impl Ids {
    /// Those that were found, the first that was sent first. Their times may go back, as a clock does: of one that was sent more than once the
    /// latest counts, for it is refused for too long rather than sent twice.
    pub(super) fn of(window: Window, found: Vec<(Timestamp, u128)>) -> Self {
        let mut ids = Self { window, sent: HashMap::new(), order: VecDeque::new(), last: 0 };
        for (at, id) in found {
            let at = ids.sent.get(&id).map_or(at, |(known, _)| at.max(*known));
            ids.note(id, at);
        }
        ids
    }

    /// When the id was sent, if that was within the window.
    pub(super) fn find(&self, id: &[u8], window: Window, now: Timestamp) -> Option<Timestamp> {
        let (at, number) = self.sent.get(&sip_hash_128(id))?;
        let is_recent = usize::try_from(self.last - number).unwrap_or(usize::MAX) < window.most;
        (is_recent && *at > window.begins(now)).then_some(*at)
    }

    /// Notes that one was sent. Returns its hash.
    pub(super) fn add(&mut self, id: &[u8], now: Timestamp) -> u128 {
        let hash = sip_hash_128(id);
        self.note(hash, now);
        hash
    }

    fn note(&mut self, id: u128, at: Timestamp) {
        self.last += 1;
        self.sent.insert(id, (at, self.last));
        self.order.push_back((id, self.last));
        while let Some((oldest, number)) = self.order.front().copied() {
            let known = self.sent.get(&oldest).copied();
            let is_old = known.is_none_or(|(sent, last)| last != number || sent <= self.window.begins(at));
            if !is_old && self.order.len() <= self.window.most {
                break;
            }
            self.order.pop_front();
            if known.is_some_and(|(_, last)| last == number) {
                self.sent.remove(&oldest);
            }
        }
    }
}

/// What the header of an id says.
pub(super) fn encode(id: &[u8], now: Timestamp) -> Vec<u8> {
    [&now.to_be_bytes()[..], id].concat()
}

fn decode(header: &[u8]) -> Option<(Timestamp, u128)> {
    let (at, id) = header.split_first_chunk::<8>()?;
    Some((Timestamp::from_be_bytes(*at), sip_hash_128(id)))
}

/// A record that was sent with an id.
#[derive(Debug, Clone)]
pub(super) struct SentRecord {
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    pub(super) at: Timestamp,
    pub(super) hash: u128,
    /// The latest time in its partition up to it: what was sent after another there does not come before it for a clock that went back.
    pub(super) latest: Timestamp,
}

/// The records of a partition from an offset on that were sent with an id. A letter that was sent back is another record: the id was sent with
/// the first.
pub(super) fn sent_from(partition: &Partition, from: Offset) -> Result<Vec<SentRecord>> {
    let mut found = Vec::new();
    let mut latest = Timestamp::MIN;
    let mut reader = partition.walk(from..Offset::MAX)?.with_undecided();
    loop {
        let records = reader.fetch()?;
        if records.is_empty() {
            return Ok(found);
        }
        let of = |record: RecordRef<'_>| {
            let (at, hash) = decode(record.header(ID_HEADER)?)?;
            latest = latest.max(at);
            Some(SentRecord { partition: partition.clone(), offset: record.offset(), at, hash, latest })
        };
        found.extend(records.iter().filter(|record| !was_sent_back(record)).filter_map(of));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_for_the_window_and_no_longer_and_no_more_are_kept() {
        let window = Window { time: Duration::from_millis(100), most: 3 };
        let mut ids = Ids { window, sent: HashMap::new(), order: VecDeque::new(), last: 0 };
        ids.add(b"a", 1000);
        assert_eq!(ids.find(b"a", window, 1099), Some(1000));
        assert_eq!(ids.find(b"a", window, 1100), None);
        for number in 0..1000_u32 {
            ids.add(&number.to_be_bytes(), 1001);
        }
        assert_eq!((ids.sent.len(), ids.order.len()), (3, 3));
        assert_eq!(ids.find(b"a", window, 1001), None);
        assert_eq!(ids.find(&999_u32.to_be_bytes(), window, 1001), Some(1001));
        ids.add(&999_u32.to_be_bytes(), 1050);
        ids.add(b"b", 1120);
        assert_eq!(ids.find(&999_u32.to_be_bytes(), window, 1120), Some(1050));
        assert_eq!(ids.order.len(), 2, "what is out of the window goes");
    }
}
