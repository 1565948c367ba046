//! LZ4 frames in Kafka's profile, and the rules by which Kafka reads them.
//!
//! ```text
//! 04 22 4d 18 | FLG | BD | (content size 8) | HC | (length u32 LE, block, (checksum 4))... | 00 00 00 00
//! ```
//! Blocks are independent. The top bit of a length marks a stored block. HC is the second byte of XXH32 over FLG up to
//! HC. The content size is skipped, the content checksum is not looked at, nor is anything after the end mark.

use lz4_flex::block::{self, CompressTable};

use super::decompressor::Bounded;
use super::xxh32::xxh32;
use crate::format::Malformed;
use crate::format::bytes::Reader;

/// Magic, version 1 with independent blocks, 64 KiB blocks, header checksum.
pub(super) const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const BLOCK: usize = 64 * 1024;
const STORED: u32 = 1 << 31;
const END_MARK: [u8; 4] = [0; 4];

const VERSION_MASK: u8 = 0b1100_0000;
const VERSION: u8 = 0b0100_0000;
const INDEPENDENT: u8 = 1 << 5;
const BLOCK_CHECKSUMS: u8 = 1 << 4;
const CONTENT_SIZE: u8 = 1 << 3;
/// A reserved bit and the dictionary flag, which Kafka treats as one too.
const FLG_RESERVED: u8 = 0b11;
const BD_RESERVED: u8 = 0b1000_1111;

#[derive(Debug, Default)]
pub(super) struct Encoder {
    table: Table,
}

/// The matcher's hash table, which does not print itself.
#[derive(Default)]
struct Table(Option<CompressTable>);

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Table").field(&self.0.is_some()).finish()
    }
}

impl Encoder {
    pub(super) fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let table = self.table.0.get_or_insert_with(CompressTable::default);
        out.extend_from_slice(&HEADER);
        for part in input.chunks(BLOCK) {
            put_block(table, part, out)?;
        }
        out.extend_from_slice(&END_MARK);
        Ok(())
    }
}

fn put_block(table: &mut CompressTable, part: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let length_at = out.len();
    let block_at = length_at + 4;
    out.resize(block_at + block::get_maximum_output_size(part.len()), 0);
    let place = out.get_mut(block_at..).unwrap_or_default();
    let mut written = block::compress_into_with_table(part, place, table)
        .map_err(|error| Malformed::invalid(0, format!("lz4: {error}")))?;
    let mut flag = 0;
    if written >= part.len() {
        place.get_mut(..part.len()).unwrap_or_default().copy_from_slice(part);
        written = part.len();
        flag = STORED;
    }
    out.truncate(block_at + written);
    let length =
        u32::try_from(written).map_err(|_| Malformed::invalid(0, "an lz4 block beyond 4294967295 bytes"))?;
    if let Some(place) = out.get_mut(length_at..).and_then(|behind| behind.first_chunk_mut()) {
        *place = (length | flag).to_le_bytes();
    }
    Ok(())
}

#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// One block's output: blocks marked as up to 4 MiB would cost that much zeroing each if they went straight into
    /// the caller's buffer.
    block: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Descriptor {
    max_block: usize,
    has_block_checksums: bool,
}

impl Decoder {
    pub(super) fn decode(&mut self, input: &[u8], bounded: &mut Bounded<'_>) -> Result<(), Malformed> {
        let mut reader = Reader::new(input);
        let descriptor = take_descriptor(&mut reader)?;
        loop {
            let at = reader.position();
            let length = u32::from_le_bytes(reader.take_array()?);
            if length == 0 {
                return Ok(());
            }
            let len = usize::try_from(length & !STORED).unwrap_or(usize::MAX);
            if len > descriptor.max_block {
                return Err(Malformed::invalid(at, "an lz4 block larger than the frame allows"));
            }
            let data = reader.take(len)?;
            if descriptor.has_block_checksums && xxh32(data) != u32::from_le_bytes(reader.take_array()?) {
                return Err(Malformed::invalid(at, "an lz4 block's checksum does not match"));
            }
            if length & STORED != 0 {
                bounded.check(len)?;
                bounded.out.extend_from_slice(data);
            } else {
                self.expand(data, descriptor.max_block, at, bounded)?;
            }
        }
    }

    fn expand(
        &mut self,
        data: &[u8],
        max_block: usize,
        at: usize,
        bounded: &mut Bounded<'_>,
    ) -> Result<(), Malformed> {
        if self.block.len() < max_block {
            self.block.resize(max_block, 0);
        }
        let place = self.block.get_mut(..max_block).unwrap_or_default();
        let written = block::decompress_into(data, place)
            .map_err(|error| Malformed::invalid(at, format!("lz4: {error}")))?;
        bounded.check(written)?;
        bounded.out.extend_from_slice(place.get(..written).unwrap_or_default());
        Ok(())
    }
}

fn take_descriptor(reader: &mut Reader<'_>) -> Result<Descriptor, Malformed> {
    if reader.take_array()? != MAGIC {
        return Err(Malformed::invalid(0, "not an lz4 frame"));
    }
    let from = reader.rest();
    let at = reader.position();
    let [flg, bd] = reader.take_array()?;
    if flg & VERSION_MASK != VERSION {
        return Err(Malformed::invalid(at, "an lz4 frame of another version"));
    }
    if flg & INDEPENDENT == 0 {
        return Err(Malformed::invalid(at, "an lz4 frame whose blocks depend on each other"));
    }
    if flg & FLG_RESERVED != 0 || bd & BD_RESERVED != 0 {
        return Err(Malformed::invalid(at, "reserved bits of an lz4 frame are set"));
    }
    let max_block = match bd >> 4 {
        4 => BLOCK,
        5 => 4 * BLOCK,
        6 => 16 * BLOCK,
        7 => 64 * BLOCK,
        _ => return Err(Malformed::invalid(at, "an lz4 block size that does not exist")),
    };
    if flg & CONTENT_SIZE != 0 {
        reader.take(8)?;
    }
    let described = from.get(..reader.position().saturating_sub(at)).unwrap_or_default();
    let [_, checksum, ..] = xxh32(described).to_le_bytes();
    if reader.take_u8()? != checksum {
        return Err(Malformed::invalid(at, "an lz4 frame header's checksum does not match"));
    }
    Ok(Descriptor { max_block, has_block_checksums: flg & BLOCK_CHECKSUMS != 0 })
}
