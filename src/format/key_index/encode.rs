//! Making the file.

use crate::format::Malformed;
use crate::format::bytes::put_u32;
use crate::format::key_index::header::{
    BLOCK_BYTES, BLOCKS_A_PAGE, BODY_BYTES, COUNTS_A_PAGE, ENTRIES_A_PAGE, KeyEntry, KeyIndexHeader,
    KeyStamp, PAGE_BYTES,
};

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
