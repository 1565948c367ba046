//! The first page of a key index, and the places of all others.

use crate::format::Malformed;
use crate::format::bytes::{Reader, put_i64, put_u32, put_u64};
use crate::format::key_index::term::TermHash;
use crate::types::Offset;

/// Bytes of a page, its CRC included.
pub(crate) const PAGE_BYTES: usize = 4096;
pub(super) const BODY_BYTES: usize = PAGE_BYTES - 4;
const MAGIC: &[u8; 8] = b"annals\0K";
const VERSION: u16 = 1;
pub(super) const BLOCK_BYTES: usize = 64;
pub(super) const BLOCKS_A_PAGE: u32 = 63;
pub(super) const COUNTS_A_PAGE: u32 = 1023;
pub(super) const ENTRY_BYTES: usize = 14;
pub(super) const ENTRIES_A_PAGE: u32 = 292;
/// Entries in a bucket, on the average.
const BUCKET_ENTRIES: usize = 16;
const MOST_BUCKETS: usize = 1 << 24;
/// Bits of the filter for each hash: of hashes that are not there, one in two hundred passes.
const FILTER_BITS: usize = 12;

const _: () = assert!(ENTRIES_A_PAGE as usize * ENTRY_BYTES <= BODY_BYTES);
const _: () = assert!(COUNTS_A_PAGE as usize * 4 <= BODY_BYTES);
const _: () = assert!(BLOCKS_A_PAGE as usize * BLOCK_BYTES <= BODY_BYTES);

/// Which `.log` a file was made from, to the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyStamp {
    pub(crate) base: Offset,
    pub(crate) next_offset: Offset,
    pub(crate) bytes: u64,
    pub(crate) headers_crc: u32,
}

/// One term of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyEntry {
    pub(crate) hash: TermHash,
    /// Of the record, less the base of the segment.
    pub(crate) relative_offset: u32,
    /// Of its batch.
    pub(crate) position: u32,
}

/// The first page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyIndexHeader {
    pub(crate) stamp: KeyStamp,
    pub(super) entries: u32,
    pub(super) blocks: u32,
    pub(super) buckets: u32,
    /// The CRC of the page.
    seed: u32,
}

impl KeyIndexHeader {
    pub(super) fn new(stamp: KeyStamp, entries: usize, terms: usize) -> Result<Self, Malformed> {
        let too_many = |_| Malformed::invalid(0, "more entries than a key index can hold");
        let blocks = (terms * FILTER_BITS).div_ceil(BLOCK_BYTES * 8).max(1);
        let buckets = (entries / BUCKET_ENTRIES).next_power_of_two().min(MOST_BUCKETS);
        Ok(Self {
            stamp,
            entries: u32::try_from(entries).map_err(too_many)?,
            blocks: u32::try_from(blocks).map_err(too_many)?,
            buckets: u32::try_from(buckets).map_err(too_many)?,
            seed: 0,
        })
    }

    pub(super) fn encode(&mut self) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE_BYTES);
        page.extend_from_slice(MAGIC);
        page.extend_from_slice(&VERSION.to_be_bytes());
        page.extend_from_slice(&[0; 2]);
        put_i64(&mut page, self.stamp.base);
        put_i64(&mut page, self.stamp.next_offset);
        put_u64(&mut page, self.stamp.bytes);
        put_u32(&mut page, self.stamp.headers_crc);
        put_u32(&mut page, self.entries);
        put_u32(&mut page, self.blocks);
        put_u32(&mut page, self.buckets);
        page.resize(BODY_BYTES, 0);
        self.seed = crc32fast::hash(&page);
        put_u32(&mut page, self.seed);
        page
    }

    /// Reads the first page.
    pub(crate) fn decode(page: &[u8]) -> Result<Self, Malformed> {
        if page.len() != PAGE_BYTES {
            return Err(Malformed::truncated(PAGE_BYTES, page.len()));
        }
        let mut reader = Reader::new(page);
        if &reader.take_array::<8>()? != MAGIC {
            return Err(Malformed::invalid(0, "no key index begins like that"));
        }
        let version = reader.take_array::<2>().map(u16::from_be_bytes)?;
        if version != VERSION {
            let (what, found, supported) = ("key index version", u32::from(version), u32::from(VERSION));
            return Err(Malformed::Unsupported { what, found, supported });
        }
        reader.take(2)?;
        let stamp = KeyStamp {
            base: reader.take_i64()?,
            next_offset: reader.take_i64()?,
            bytes: reader.take_u64()?,
            headers_crc: reader.take_u32()?,
        };
        let (entries, blocks, buckets) = (reader.take_u32()?, reader.take_u32()?, reader.take_u32()?);
        let seed = Reader::from(page, BODY_BYTES).take_u32()?;
        if crc32fast::hash(page.get(..BODY_BYTES).unwrap_or_default()) != seed {
            return Err(Malformed::invalid(BODY_BYTES, "the checksum of the first page does not fit"));
        }
        if blocks == 0 || !buckets.is_power_of_two() || buckets as usize > MOST_BUCKETS {
            return Err(Malformed::invalid(44, "a key index without a filter or buckets"));
        }
        Ok(Self { stamp, entries, blocks, buckets, seed })
    }

    /// How many terms of records it holds.
    pub(crate) fn entries(&self) -> u32 {
        self.entries
    }

    pub(super) fn filter_pages(&self) -> u32 {
        self.blocks.div_ceil(BLOCKS_A_PAGE)
    }

    pub(super) fn bucket_pages(&self) -> u32 {
        self.buckets.saturating_add(1).div_ceil(COUNTS_A_PAGE)
    }

    /// Pages of the whole file.
    pub(crate) fn pages(&self) -> u32 {
        let entries = self.entries.div_ceil(ENTRIES_A_PAGE);
        1_u32.saturating_add(self.filter_pages()).saturating_add(self.bucket_pages()).saturating_add(entries)
    }

    /// Bytes of the whole file.
    pub(crate) fn file_bytes(&self) -> u64 {
        u64::from(self.pages()) * PAGE_BYTES as u64
    }

    pub(super) fn crc_of(&self, number: u32, body: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.seed ^ number);
        hasher.update(body);
        hasher.finalize()
    }

    /// Whether a page after the first is as it was written, and stood where it was read.
    pub(crate) fn is_sound(&self, number: u32, page: &[u8]) -> bool {
        match page.split_at_checked(BODY_BYTES) {
            Some((body, crc)) => crc == self.crc_of(number, body).to_be_bytes().as_slice(),
            None => false,
        }
    }
}

impl KeyEntry {
    /// Bytes of an entry.
    pub(crate) const LEN: usize = ENTRY_BYTES;

    /// Appends it.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.hash.0.to_be_bytes().get(2..).unwrap_or_default());
        put_u32(out, self.relative_offset);
        put_u32(out, self.position);
    }

    /// Reads one, `None` where there are not bytes enough.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (hash, rest) = bytes.split_first_chunk::<6>()?;
        let hash = hash.iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte));
        let (relative_offset, rest) = rest.split_first_chunk::<4>()?;
        let position = rest.first_chunk::<4>()?;
        Some(Self {
            hash: TermHash(hash),
            relative_offset: u32::from_be_bytes(*relative_offset),
            position: u32::from_be_bytes(*position),
        })
    }
}
