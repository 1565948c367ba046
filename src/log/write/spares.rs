//! Working memory that the partitions of a store hand on to each other: a partition that once wrote a large batch, or
//! compressed one, does not keep what that took for as long as it is open.

use crate::format::Compressor;
use crate::locks::Mutex;
use crate::log::write::open_batch::OpenBatch;

/// A written batch with buffers of so many bytes at most stays with its partition.
pub(in crate::log) const SMALL_BYTES: usize = 4 << 10;
/// Larger ones are kept for all, up to so many bytes together and so many of them.
const MOST_BYTES: usize = 8 << 20;
const MOST_BATCHES: usize = 16;
/// A batch is used again for one that is to be a quarter as large or larger, so that open batches hold what they need.
const MOST_TIMES: usize = 4;
/// As many as may well compress at the same time.
const MOST_COMPRESSORS: usize = 8;

/// What is not in use at the moment. Its locks are held for a few instructions, and whoever holds them takes no other.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    /// In the order in which they were given back.
    #[expect(clippy::vec_box, reason = "batches are handed from one partition to the next by their boxes")]
    batches: Mutex<Vec<Box<OpenBatch>>>,
    compressors: Mutex<Vec<Compressor>>,
}

impl Spares {
    /// A batch for about so many bytes, as it was when it was given back.
    pub(in crate::log) fn batch(&self, bytes: usize) -> Option<Box<OpenBatch>> {
        let mut batches = self.batches.lock();
        let at = batches.iter().rposition(|batch| batch.capacity() / MOST_TIMES <= bytes);
        at.map(|at| batches.swap_remove(at))
    }

    /// Gives a batch back; the memory of one that is too many goes.
    pub(in crate::log) fn keep_batch(&self, batch: Box<OpenBatch>) {
        let mut batches = self.batches.lock();
        let kept: usize = batches.iter().map(|batch| batch.capacity()).sum();
        if batches.len() < MOST_BATCHES && kept.saturating_add(batch.capacity()) <= MOST_BYTES {
            batches.push(batch);
            return;
        }
        // Giving back so much memory can take a while.
        drop(batches);
        drop(batch);
    }

    /// A compressor, with the working memory of earlier use if there is one.
    pub(in crate::log) fn compressor(&self) -> Compressor {
        self.compressors.lock().pop().unwrap_or_default()
    }

    /// Gives a compressor back.
    pub(in crate::log) fn keep_compressor(&self, compressor: Compressor) {
        let mut compressors = self.compressors.lock();
        if compressors.len() < MOST_COMPRESSORS {
            compressors.push(compressor);
            return;
        }
        drop(compressors);
        drop(compressor);
    }
}
