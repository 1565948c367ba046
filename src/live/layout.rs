//! What stands where in `annals.live`. `docs/format.md` has it as a table.

/// Its name in the store's directory.
pub(crate) const LIVE_FILE: &str = "annals.live";

/// The file grows by so many bytes, which are mapped together: a multiple of every page size in use.
pub(super) const PIECE_BYTES: usize = 64 * 1024;
/// Words of 8 bytes in a piece.
const PIECE_WORDS: usize = PIECE_BYTES / 8;
/// Words of the head.
pub(super) const HEAD_WORDS: usize = 512;
/// Words of a slot: two cache lines.
pub(super) const SLOT_WORDS: usize = 16;
/// More partitions than that are not shown.
pub(super) const MOST_SLOTS: usize = 1 << 20;

/// `annals`, a zero, and the version.
pub(super) const MAGIC: u64 = u64::from_be_bytes(*b"annals\0\x03");

/// Words of the head.
pub(super) mod head {
    pub(in crate::live) const MAGIC: usize = 0;
    /// How often the store was opened, and what its owner does: see [`Life`](super::Life).
    pub(in crate::live) const LIFE: usize = 1;
    pub(in crate::live) const PID: usize = 2;
    /// How many slots there are, used or not.
    pub(in crate::live) const SLOTS: usize = 3;
    /// Another number after each change of the list of topics.
    pub(in crate::live) const CATALOG: usize = 4;
    /// 1 once another process has done what the owner is to take over before long.
    pub(in crate::live) const WISH: usize = 5;
    /// On the lower half of this one readers sleep.
    pub(in crate::live) const BELL: usize = 8;
}

/// Words of a slot.
pub(super) mod word {
    /// Odd while the words up to `MAX_TIMESTAMP` are being changed.
    pub(in crate::live) const SEQUENCE: usize = 0;
    pub(in crate::live) const TOPIC_HIGH: usize = 1;
    pub(in crate::live) const TOPIC_LOW: usize = 2;
    /// The kind in the upper half, the partition's number in the lower.
    pub(in crate::live) const KIND: usize = 3;
    /// Another number whenever files may have other names or lengths than before.
    pub(in crate::live) const GENERATION: usize = 4;
    pub(in crate::live) const START: usize = 5;
    pub(in crate::live) const END: usize = 6;
    pub(in crate::live) const STABLE: usize = 7;
    pub(in crate::live) const BASE: usize = 8;
    /// Records of the segment that grows in the upper half, its bytes in the lower.
    pub(in crate::live) const FILLED: usize = 9;
    /// Bytes that were appended in this life: it only rises, whatever is taken out.
    pub(in crate::live) const APPENDED: usize = 10;
    pub(in crate::live) const FIRST_TIMESTAMP: usize = 11;
    pub(in crate::live) const MAX_TIMESTAMP: usize = 12;
    /// By itself: syncs move it, which have no lock in common with appends.
    pub(in crate::live) const DURABLE: usize = 13;
    /// 1 while a reader waits for more. The only word of a slot that readers write.
    pub(in crate::live) const WANTED: usize = 14;
    /// By itself, as `DURABLE` is.
    pub(in crate::live) const KEPT: usize = 15;
}

/// What is shown of a partition at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The topic's id.
    pub(crate) topic: u128,
    pub(crate) partition: u32,
    pub(crate) kind: Kind,
    pub(crate) generation: u64,
    pub(crate) start: i64,
    /// Where the segment begins that grows.
    pub(crate) base: i64,
    pub(crate) growth: Growth,
    /// Bytes of batches that its owner has appended since it opened the store.
    pub(crate) appended_bytes: u64,
    pub(crate) synced: Synced,
}

pub(super) const NOTHING: Synced = Synced { durable: 0, kept: 0 };

/// How far a partition is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Synced {
    /// What lies below was synced.
    pub(crate) durable: i64,
    /// The same, and belongs to no transaction without its end in the log, which a power cut may take back.
    pub(crate) kept: i64,
}

