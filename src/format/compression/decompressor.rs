//! Decompression of a batch's records.

use super::{gzip, lz4, snappy, zstd};
use crate::format::{Codec, Malformed};

/// Decompresses, and keeps each codec's working memory from one batch to the next. What a stream claims about its
/// size is never allocated on its word alone.
#[derive(Debug, Default)]
pub(crate) struct Decompressor {
    gzip: gzip::Decoder,
    snappy: snappy::Decoder,
    lz4: lz4::Decoder,
    zstd: zstd::Decoder,
}

/// Where decompressed bytes go, and how many may come.
#[derive(Debug)]
pub(super) struct Bounded<'a> {
    pub(super) out: &'a mut Vec<u8>,
    /// Length of `out` before the first byte.
    start: usize,
    limit: usize,
}

impl<'a> Bounded<'a> {
    fn new(out: &'a mut Vec<u8>, limit: usize) -> Self {
        let start = out.len();
        Self { out, start, limit }
    }

    /// How many bytes may still come.
    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.produced())
    }

    pub(super) fn produced(&self) -> usize {
        self.out.len().saturating_sub(self.start)
    }

    /// Refuses to go on when `more` bytes beyond those there would pass the limit.
    pub(super) fn check(&self, more: usize) -> Result<(), Malformed> {
        if self.produced().saturating_add(more) <= self.limit {
            return Ok(());
        }
        Err(Malformed::TooLarge { limit: self.limit })
    }

    /// Makes sure that at least one byte can be written after those there, growing by `step` or by half of what was
    /// produced, but to no more than one byte beyond the limit: with that byte an overlong stream shows itself.
    pub(super) fn grow(&mut self, step: usize) {
        if self.out.len() < self.out.capacity() {
            return;
        }
        let more = step.max(self.produced() / 2).min(self.room().saturating_add(1));
        self.out.reserve_exact(more.max(1));
    }
}

impl Decompressor {
    /// Appends the decompressed `input` to `out`. More than `limit` bytes are an error, found before they are all
    /// there. After an error `out` is as long as it was.
    pub(crate) fn decompress(
        &mut self,
        codec: Codec,
        input: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let before = out.len();
        let mut bounded = Bounded::new(out, limit);
        let result = match codec {
            Codec::None => bounded.check(input.len()).map(|()| bounded.out.extend_from_slice(input)),
            Codec::Gzip => self.gzip.decode(input, &mut bounded),
            Codec::Snappy => self.snappy.decode(input, &mut bounded),
            Codec::Lz4 => self.lz4.decode(input, &mut bounded),
            Codec::Zstd => self.zstd.decode(input, &mut bounded),
        };
        if result.is_err() {
            out.truncate(before);
        }
        result
    }
}
