//! Chance that a seed repeats.

/// Marsaglia's xorshift64. The seed stands in the message of whatever fails: see [`each_seed`].
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound.max(1)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.below(256).to_le_bytes()[0]
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A number of any size: of each width in bits as often as of another.
    pub(crate) fn any_width(&mut self) -> i64 {
        let width = self.below(64);
        i64::try_from(self.0.rotate_left(31) >> (63 - width) >> 1).unwrap()
    }

    /// Fewer than `bound` bytes.
    pub(crate) fn bytes(&mut self, bound: usize) -> Vec<u8> {
        (0..self.below(bound)).map(|_| self.byte()).collect()
    }

    /// Fewer than `bound` characters of `letters`.
    pub(crate) fn text(&mut self, letters: &str, bound: usize) -> String {
        let letters: Vec<char> = letters.chars().collect();
        (0..self.below(bound)).map(|_| letters[self.below(letters.len())]).collect()
    }
}

/// Runs `test` with `cases` seeds, or with the one in `ANNALS_SEED`. The seed of a failure is printed.
pub(crate) fn each_seed(cases: u64, test: impl Fn(&mut Random)) {
    let one = std::env::var("ANNALS_SEED").ok().map(|seed| seed.parse().unwrap());
    for seed in one.map_or(0..cases, |seed: u64| seed..seed + 1) {
        let failing = Failing(seed);
        test(&mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
        std::mem::forget(failing);
    }
}

struct Failing(u64);

impl Drop for Failing {
    fn drop(&mut self) {
        eprintln!("again with ANNALS_SEED={}", self.0);
    }
}