/// What an edit of a partition's table of segments changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) kind: Kind,
    pub(crate) start: i64,
    pub(crate) base: i64,
    pub(crate) growth: Growth,
}

/// What an append changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Growth {
    pub(crate) end: i64,
    /// Everything below belongs to no transaction, to one that has its end in the log, or to one that was decided to be committed.
    pub(crate) stable: i64,
    /// Of the segment that grows: bytes and records of whole batches, and their times.
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) first_timestamp: i64,
    pub(crate) max_timestamp: i64,
}

/// Bytes and records of a segment in one word. Neither comes near its half: a segment has at most 2 GiB.
pub(super) fn filled(bytes: u64, records: u64) -> u64 {
    let half = |number: u64| number.min(u64::from(u32::MAX));
    half(records) << 32 | half(bytes)
}

/// The other way round.
pub(super) fn bytes_and_records(filled: u64) -> (u64, u64) {
    (filled & u64::from(u32::MAX), filled >> 32)
}

/// What a slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nobody's.
    Free,
    /// Of a partition that was not appended to since the store was opened, or was closed: the files are as they were found, and
    /// whoever reads them finds the same.
    AsFound,
    /// Of one that is appended to: the state file lists the segments that do not grow any more.
    Growing,
}

impl Kind {
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Free => 0,
            Self::AsFound => 1,
            Self::Growing => 2,
        }
    }

    pub(super) fn of(number: u64) -> Self {
        match number {
            1 => Self::AsFound,
            2 => Self::Growing,
            _ => Self::Free,
        }
    }
}

/// How often the store was opened, and what its owner does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life(pub(super) u64);

/// What an owner does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Closed,
    Opening,
    Open,
    /// It has the store open and shows nothing.
    Silent,
}

impl Life {
    pub(super) fn stage(self) -> Stage {
        match self.0 & 3 {
            0 => Stage::Closed,
            1 => Stage::Opening,
            2 => Stage::Open,
            _ => Stage::Silent,
        }
    }

    pub(super) fn at(self, stage: Stage) -> Self {
        let number = match stage {
            Stage::Closed => 0,
            Stage::Opening => 1,
            Stage::Open => 2,
            Stage::Silent => 3,
        };
        Self(self.0 & !3 | number)
    }

    pub(super) fn next(self) -> Self {
        Self((self.0 & !3).wrapping_add(4))
    }

    /// The first generation of what is shown in this life: no other life has the same.
    pub(super) fn first_generation(self) -> u64 {
        (self.0 >> 2) << 40
    }
}

/// The piece and the word in it where a slot begins.
pub(super) fn place_of(slot: usize) -> (usize, usize) {
    let word = HEAD_WORDS + slot * SLOT_WORDS;
    (word / PIECE_WORDS, word % PIECE_WORDS)
}

/// So many slots are in a file of so many pieces.
pub(super) fn slots_in(pieces: usize) -> usize {
    (pieces * PIECE_WORDS).saturating_sub(HEAD_WORDS) / SLOT_WORDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_lie_one_behind_the_other_and_none_lies_in_two_pieces() {
        let mut before = HEAD_WORDS - SLOT_WORDS;
        for slot in 0..slots_in(3) {
            let (piece, word) = place_of(slot);
            assert_eq!(piece * PIECE_WORDS + word, before + SLOT_WORDS);
            assert!(word + SLOT_WORDS <= PIECE_WORDS && piece < 3);
            before += SLOT_WORDS;
        }
        assert_eq!((slots_in(0), slots_in(1), slots_in(2)), (0, 480, 992));
        assert_eq!(place_of(slots_in(3)).0, 3);
    }

    #[test]
    fn a_life_has_stages_and_another_follows() {
        let first = Life(0).next();
        assert_eq!(first.at(Stage::Open).stage(), Stage::Open);
        assert_eq!(first.at(Stage::Open).at(Stage::Closed).next(), first.next());
        assert!(first.next().first_generation() > first.first_generation() + (1 << 30));
        for kind in [Kind::Free, Kind::AsFound, Kind::Growing] {
            assert_eq!(Kind::of(kind.number()), kind);
        }
    }
}
