//! Varints of up to three bytes, taken from one word: what nearly all in a record are.

/// Eight bytes, of which varints are taken from the front. Knows no errors: whoever gets nothing decodes again, with care.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShortVarints {
    /// Bytes not yet taken, lowest first, and zeros.
    word: u64,
    /// Bytes taken. More than there were when a varint went on after them, which `taken` tells.
    taken: usize,
}

const WORD: usize = 8;

impl ShortVarints {
    /// The eight bytes at `at`, if there are so many. `at` is far from the largest number.
    #[inline(always)]
    pub(super) fn at(bytes: &[u8], at: usize) -> Option<Self> {
        let word = bytes.get(at..at + WORD)?.first_chunk()?;
        Some(Self { word: u64::from_le_bytes(*word), taken: 0 })
    }

    /// The next varint with its zig-zag, unless it is longer than three bytes.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Option<u64> {
        let word = self.word;
        if word & 0x80 == 0 {
            self.pass(1);
            Some(word & 0x7f)
        } else if word & 0x8000 == 0 {
            self.pass(2);
            Some(word & 0x7f | word >> 1 & 0x3f80)
        } else if word & 0x80_0000 == 0 {
            self.pass(3);
            Some(word & 0x7f | word >> 1 & 0x3f80 | word >> 2 & 0x1f_c000)
        } else {
            None
        }
    }

    /// Passes over a byte that is no varint.
    #[inline(always)]
    pub(super) fn skip_byte(&mut self) {
        self.pass(1);
    }

    /// How many bytes were taken; nothing when they were not all there.
    #[inline(always)]
    pub(super) fn taken(&self) -> Option<usize> {
        (self.taken <= WORD).then_some(self.taken)
    }

    #[inline(always)]
    fn pass(&mut self, bytes: usize) {
        self.word >>= 8 * bytes;
        self.taken += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::varint::{put_varint, take_unsigned};

    #[test]
    fn whatever_is_taken_is_what_the_long_way_takes() {
        for bits in 0..31 {
            for near in [-1_i32, 0, 1] {
                let mut bytes = Vec::new();
                put_varint(&mut bytes, (1_i32 << bits).wrapping_add(near));
                let len = bytes.len();
                bytes.resize(20, 0xff);
                let mut varints = ShortVarints::at(&bytes, 0).unwrap();
                let expected = take_unsigned(&bytes, &mut 0).map(u64::from).filter(|_| len <= 3);
                assert_eq!(varints.take(), expected);
                assert_eq!(varints.taken(), Some(if len <= 3 { len } else { 0 }));
            }
        }
    }

    #[test]
    fn a_varint_that_goes_on_behind_the_word_is_none() {
        let bytes = [0, 0, 0, 0, 0, 0, 0, 0x80, 1];
        let mut varints = ShortVarints::at(&bytes, 0).unwrap();
        (0..7).for_each(|_| varints.skip_byte());
        assert_eq!((varints.taken(), varints.take(), varints.taken()), (Some(7), Some(0), None));
        assert!(ShortVarints::at(&bytes, 2).is_none());
    }
}
