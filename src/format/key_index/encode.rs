//! Making the file: each of its three parts from front to back, at the same time, as entries come in their order.

use std::convert::Infallible;

use crate::format::Malformed;
use crate::format::bytes::put_u32;
use crate::format::key_index::header::{
    BLOCK_BYTES, BLOCKS_A_PAGE, BODY_BYTES, COUNTS_A_PAGE, ENTRIES_A_PAGE, KeyEntry, KeyIndexHeader,
    KeyStamp, PAGE_BYTES,
};
use crate::format::key_index::lookup::block_at;
use crate::format::key_index::term::TermHash;

/// Makes a file of entries that rise, none of which comes twice. Holds a page of each of its parts.
#[derive(Debug)]
pub(crate) struct KeyIndexEncoder {
    header: KeyIndexHeader,
    filter: OpenPage,
    counts: OpenPage,
    entries: OpenPage,
    /// Entries so far,
    pushed: u32,
    /// and the hash of the last of them.
    last: Option<TermHash>,
    /// The first bucket of which it is not written down how many entries come before it.
    bucket: u32,
}

/// A page that is being filled.
#[derive(Debug)]
struct OpenPage {
    number: u32,
    bytes: Vec<u8>,
}

impl KeyIndexEncoder {
    /// For so many entries with so many different hashes.
    pub(crate) fn new(stamp: KeyStamp, entries: usize, hashes: usize) -> Result<Self, Malformed> {
        let header = KeyIndexHeader::new(stamp, entries, hashes)?;
        let page = |number| OpenPage { number, bytes: Vec::with_capacity(PAGE_BYTES) };
        let counts = 1 + header.filter_pages();
        let entries = page(counts + header.bucket_pages());
        let (filter, counts) = (page(1), page(counts));
        Ok(Self { header, filter, counts, entries, pushed: 0, last: None, bucket: 0 })
    }

    /// Bytes of the whole file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.header.file_bytes()
    }

    /// Hands out the first page, of which every other one depends.
    pub(crate) fn begin<E>(&mut self, put: &mut impl FnMut(u32, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let page = self.header.encode();
        put(0, &page)
    }

    /// Takes the next entry, and hands out the pages that are full, with their numbers.
    pub(crate) fn push<E>(
        &mut self,
        entry: &KeyEntry,
        put: &mut impl FnMut(u32, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.last != Some(entry.hash) {
            self.last = Some(entry.hash);
            self.put_hash(entry.hash, put)?;
            self.put_counts(entry.hash.bucket(self.header.buckets), put)?;
        }
        entry.encode(&mut self.entries.bytes);
        self.pushed = self.pushed.saturating_add(1);
        if self.pushed.is_multiple_of(ENTRIES_A_PAGE) { self.entries.seal(&self.header, put) } else { Ok(()) }
    }

    /// Hands out all other pages.
    pub(crate) fn finish<E>(mut self, put: &mut impl FnMut(u32, &[u8]) -> Result<(), E>) -> Result<(), E> {
        while self.filter.number <= self.header.filter_pages() {
            self.filter.seal(&self.header, put)?;
        }
        self.put_counts(self.header.buckets, put)?;
        if !self.counts.bytes.is_empty() {
            self.counts.seal(&self.header, put)?;
        }
        if self.entries.bytes.is_empty() { Ok(()) } else { self.entries.seal(&self.header, put) }
    }

    /// Hashes rise, and so do their blocks.
    fn put_hash<E>(
        &mut self,
        hash: TermHash,
        put: &mut impl FnMut(u32, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let block = hash.block(self.header.blocks);
        while self.filter.number < 1 + block / BLOCKS_A_PAGE {
            self.filter.seal(&self.header, put)?;
        }
        self.filter.bytes.resize(BODY_BYTES, 0);
        let at = block_at(block);
        let bits = self.filter.bytes.get_mut(at..at + BLOCK_BYTES).unwrap_or_default();
        for bit in hash.bits() {
            if let Some(byte) = bits.get_mut(bit / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
        Ok(())
    }

    /// Of all buckets up to this one, which of those there are so far are before it.
    fn put_counts<E>(
        &mut self,
        bucket: u32,
        put: &mut impl FnMut(u32, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.bucket <= bucket {
            put_u32(&mut self.counts.bytes, self.pushed);
            self.bucket += 1;
            if self.bucket.is_multiple_of(COUNTS_A_PAGE) {
                self.counts.seal(&self.header, put)?;
            }
        }
        Ok(())
    }
}

impl OpenPage {
    /// Fills it up, puts its CRC after it, hands it out and begins the next one.
    fn seal<E>(
        &mut self,
        header: &KeyIndexHeader,
        put: &mut impl FnMut(u32, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.bytes.resize(BODY_BYTES, 0);
        let crc = header.crc_of(self.number, &self.bytes);
        put_u32(&mut self.bytes, crc);
        put(self.number, &self.bytes)?;
        self.bytes.clear();
        self.number += 1;
        Ok(())
    }
}

/// The whole file. The entries may be in any order.
pub(crate) fn encode_key_index(stamp: KeyStamp, mut entries: Vec<KeyEntry>) -> Result<Vec<u8>, Malformed> {
    entries.sort_unstable();
    entries.dedup();
    let hashes = entries.chunk_by(|one, next| one.hash == next.hash).count();
    let mut encoder = KeyIndexEncoder::new(stamp, entries.len(), hashes)?;
    let mut out = vec![0; usize::try_from(encoder.file_bytes()).unwrap_or(usize::MAX)];
    let mut put = |number: u32, page: &[u8]| {
        let at = number as usize * PAGE_BYTES;
        if let Some(place) = out.get_mut(at..at + page.len()) {
            place.copy_from_slice(page);
        }
        Ok::<_, Infallible>(())
    };
    let made = encoder.begin(&mut put);
    let made = made.and_then(|()| entries.iter().try_for_each(|entry| encoder.push(entry, &mut put)));
    match made.and_then(|()| encoder.finish(&mut put)) {
        Ok(()) => Ok(out),
        Err(never) => match never {},
    }
}
