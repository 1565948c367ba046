//! What records are found by, and its hash.

use crate::format::record::RawRecord;

/// Bits of a hash.
const HASH_BITS: u32 = 48;
/// Bits of its block of the filter that a hash sets.
const PROBES: u32 = 6;

/// The header that names an event's type.
pub(crate) const TYPE_HEADER: &[u8] = b"type";
/// The header that names one of its tags.
pub(crate) const TAG_HEADER: &[u8] = b"tag";

/// What a term is: the same bytes are another term in another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TermKind {
    Key,
    Type,
    Tag,
}

/// The hash of a term: 48 bits of MurmurHash64A, whose seed is the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct TermHash(pub(super) u64);

impl TermHash {
    #[inline]
    pub(crate) fn of(kind: TermKind, bytes: &[u8]) -> Self {
        let seed = match kind {
            TermKind::Key => 1,
            TermKind::Type => 2,
            TermKind::Tag => 3,
        };
        Self(murmur64(bytes, seed) >> (64 - HASH_BITS))
    }

    /// A number for tables in memory.
    #[inline]
    pub(crate) fn spread(self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Its upper 16 and its lower 32 bits.
    #[inline]
    pub(crate) fn halves(self) -> (u16, u32) {
        let [_, _, a, b, c, d, e, f] = self.0.to_be_bytes();
        (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]))
    }

    /// The hash of these.
    #[inline]
    pub(crate) fn of_halves(high: u16, low: u32) -> Self {
        Self(u64::from(high) << 32 | u64::from(low))
    }

    pub(super) fn bucket(self, buckets: u32) -> u32 {
        let bits = buckets.trailing_zeros();
        u32::try_from(self.0 >> (HASH_BITS - bits)).unwrap_or(u32::MAX)
    }

    pub(super) fn block(self, blocks: u32) -> u32 {
        let product = u128::from(self.0) * u128::from(blocks);
        u32::try_from(product >> HASH_BITS).unwrap_or(u32::MAX)
    }

    /// The bits of its block that it sets.
    pub(super) fn bits(self) -> impl Iterator<Item = usize> {
        let spread = self.spread();
        (0..PROBES).map(move |probe| usize::try_from((spread >> (probe * 9)) & 511).unwrap_or(0))
    }
}

/// What a record is found by: its key, its type, its tags.
#[inline]
pub(crate) fn for_each_term(record: &RawRecord<'_>, mut found: impl FnMut(TermHash)) {
    if let Some(key) = record.key {
        found(TermHash::of(TermKind::Key, key));
    }
    if record.headers.len() > 0 {
        for header in record.headers.raw() {
            match (header.name, header.value) {
                (TYPE_HEADER, Some(value)) => found(TermHash::of(TermKind::Type, value)),
                (TAG_HEADER, Some(value)) => found(TermHash::of(TermKind::Tag, value)),
                _ => {}
            }
        }
    }
}

/// MurmurHash64A.
fn murmur64(bytes: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> 47;
        hash = (hash ^ word.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |last, byte| last << 8 | u64::from(*byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 47)).wrapping_mul(M);
    hash ^ (hash >> 47)
}
