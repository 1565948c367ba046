//! What is shown of one partition: a sequence lock, with one writer and any number of readers in other processes.

use std::sync::Arc;

use crate::live::layout::{Growth, Kind, SLOT_WORDS, Shown, Synced, bytes_and_records, filled, head, word};
use crate::live::memory::Memory;
use crate::locks::{AtomicU64, Ordering, fence, spin_loop};

/// So often a reader looks again at words that are being changed before it asks whether their writer lives.
const MOST_LOOKS: usize = 1000;

/// The words of a slot.
pub(super) type Words = [AtomicU64; SLOT_WORDS];

/// The place of a partition in the page.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    memory: Arc<Memory>,
    at: usize,
    /// The piece with the bell.
    head: Arc<Memory>,
}

impl Slot {
    pub(super) fn new(head: &Arc<Memory>, memory: &Arc<Memory>, at: usize) -> Self {
        Self { memory: Arc::clone(memory), at, head: Arc::clone(head) }
    }

    #[inline]
    fn load(&self, word: usize, ordering: Ordering) -> u64 {
        self.memory.load(self.at + word, ordering)
    }

    #[inline]
    fn number(&self, word: usize) -> i64 {
        self.load(word, Ordering::Relaxed).cast_signed()
    }

    #[inline]
    fn store(&self, word: usize, value: u64) {
        self.memory.store(self.at + word, value, Ordering::Relaxed);
    }

    /// What is shown, all of one moment. `None` when the words stay in the middle of a change: their writer has most likely died
    /// there.
    pub(crate) fn read(&self) -> Option<Shown> {
        for _ in 0..MOST_LOOKS {
            let before = self.load(word::SEQUENCE, Ordering::Acquire);
            if before.is_multiple_of(2) {
                let shown = self.read_once();
                // With the one in `change`: who has seen a word of a change sees here that the sequence has moved.
                fence(Ordering::Acquire);
                if self.load(word::SEQUENCE, Ordering::Relaxed) == before {
                    return Some(shown);
                }
            }
            spin_loop();
        }
        None
    }

    fn read_once(&self) -> Shown {
        let topic = u128::from(self.load(word::TOPIC_HIGH, Ordering::Relaxed)) << 64
            | u128::from(self.load(word::TOPIC_LOW, Ordering::Relaxed));
        let kind = self.load(word::KIND, Ordering::Relaxed);
        let (bytes, records) = bytes_and_records(self.load(word::FILLED, Ordering::Relaxed));
        let growth = Growth {
            end: self.number(word::END),
            stable: self.number(word::STABLE),
            bytes,
            records,
            first_timestamp: self.number(word::FIRST_TIMESTAMP),
            max_timestamp: self.number(word::MAX_TIMESTAMP),
        };
        Shown {
            topic,
            partition: u32::try_from(kind & u64::from(u32::MAX)).unwrap_or(u32::MAX),
            kind: Kind::of(kind >> 32),
            generation: self.load(word::GENERATION, Ordering::Relaxed),
            start: self.number(word::START),
            base: self.number(word::BASE),
            growth,
            appended_bytes: self.load(word::APPENDED, Ordering::Relaxed),
            synced: Synced { durable: self.number(word::DURABLE), kept: self.number(word::KEPT) },
        }
    }

