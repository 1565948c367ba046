//! Blocks of 512 bytes with a checksum: what a disk may tear is seen.

use crate::format::Malformed;
use crate::format::bytes::put_u32;

pub(super) const BLOCK: usize = 512;

/// Pads to 508 bytes and adds the CRC of all of them.
pub(super) fn seal_block(block: &mut Vec<u8>) {
    block.resize(BLOCK - 4, 0);
    let crc = crc32fast::hash(block);
    put_u32(block, crc);
}

pub(super) fn block(bytes: &[u8], number: usize) -> Result<&[u8], Malformed> {
    let needed = BLOCK * (number + 1);
    bytes.get(BLOCK * number..needed).ok_or(Malformed::Truncated { needed, available: bytes.len() })
}

pub(super) fn is_whole(block: &[u8]) -> bool {
    block.split_last_chunk::<4>().is_some_and(|(data, crc)| crc32fast::hash(data).to_be_bytes() == *crc)
}
