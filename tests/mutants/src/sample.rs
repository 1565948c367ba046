//! A choice at random that is the same for the same seed.

/// The first `count` of `all` after shuffling them.
pub fn sample<T>(mut all: Vec<T>, count: usize, seed: u64) -> Vec<T> {
    let mut state = seed;
    for last in (1..all.len()).rev() {
        // The remainder prefers small numbers by less than one in 2^50.
        let chosen = next(&mut state) % (last as u64 + 1);
        all.swap(last, usize::try_from(chosen).unwrap_or(last));
    }
    all.truncate(count);
    all
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
