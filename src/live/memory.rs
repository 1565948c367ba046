//! The words of a piece: shared memory, or what the schedule explorer has in its place.

#[cfg(annals_shuttle)]
pub(super) use explored::Memory;
#[cfg(not(annals_shuttle))]
pub(super) use shared::Memory;

#[cfg(not(annals_shuttle))]
mod shared {
    use std::time::Duration;

    use crate::io::SharedMemory;
    use crate::locks::{AtomicU64, Ordering};

    /// A piece of the file.
    #[derive(Debug)]
    pub(in crate::live) struct Memory(SharedMemory);

    impl Memory {
        pub(in crate::live) fn new(shared: SharedMemory) -> Self {
            Self(shared)
        }

        #[inline]
        pub(in crate::live) fn word(&self, at: usize) -> Option<&AtomicU64> {
            self.0.word(at)
        }

        /// So many words, from one on.
        #[inline]
        pub(in crate::live) fn words<const COUNT: usize>(&self, at: usize) -> Option<&[AtomicU64; COUNT]> {
            self.0.words(at)
        }

        #[inline]
        pub(in crate::live) fn load(&self, at: usize, ordering: Ordering) -> u64 {
            self.word(at).map_or(0, |word| word.load(ordering))
        }

        #[inline]
        pub(in crate::live) fn store(&self, at: usize, value: u64, ordering: Ordering) {
            if let Some(word) = self.word(at) {
                word.store(value, ordering);
            }
        }

        /// Whether it can be stored into now.
        #[inline]
        pub(in crate::live) fn is_ready(&self) -> bool {
            self.0.is_ready()
        }

        pub(in crate::live) fn wait(&self, at: usize, seen: u32, most: Duration) {
            self.0.wait(at, seen, most);
        }

        pub(in crate::live) fn wake(&self, at: usize) {
            self.0.wake(at);
        }
    }
}

#[cfg(annals_shuttle)]
mod explored {
    use std::time::Duration;

    use crate::io::SharedMemory;
    use crate::locks::{AtomicU64, Condvar, Mutex, Ordering};

    /// Words that threads share; a sleep ends by a wake-up alone, so that one that is lost is found.
    #[derive(Debug)]
    pub(in crate::live) struct Memory {
        words: Vec<AtomicU64>,
        sleeping: Mutex<()>,
        woken: Condvar,
    }

    impl Memory {
        pub(in crate::live) fn new(_shared: SharedMemory) -> Self {
            Self::of_words(crate::live::layout::PIECE_BYTES / 8)
        }

        pub(in crate::live) fn of_words(words: usize) -> Self {
            let words = (0..words).map(|_| AtomicU64::new(0)).collect();
            Self { words, sleeping: Mutex::new(()), woken: Condvar::new() }
        }

        pub(in crate::live) fn word(&self, at: usize) -> Option<&AtomicU64> {
            self.words.get(at)
        }

        pub(in crate::live) fn words<const COUNT: usize>(&self, at: usize) -> Option<&[AtomicU64; COUNT]> {
            self.words.get(at..)?.first_chunk()
        }

        pub(in crate::live) fn load(&self, at: usize, ordering: Ordering) -> u64 {
            self.word(at).map_or(0, |word| word.load(ordering))
        }

        pub(in crate::live) fn store(&self, at: usize, value: u64, ordering: Ordering) {
            if let Some(word) = self.word(at) {
                word.store(value, ordering);
            }
        }

        pub(in crate::live) fn is_ready(&self) -> bool {
            true
        }

        pub(in crate::live) fn wait(&self, at: usize, seen: u32, _most: Duration) {
            // The system compares and falls asleep in one step.
            let mut sleeping = self.sleeping.lock();
            if self.load(at, Ordering::SeqCst) & u64::from(u32::MAX) == u64::from(seen) {
                self.woken.wait(&mut sleeping);
            }
        }

        pub(in crate::live) fn wake(&self, _at: usize) {
            let sleeping = self.sleeping.lock();
            self.woken.notify_all();
            drop(sleeping);
        }
    }
}
