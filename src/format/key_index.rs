//! `.keyindex`: where in a segment the events of a key, a type or a tag stand. A file of ours, derived from the `.log`.
//!
//! ```text
//! page 0    "annals\0K", u16 version, zeros up to byte 12, the stamp (i64 base offset, i64 next offset, u64 bytes of the `.log`,
//!           u32 CRC-32 over its batch headers), u32 entries, u32 filter blocks, u32 buckets, zeros
//! filter    63 blocks of 64 bytes a page
//! buckets   1023 u32 a page: entries before each bucket, and at last their number
//! entries   292 of 14 bytes a page: 6 bytes hash, u32 offset less the base, u32 byte position of the batch
//! ```
//!
//! Every page has 4096 bytes and ends with a CRC-32 of the 4092 before it. That of page 0 is where the CRC of page `n` begins,
//! less `n` bits flipped: a page is none of another file, and none of another place.
//!
//! Entries rise by hash, then by offset. A bucket is a range of hashes. The filter says of a hash that no entry has it, or that
//! one may.

use super::Malformed;
use super::bytes::{Reader, put_i64, put_u32, put_u64};
use super::record::RawRecord;
use crate::types::Offset;

/// Bytes of a page, its CRC included.
pub(crate) const PAGE_BYTES: usize = 4096;
const BODY_BYTES: usize = PAGE_BYTES - 4;
const MAGIC: &[u8; 8] = b"annals\0K";
const VERSION: u16 = 1;
const BLOCK_BYTES: usize = 64;
const BLOCKS_A_PAGE: u32 = 63;
const COUNTS_A_PAGE: u32 = 1023;
const ENTRY_BYTES: usize = 14;
const ENTRIES_A_PAGE: u32 = 292;
/// Entries in a bucket, on the average.
const BUCKET_ENTRIES: usize = 16;
const MOST_BUCKETS: usize = 1 << 24;
/// Bits of the filter for each hash: of hashes that are not there, one in two hundred passes.
const FILTER_BITS: usize = 12;
const PROBES: u32 = 6;
/// Bits of a hash.
const HASH_BITS: u32 = 48;

const _: () = assert!(ENTRIES_A_PAGE as usize * ENTRY_BYTES <= BODY_BYTES);
const _: () = assert!(COUNTS_A_PAGE as usize * 4 <= BODY_BYTES);
const _: () = assert!(BLOCKS_A_PAGE as usize * BLOCK_BYTES <= BODY_BYTES);

/// The header that names an event's type.
pub(crate) const TYPE_HEADER: &[u8] = b"type";
/// The header that names one of its tags.
pub(crate) const TAG_HEADER: &[u8] = b"tag";

/// What a term is: the same bytes are another term in another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TermKind {
    Key,
    Type,
    Tag,
}

/// The hash of a term: 48 bits of MurmurHash64A, whose seed is the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct TermHash(u64);

impl TermHash {
    #[inline]
    pub(crate) fn of(kind: TermKind, bytes: &[u8]) -> Self {
        let seed = match kind {
            TermKind::Key => 1,
            TermKind::Type => 2,
            TermKind::Tag => 3,
        };
        Self(murmur64(bytes, seed) >> (64 - HASH_BITS))
    }

    /// A number for tables in memory.
    #[inline]
    pub(crate) fn spread(self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Its upper 16 and its lower 32 bits.
    #[inline]
    pub(crate) fn halves(self) -> (u16, u32) {
        let [_, _, a, b, c, d, e, f] = self.0.to_be_bytes();
        (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]))
    }

    /// The hash of these.
    #[inline]
    pub(crate) fn of_halves(high: u16, low: u32) -> Self {
        Self(u64::from(high) << 32 | u64::from(low))
    }

    fn bucket(self, buckets: u32) -> u32 {
        let bits = buckets.trailing_zeros();
        u32::try_from(self.0 >> (HASH_BITS - bits)).unwrap_or(u32::MAX)
    }

    fn block(self, blocks: u32) -> u32 {
        let product = u128::from(self.0) * u128::from(blocks);
        u32::try_from(product >> HASH_BITS).unwrap_or(u32::MAX)
    }

    /// The bits of its block that it sets.
    fn bits(self) -> impl Iterator<Item = usize> {
        let spread = self.spread();
        (0..PROBES).map(move |probe| usize::try_from((spread >> (probe * 9)) & 511).unwrap_or(0))
    }
}