    /// The generation now: another one means that files may have other names.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        // Behind whatever the caller did before: opening a file, most often.
        fence(Ordering::SeqCst);
        self.load(word::GENERATION, Ordering::SeqCst)
    }

    /// A reader waits for more than it has seen. To be called before the last look.
    pub(crate) fn want(&self) {
        if self.memory.is_ready() {
            self.memory.store(self.at + word::WANTED, 1, Ordering::SeqCst);
        }
        // With the one in `ring_if_wanted`: either that sees the wish, or this reader, looking next, sees what was shown.
        fence(Ordering::SeqCst);
    }

    /// Whether a reader elsewhere waits.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.load(word::WANTED, Ordering::SeqCst) != 0
    }

    /// Wakes readers elsewhere that wait for this partition. What they are to see was shown before, and a fence lies between.
    #[inline]
    pub(crate) fn ring_if_wanted(&self) {
        if self.is_wanted() {
            self.ring();
        }
    }

    #[cold]
    fn ring(&self) {
        if self.memory.is_ready() && self.head.is_ready() {
            // Whoever waits on says so again. A reader that died has left its wish here: it costs one call, once.
            self.memory.store(self.at + word::WANTED, 0, Ordering::SeqCst);
            ring(&self.head);
        }
    }

    /// Changes words so that no reader takes some of before and some of after for one moment. One thread at a time.
    #[inline]
    pub(super) fn change(&self, sequence: &AtomicU64, change: impl FnOnce(&Words)) {
        if !self.memory.is_ready() {
            return;
        }
        let Some(words) = self.memory.words::<SLOT_WORDS>(self.at) else { return };
        let before = sequence.load(Ordering::Relaxed);
        words[word::SEQUENCE].store(before.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        change(words);
        words[word::SEQUENCE].store(before.wrapping_add(2), Ordering::Release);
        sequence.store(before.wrapping_add(2), Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn begin_a_change(&self, sequence: &AtomicU64) {
        self.store(word::SEQUENCE, sequence.load(Ordering::Relaxed).wrapping_add(1));
    }

    /// How far it is synced; a lesser number than is shown changes nothing.
    pub(super) fn put_synced(&self, Synced { durable, kept }: Synced) {
        for (word, offset) in [(word::DURABLE, durable), (word::KEPT, kept)] {
            if self.memory.is_ready()
                && let Some(shown) = self.memory.word(self.at + word)
            {
                shown.fetch_max(offset.cast_unsigned(), Ordering::AcqRel);
            }
        }
    }

    /// The same for a partition that is shown again.
    pub(super) fn reset_synced(&self, Synced { durable, kept }: Synced) {
        self.store(word::DURABLE, durable.cast_unsigned());
        self.store(word::KEPT, kept.cast_unsigned());
    }

    /// An even number to go on from, whatever was left there.
    pub(crate) fn sequence(&self) -> u64 {
        self.load(word::SEQUENCE, Ordering::Relaxed).wrapping_add(1) & !1
    }
}

/// All that is shown of a partition but how far it is synced, and how much was appended.
pub(super) fn put(words: &Words, shown: &Shown) {
    let [high, low] = [shown.topic >> 64, shown.topic & u128::from(u64::MAX)];
    words[word::TOPIC_HIGH].store(u64::try_from(high).unwrap_or(0), Ordering::Relaxed);
    words[word::TOPIC_LOW].store(u64::try_from(low).unwrap_or(0), Ordering::Relaxed);
    words[word::KIND].store(shown.kind.number() << 32 | u64::from(shown.partition), Ordering::Relaxed);
    // Whoever opens a file by its name, and then sees the old number here, has opened what the old names meant.
    words[word::GENERATION].store(shown.generation, Ordering::SeqCst);
    words[word::START].store(shown.start.cast_unsigned(), Ordering::Relaxed);
    words[word::BASE].store(shown.base.cast_unsigned(), Ordering::Relaxed);
    put_growth(words, &shown.growth);
}

/// What an append changes.
#[inline]
pub(super) fn put_growth(words: &Words, growth: &Growth) {
    words[word::END].store(growth.end.cast_unsigned(), Ordering::Relaxed);
    put_stable(words, growth.stable);
    words[word::FILLED].store(filled(growth.bytes, growth.records), Ordering::Relaxed);
    words[word::FIRST_TIMESTAMP].store(growth.first_timestamp.cast_unsigned(), Ordering::Relaxed);
    words[word::MAX_TIMESTAMP].store(growth.max_timestamp.cast_unsigned(), Ordering::Relaxed);
}

/// How much was appended.
#[inline]
pub(super) fn put_appended(words: &Words, bytes: u64) {
    words[word::APPENDED].store(bytes, Ordering::Relaxed);
}

/// What the decision of a transaction changes.
pub(super) fn put_stable(words: &Words, stable: i64) {
    words[word::STABLE].store(stable.cast_unsigned(), Ordering::Relaxed);
}

/// Wakes everybody who sleeps.
pub(super) fn ring(head: &Memory) {
    if let Some(bell) = head.word(head::BELL) {
        bell.fetch_add(1, Ordering::SeqCst);
        head.wake(head::BELL);
    }
}
