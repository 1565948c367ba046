//! XXH32 with seed 0, the checksum of LZ4 frames.

const PRIME_1: u32 = 2_654_435_761;
const PRIME_2: u32 = 2_246_822_519;
const PRIME_3: u32 = 3_266_489_917;
const PRIME_4: u32 = 668_265_263;
const PRIME_5: u32 = 374_761_393;
const STRIPE: usize = 16;

/// The checksum of `bytes`.
pub(super) fn xxh32(bytes: &[u8]) -> u32 {
    let mut stripes = bytes.chunks_exact(STRIPE);
    let mut hash = if bytes.len() < STRIPE { PRIME_5 } else { mix_stripes(&mut stripes) };
    let [first, second, third, fourth, ..] = bytes.len().to_le_bytes();
    hash = hash.wrapping_add(u32::from_le_bytes([first, second, third, fourth]));
    let mut words = stripes.remainder().chunks_exact(4);
    for word in &mut words {
        hash = hash
            .wrapping_add(little_endian(word).wrapping_mul(PRIME_3))
            .rotate_left(17)
            .wrapping_mul(PRIME_4);
    }
    for byte in words.remainder() {
        hash =
            hash.wrapping_add(u32::from(*byte).wrapping_mul(PRIME_5)).rotate_left(11).wrapping_mul(PRIME_1);
    }
    hash = (hash ^ hash >> 15).wrapping_mul(PRIME_2);
    hash = (hash ^ hash >> 13).wrapping_mul(PRIME_3);
    hash ^ hash >> 16
}

fn mix_stripes(stripes: &mut std::slice::ChunksExact<'_, u8>) -> u32 {
    let mut lanes = [PRIME_1.wrapping_add(PRIME_2), PRIME_2, 0, 0_u32.wrapping_sub(PRIME_1)];
    for stripe in stripes {
        for (lane, word) in lanes.iter_mut().zip(stripe.chunks_exact(4)) {
            *lane = lane
                .wrapping_add(little_endian(word).wrapping_mul(PRIME_2))
                .rotate_left(13)
                .wrapping_mul(PRIME_1);
        }
    }
    let rotated = lanes.into_iter().zip([1, 7, 12, 18]).map(|(lane, by)| lane.rotate_left(by));
    rotated.fold(0, u32::wrapping_add)
}

fn little_endian(word: &[u8]) -> u32 {
    word.first_chunk().copied().map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        assert_eq!(xxh32(b""), 0x02cc_5d05);
        assert_eq!(xxh32(b"a"), 0x550d_7456);
        assert_eq!(xxh32(b"abc"), 0x32d1_53ff);
        // One stripe and nothing else.
        assert_eq!(xxh32(b"0123456789abcdef"), 0xc2c4_5b69);
        assert_eq!(xxh32(b"Nobody inspects the spammish repetition"), 0xe229_3b2f);
    }
}
