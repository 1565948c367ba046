//! SipHash-2-4 with 128 bits of hash and a key of zeros: the same in every version, for hashes that are stored.

/// The hash of some bytes, as a little-endian number.
pub(crate) fn sip_hash_128(bytes: &[u8]) -> u128 {
    let mut state = State::new();
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        state.take_in(word.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }
    let tail = words.remainder().iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let [length, ..] = bytes.len().to_le_bytes();
    state.take_in(u64::from(length) << 56 | tail);
    state.0[2] ^= 0xee;
    let low = state.finish();
    state.0[1] ^= 0xdd;
    let high = state.finish();
    u128::from(high) << 64 | u128::from(low)
}

struct State([u64; 4]);

impl State {
    fn new() -> Self {
        Self([
            0x736f_6d65_7073_6575,
            0x646f_7261_6e64_6f6d ^ 0xee,
            0x6c79_6765_6e65_7261,
            0x7465_6462_7974_6573,
        ])
    }

    fn take_in(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.round();
        self.0[0] ^= word;
    }

    fn finish(&mut self) -> u64 {
        (0..4).for_each(|_| self.round());
        self.0.iter().fold(0, |all, one| all ^ one)
    }

    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_others() {
        // printf ID | openssl mac -macopt hexkey:00000000000000000000000000000000 -macopt size:16 -in /dev/stdin siphash
        let others = [
            ("", 0xF4F2_CED4_47AB_0242_7DE0_A380_47D7_4950),
            ("a", 0x2573_CD0E_8904_C4E6_BEA0_379C_744E_CCFF),
            ("12345678", 0xF1B7_680D_5BFF_4436_E979_231B_CEFD_FF18),
            ("order 17", 0xFF7D_E89B_9FD0_C8E5_1B5C_63D7_D89A_848C),
            ("a message's id of some length", 0x79C2_027F_B866_9101_AEAE_19D2_1104_EE0D),
        ];
        for (id, hash) in others {
            assert_eq!(sip_hash_128(id.as_bytes()), hash, "{id}");
        }
    }
}
