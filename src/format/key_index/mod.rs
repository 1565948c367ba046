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

mod encode;
mod header;
mod lookup;
mod term;
#[cfg(test)]
mod tests;

pub(crate) use encode::{KeyIndexEncoder, encode_key_index};
pub(crate) use header::{KeyEntry, KeyIndexHeader, KeyStamp, PAGE_BYTES};
pub(crate) use lookup::KeyPages;
pub(crate) use term::{TAG_HEADER, TYPE_HEADER, TermHash, TermKind, for_each_term};
