//! The partition of records that may go to any.

use crate::io::random_id;
use crate::locks::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Keeps to one partition until a batch's worth of bytes went there, then takes another at random: batches fill up, and
/// in the long run every partition gets its share. Threads may race; the choice is then as good.
#[derive(Debug)]
pub(super) struct Sticky {
    current: AtomicU32,
    bytes: AtomicUsize,
    /// State of a small generator; which partition is next is no secret.
    random: AtomicU64,
}

impl Sticky {
    pub(super) fn new() -> Self {
        let (high, low) = (random_id() >> 64, random_id());
        let seed = u64::try_from((high ^ low) & u128::from(u64::MAX)).unwrap_or(1) | 1;
        let sticky =
            Self { current: AtomicU32::new(0), bytes: AtomicUsize::new(0), random: AtomicU64::new(seed) };
        sticky.current.store(sticky.next_random(), Ordering::Relaxed);
        sticky
    }

    /// The partition for a record of about `bytes` bytes.
    pub(super) fn choose(&self, partitions: u32, bytes: usize, batch_bytes: usize) -> u32 {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) >= batch_bytes {
            self.bytes.store(bytes, Ordering::Relaxed);
            let before = self.current.load(Ordering::Relaxed) % partitions.max(1);
            let step = 1 + self.next_random() % (partitions.max(2) - 1);
            self.current.store((before + step) % partitions.max(1), Ordering::Relaxed);
        }
        self.current.load(Ordering::Relaxed) % partitions.max(1)
    }

    /// A step of xorshift64 (Marsaglia 2003), the upper half.
    fn next_random(&self) -> u32 {
        let mut state = self.random.load(Ordering::Relaxed);
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random.store(state, Ordering::Relaxed);
        u32::try_from(state >> 32).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_a_batch_before_it_moves_on_and_reaches_every_partition() {
        let sticky = Sticky::new();
        let mut counts = [0; 4];
        let mut moves = 0;
        let mut last = sticky.choose(4, 100, 1000);
        for _ in 0..10_000 {
            let chosen = sticky.choose(4, 100, 1000);
            moves += u32::from(chosen != last);
            last = chosen;
            counts[chosen as usize] += 1;
        }
        assert!((900..=1000).contains(&moves), "{moves}");
        assert!(counts.iter().all(|count| (1500..3500).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_single_partition_is_always_chosen() {
        let sticky = Sticky::new();
        assert!((0..100).all(|_| sticky.choose(1, 900, 1000) == 0));
    }
}
