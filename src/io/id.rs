//! Random names for stores and topics.

use std::hash::{BuildHasher, Hasher, RandomState};

/// 128 bits that differ between any two calls on any machine: the keys of std's hash maps are seeded by the system. They
/// tell one life of a topic from another; they are no secret.
pub(crate) fn random_id() -> u128 {
    let half = || u128::from(RandomState::new().build_hasher().finish());
    let stir = |salt: u64| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(salt);
        hasher.write_u32(std::process::id());
        u128::from(hasher.finish())
    };
    ((half() ^ stir(1)) << 64) | (half() ^ stir(2))
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_differ() {
        let mut ids: Vec<_> = (0..1000).map(|_| super::random_id()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 1000);
    }
}
