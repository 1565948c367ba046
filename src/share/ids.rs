//! Which ids were sent lately.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::error::Result;
use crate::topic::Partition;
use crate::types::{Offset, Timestamp};

/// When it was sent, i64 milliseconds, and the id.
pub(super) const ID_HEADER: &str = "annals.message.id";

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
    /// Those of the partitions of a topic.
    pub(super) fn load(window: Window, partitions: &[Partition], now: Timestamp) -> Result<Self> {
        let mut found = Vec::new();
        for partition in partitions {
            let Some(from) = partition.offset_for_time(window.begins(now).max(0))? else { continue };
            let mut reader = partition.walk(from.offset..Offset::MAX)?.with_undecided();
            loop {
                let records = reader.fetch()?;
                if records.is_empty() {
                    break;
                }
                let of = |record: crate::topic::RecordRef<'_>| decode(record.header(ID_HEADER)?);
                found.extend(records.iter().filter_map(of));
            }
        }
        found.sort_unstable_by_key(|(at, _)| *at);
        let mut ids = Self { window, sent: HashMap::new(), order: VecDeque::new(), last: 0 };
        for (at, id) in found {
            ids.note(id, at);
        }
        Ok(ids)
    }

    /// When the id was sent, if that was within the window.
    pub(super) fn find(&self, id: &[u8], window: Window, now: Timestamp) -> Option<Timestamp> {
        let (at, number) = self.sent.get(&hash_of(id))?;
        let is_recent = usize::try_from(self.last - number).unwrap_or(usize::MAX) < window.most;
        (is_recent && *at > window.begins(now)).then_some(*at)
    }

    pub(super) fn add(&mut self, id: &[u8], now: Timestamp) {
        self.note(hash_of(id), now);
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
    Some((Timestamp::from_be_bytes(*at), hash_of(id)))
}

fn hash_of(id: &[u8]) -> u128 {
    let half = |number: u8| {
        let mut hasher = DefaultHasher::new();
        (number, id).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
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