/// What a record is found by: its key, its type, its tags.
#[inline]
pub(crate) fn for_each_term(record: &RawRecord<'_>, mut found: impl FnMut(TermHash)) {
    if let Some(key) = record.key {
        found(TermHash::of(TermKind::Key, key));
    }
    if record.headers.len() > 0 {
        for header in record.headers.raw() {
            match (header.name, header.value) {
                (TYPE_HEADER, Some(value)) => found(TermHash::of(TermKind::Type, value)),
                (TAG_HEADER, Some(value)) => found(TermHash::of(TermKind::Tag, value)),
                _ => {}
            }
        }
    }
}

/// MurmurHash64A.
fn murmur64(bytes: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> 47;
        hash = (hash ^ word.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |last, byte| last << 8 | u64::from(*byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 47)).wrapping_mul(M);
    hash ^ (hash >> 47)
}

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
    entries: u32,
    blocks: u32,
    buckets: u32,
    /// The CRC of the page.
    seed: u32,
}

impl KeyIndexHeader {
    fn new(stamp: KeyStamp, entries: usize, terms: usize) -> Result<Self, Malformed> {
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

    fn encode(&mut self) -> Vec<u8> {
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

    fn filter_pages(&self) -> u32 {
        self.blocks.div_ceil(BLOCKS_A_PAGE)
    }

    fn bucket_pages(&self) -> u32 {
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

    fn crc_of(&self, number: u32, body: &[u8]) -> u32 {
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

/// Where the pages of a key index come from. A page that is handed out was found sound.
pub(crate) trait KeyPages {
    type Error;

    /// A page, `PAGE_BYTES` long.
    fn page(&mut self, number: u32) -> Result<&[u8], Self::Error>;

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
        let bucket = hash.bucket(self.buckets);
        let (from, to) = (self.count(pages, bucket)?, self.count(pages, bucket.saturating_add(1))?);
        if from > to || to > self.entries {
            return Err(pages.contradiction());
        }
        let first = self.partition_point(pages, from..to, |entry| entry.hash < hash)?;
        let last = self.partition_point(pages, first..to, |entry| entry.hash <= hash)?;
        Ok(first..last)
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
        let first = 1 + self.filter_pages() + self.bucket_pages();
        let page = pages.page(first + number / ENTRIES_A_PAGE)?;
        let at = (number % ENTRIES_A_PAGE) as usize * ENTRY_BYTES;
        let decoded = page.get(at..at + ENTRY_BYTES).and_then(decode_entry);
        decoded.ok_or_else(|| pages.contradiction())
    }

    fn count<P: KeyPages>(&self, pages: &mut P, bucket: u32) -> Result<u32, P::Error> {
        let page = pages.page(1 + self.filter_pages() + bucket / COUNTS_A_PAGE)?;
        let at = (bucket % COUNTS_A_PAGE) as usize * 4;
        let count = page.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
        count.map(|bytes| u32::from_be_bytes(*bytes)).ok_or_else(|| pages.contradiction())
    }
}

fn block_at(block: u32) -> usize {
    (block % BLOCKS_A_PAGE) as usize * BLOCK_BYTES
}

fn decode_entry(bytes: &[u8]) -> Option<KeyEntry> {
    let (hash, rest) = bytes.split_first_chunk::<6>()?;
    let hash = hash.iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte));
    let (relative_offset, rest) = rest.split_first_chunk::<4>()?;
    let position = rest.first_chunk::<4>()?;
    Some(KeyEntry {
        hash: TermHash(hash),
        relative_offset: u32::from_be_bytes(*relative_offset),
        position: u32::from_be_bytes(*position),
    })
}

/// The whole file. The entries may be in any order.
pub(crate) fn encode_key_index(stamp: KeyStamp, mut entries: Vec<KeyEntry>) -> Result<Vec<u8>, Malformed> {
    entries.sort_unstable();
    entries.dedup();
    let terms = entries.chunk_by(|one, next| one.hash == next.hash).count();
    let mut header = KeyIndexHeader::new(stamp, entries.len(), terms)?;
    let mut out = header.encode();
    let most = usize::try_from(header.file_bytes()).unwrap_or(usize::MAX);
    out.reserve(most.saturating_sub(out.len()));
    put_filter(&mut out, &header, &entries);
    put_counts(&mut out, &header, &entries);
    for page in entries.chunks(ENTRIES_A_PAGE as usize) {
        for entry in page {
            out.extend(entry.hash.0.to_be_bytes().get(2..).unwrap_or_default());
            put_u32(&mut out, entry.relative_offset);
            put_u32(&mut out, entry.position);
        }
        seal_page(&mut out, &header);
    }
    Ok(out)
}

fn put_filter(out: &mut Vec<u8>, header: &KeyIndexHeader, entries: &[KeyEntry]) {
    let mut filter = vec![0_u8; header.blocks as usize * BLOCK_BYTES];
    for entries in entries.chunk_by(|one, next| one.hash == next.hash) {
        let Some(KeyEntry { hash, .. }) = entries.first() else { continue };
        let at = hash.block(header.blocks) as usize * BLOCK_BYTES;
        for bit in hash.bits() {
            if let Some(byte) = filter.get_mut(at + bit / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
    for page in filter.chunks(BLOCKS_A_PAGE as usize * BLOCK_BYTES) {
        out.extend_from_slice(page);
        seal_page(out, header);
    }
}

fn put_counts(out: &mut Vec<u8>, header: &KeyIndexHeader, entries: &[KeyEntry]) {
    let mut before = 0_usize;
    for bucket in 0..=header.buckets {
        while entries.get(before).is_some_and(|entry| entry.hash.bucket(header.buckets) < bucket) {
            before += 1;
        }
        put_u32(out, u32::try_from(before).unwrap_or(u32::MAX));
        if (bucket + 1).is_multiple_of(COUNTS_A_PAGE) || bucket == header.buckets {
            seal_page(out, header);
        }
    }
}

/// Fills the page that was begun, and puts its CRC after it.
fn seal_page(out: &mut Vec<u8>, header: &KeyIndexHeader) {
    let number = out.len() / PAGE_BYTES;
    let begin = number * PAGE_BYTES;
    out.resize(begin + BODY_BYTES, 0);
    let crc = header.crc_of(u32::try_from(number).unwrap_or(u32::MAX), out.get(begin..).unwrap_or_default());
    put_u32(out, crc);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pages in memory.
    struct Whole<'a>(&'a KeyIndexHeader, &'a [u8]);

    impl KeyPages for Whole<'_> {
        type Error = &'static str;

        fn page(&mut self, number: u32) -> Result<&[u8], Self::Error> {
            let at = number as usize * PAGE_BYTES;
            let page = self.1.get(at..at + PAGE_BYTES).ok_or("cut")?;
            if self.0.is_sound(number, page) { Ok(page) } else { Err("damaged") }
        }

        fn contradiction(&self) -> Self::Error {
            "contradiction"
        }
    }

    const STAMP: KeyStamp = KeyStamp { base: 7000, next_offset: 9000, bytes: 1234, headers_crc: 0xfeed };

    fn hash(term: u32) -> TermHash {
        TermHash::of(TermKind::Key, format!("key-{term}").as_bytes())
    }

    /// Three entries for each of so many keys, and as many again for one of them.
    fn entries(keys: u32) -> Vec<KeyEntry> {
        let of = |term, relative_offset| KeyEntry {
            hash: hash(term),
            relative_offset,
            position: relative_offset * 3,
        };
        let each = (0..keys * 3).map(|number| of(number % keys, number));
        each.chain((0..keys).map(|number| of(0, keys * 3 + number))).collect()
    }

    fn found(file: &[u8], term: TermHash) -> Result<Vec<u32>, &'static str> {
        let header = KeyIndexHeader::decode(file.get(..PAGE_BYTES).ok_or("cut")?).map_err(|_| "header")?;
        if header.stamp != STAMP || header.file_bytes() != file.len() as u64 {
            return Err("another");
        }
        let mut pages = Whole(&header, file);
        if !header.may_hold(&mut pages, term)? {
            return Ok(Vec::new());
        }
        let run = header.run(&mut pages, term)?;
        run.map(|number| header.entry(&mut pages, number).map(|entry| entry.relative_offset)).collect()
    }

    #[test]
    fn every_entry_is_found_in_its_order_and_no_other() {
        for keys in [0, 1, 2, 5, 97, 1000, 20_000] {
            let entries = entries(keys);
            let file = encode_key_index(STAMP, entries.clone()).unwrap();
            for term in (0..keys).step_by(keys as usize / 50 + 1) {
                let hash = hash(term);
                let expected: Vec<_> = entries
                    .iter()
                    .filter(|entry| entry.hash == hash)
                    .map(|entry| entry.relative_offset)
                    .collect();
                assert_eq!(found(&file, hash), Ok(expected), "{term} of {keys}");
            }
            let strangers = (0..2000).map(|number| hash(1_000_000 + number));
            assert!(strangers.map(|hash| found(&file, hash)).all(|found| found == Ok(Vec::new())));
        }
    }

    #[test]
    fn the_filter_lets_few_strangers_pass() {
        let file = encode_key_index(STAMP, entries(10_000)).unwrap();
        let header = KeyIndexHeader::decode(&file[..PAGE_BYTES]).unwrap();
        let mut pages = Whole(&header, &file);
        let passed =
            (0..20_000).filter(|number| header.may_hold(&mut pages, hash(1_000_000 + number)).unwrap());
        assert!(passed.count() < 400, "of 20,000");
    }

    #[test]
    fn a_flipped_or_missing_byte_is_an_error_and_never_another_answer() {
        let keys = 900;
        let file = encode_key_index(STAMP, entries(keys)).unwrap();
        let right: Vec<_> = (0..keys).map(|term| found(&file, hash(term)).unwrap()).collect();
        for at in (0..file.len()).step_by(53) {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            for term in (0..keys).step_by(41) {
                if let Ok(found) = found(&damaged, hash(term)) {
                    assert_eq!(found, right[term as usize], "byte {at}, key {term}");
                }
            }
            assert!(found(&file[..at], hash(0)).is_err());
        }
    }

    #[test]
    fn a_page_of_another_file_or_place_is_none() {
        let file = encode_key_index(STAMP, entries(900)).unwrap();
        let other = KeyStamp { headers_crc: 1, ..STAMP };
        let stranger = encode_key_index(other, entries(900)).unwrap();
        let header = KeyIndexHeader::decode(&file[..PAGE_BYTES]).unwrap();
        for number in 1..header.pages() {
            let page = |file: &[u8], number: u32| file[number as usize * PAGE_BYTES..][..PAGE_BYTES].to_vec();
            assert!(header.is_sound(number, &page(&file, number)));
            assert!(!header.is_sound(number, &page(&stranger, number)));
            assert!(!header.is_sound(number ^ 1, &page(&file, number)));
        }
    }

    /// What files rest on stays.
    #[test]
    fn hashes_are_those_of_murmur() {
        // Computed from the published definition in another language.
        let of =
            |bytes| [TermKind::Key, TermKind::Type, TermKind::Tag].map(|kind| TermHash::of(kind, bytes).0);
        assert_eq!(of(b"order-17"), [131_331_592_467_244, 82_996_979_283_566, 148_718_330_380_754]);
        assert_eq!(of(b"a longer key-17"), [191_563_610_525_246, 74_076_735_662_371, 192_140_704_606_034]);
    }
}
