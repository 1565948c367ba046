//! The hash that sends a key to its partition, the same as that of Kafka's Java clients.

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;

/// Kafka's 32-bit murmur2.
pub(crate) fn murmur2(bytes: &[u8]) -> i32 {
    // Java hashes arrays, whose length is an i32; the length of anything longer wraps the same way.
    let [low, second, third, fourth, ..] = bytes.len().to_le_bytes();
    let mut hash = SEED ^ u32::from_le_bytes([low, second, third, fourth]);
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let word = word.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        let mut mixed = word.wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed.wrapping_mul(MULTIPLIER);
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        hash ^= tail.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    (hash ^ hash >> 15).cast_signed()
}

/// The partition, below `partitions`, of a key that is not null. Zero partitions count as one.
pub(crate) fn partition_for_key(key: &[u8], partitions: u32) -> u32 {
    if partitions <= 1 {
        return 0;
    }
    let positive = murmur2(key).cast_unsigned() & 0x7fff_ffff;
    positive.checked_rem(partitions).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafka_vectors() {
        let vectors = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn the_sign_bit_is_masked_not_negated() {
        let hash = u32::try_from(-973_932_308_i64 & 0x7fff_ffff).unwrap();
        assert_eq!(partition_for_key(b"21", 7), hash % 7);
        assert_eq!(partition_for_key(b"", 1), 0);
        assert_eq!(partition_for_key(b"x", 0), 0);
    }
}
