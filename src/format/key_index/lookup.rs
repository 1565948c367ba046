//! Looking a hash up: which pages are asked, and what they say.

use crate::format::key_index::header::{
    BLOCK_BYTES, BLOCKS_A_PAGE, COUNTS_A_PAGE, ENTRIES_A_PAGE, ENTRY_BYTES, KeyEntry, KeyIndexHeader,
};
use crate::format::key_index::term::TermHash;

/// Where the pages of a key index come from. A page that is handed out was found sound.
pub(crate) trait KeyPages {
    type Error;

    /// A page, `PAGE_BYTES` long.
    fn page(&mut self, number: u32) -> Result<&[u8], Self::Error>;

    /// These bytes of a page are looked at soon. Nothing but time depends on it.
    fn expect(&mut self, _number: u32, _bytes: std::ops::Range<usize>) {}

    /// What to say of a page that contradicts another one.
    fn contradiction(&self) -> Self::Error;
}

impl KeyIndexHeader {
    /// False where no entry has the hash. True does not mean that one has.
    pub(crate) fn may_hold<P: KeyPages>(&self, pages: &mut P, hash: TermHash) -> Result<bool, P::Error> {
        let block = hash.block(self.blocks);
        let page = pages.page(1 + block / BLOCKS_A_PAGE)?;
        let at = block_at(block);
        let bits = page.get(at..at + BLOCK_BYTES).unwrap_or_default();
        Ok(hash.bits().all(|bit| bits.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0)))
    }

    /// The entries of a hash, by their numbers.
    pub(crate) fn run<P: KeyPages>(
        &self,
        pages: &mut P,
        hash: TermHash,
    ) -> Result<std::ops::Range<u32>, P::Error> {
        let bucket = self.bucket(pages, hash)?;
        let first = self.partition_point(pages, bucket.clone(), |entry| entry.hash < hash)?;
        let last = self.partition_point(pages, first..bucket.end, |entry| entry.hash <= hash)?;
        Ok(first..last)
    }

    /// The entries of the bucket of a hash, by their numbers. They are looked at soon.
    pub(crate) fn bucket<P: KeyPages>(
        &self,
        pages: &mut P,
        hash: TermHash,
    ) -> Result<std::ops::Range<u32>, P::Error> {
        let bucket = hash.bucket(self.buckets);
        let (from, to) = (self.count(pages, bucket)?, self.count(pages, bucket.saturating_add(1))?);
        if from > to || to > self.entries {
            return Err(pages.contradiction());
        }
        let at = (from % ENTRIES_A_PAGE) as usize * ENTRY_BYTES;
        pages.expect(
            self.first_entries() + from / ENTRIES_A_PAGE,
            at..at + (to - from) as usize * ENTRY_BYTES,
        );
        Ok(from..to)
    }

    /// The first of some entries of which `is_before` does not hold; those of which it does come first.
    pub(crate) fn partition_point<P: KeyPages>(
        &self,
        pages: &mut P,
        range: std::ops::Range<u32>,
        is_before: impl Fn(&KeyEntry) -> bool,
    ) -> Result<u32, P::Error> {
        let std::ops::Range { start: mut low, end: mut high } = range;
        while low < high {
            let middle = low + (high - low) / 2;
            if is_before(&self.entry(pages, middle)?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// One entry.
    pub(crate) fn entry<P: KeyPages>(&self, pages: &mut P, number: u32) -> Result<KeyEntry, P::Error> {
        let page = pages.page(self.first_entries() + number / ENTRIES_A_PAGE)?;
        let at = (number % ENTRIES_A_PAGE) as usize * ENTRY_BYTES;
        let decoded = page.get(at..at + ENTRY_BYTES).and_then(KeyEntry::decode);
        decoded.ok_or_else(|| pages.contradiction())
    }

    /// The number of the first page of entries.
    fn first_entries(&self) -> u32 {
        1 + self.filter_pages() + self.bucket_pages()
    }

    /// Where a look at a hash begins: the pages, and the places in them, of its block of the filter and of the count of its bucket.
    pub(crate) fn first_places(&self, hash: TermHash) -> [(u32, usize); 2] {
        let (block, bucket) = (hash.block(self.blocks), hash.bucket(self.buckets));
        let count = (1 + self.filter_pages() + bucket / COUNTS_A_PAGE, (bucket % COUNTS_A_PAGE) as usize * 4);
        [(1 + block / BLOCKS_A_PAGE, block_at(block)), count]
    }

    fn count<P: KeyPages>(&self, pages: &mut P, bucket: u32) -> Result<u32, P::Error> {
        let page = pages.page(1 + self.filter_pages() + bucket / COUNTS_A_PAGE)?;
        let at = (bucket % COUNTS_A_PAGE) as usize * 4;
        let count = page.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
        count.map(|bytes| u32::from_be_bytes(*bytes)).ok_or_else(|| pages.contradiction())
    }
}

pub(super) fn block_at(block: u32) -> usize {
    (block % BLOCKS_A_PAGE) as usize * BLOCK_BYTES
}
