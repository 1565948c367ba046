//! snappy in the framing of xerial's Java library, which is what Kafka means by snappy; raw blocks are read too.
//!
//! ```text
//! 82 "SNAPPY" 00 | version i32 = 1 | compatible i32 = 1 | (length i32, raw block of at most 32 KiB of input)...
//! ```

use snap::raw;

use super::decompressor::Bounded;
use crate::format::Malformed;
use crate::format::bytes::{self, Reader};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const VERSION: i32 = 1;
const VERSIONS_LEN: usize = 8;
const CHUNK: usize = 32 * 1024;
/// No snappy element makes more than 64 bytes of 3, so no block grows more than this many times.
const MAX_EXPANSION: usize = 22;

#[derive(Debug, Default)]
pub(super) struct Encoder {
    encoder: Option<Box<raw::Encoder>>,
}

impl Encoder {
    pub(super) fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let encoder = self.encoder.get_or_insert_with(|| Box::new(raw::Encoder::new()));
        out.extend_from_slice(&MAGIC);
        bytes::put_i32(out, VERSION);
        bytes::put_i32(out, VERSION);
        for chunk in input.chunks(CHUNK) {
            put_chunk(encoder, chunk, out)?;
        }
        Ok(())
    }
}

fn put_chunk(encoder: &mut raw::Encoder, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let length_at = out.len();
    let block_at = length_at + 4;
    out.resize(block_at + raw::max_compress_len(chunk.len()), 0);
    let written = encoder
        .compress(chunk, out.get_mut(block_at..).unwrap_or_default())
        .map_err(|error| Malformed::invalid(0, format!("snappy: {error}")))?;
    out.truncate(block_at + written);
    let length = i32::try_from(written)
        .map_err(|_| Malformed::invalid(0, "a snappy block beyond 2147483647 bytes"))?;
    if let Some(place) = out.get_mut(length_at..).and_then(|behind| behind.first_chunk_mut()) {
        *place = length.to_be_bytes();
    }
    Ok(())
}

#[derive(Debug, Default)]
pub(super) struct Decoder;

impl Decoder {
    pub(super) fn decode(&mut self, input: &[u8], bounded: &mut Bounded<'_>) -> Result<(), Malformed> {
        let mut reader = Reader::new(input);
        if !skip_header(&mut reader)? {
            return take_block(&mut reader, input.len(), bounded);
        }
        while reader.remaining() > 0 {
            // Streams may be concatenated, headers and all.
            if skip_header(&mut reader)? {
                continue;
            }
            let at = reader.position();
            match usize::try_from(reader.take_i32()?) {
                Ok(len) => take_block(&mut reader, len, bounded)?,
                Err(_) => return Err(Malformed::invalid(at, "a negative snappy chunk length")),
            }
        }
        Ok(())
    }
}

/// Skips xerial's header if it is next, and says whether it was.
fn skip_header(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    if !reader.rest().starts_with(&MAGIC) {
        return Ok(false);
    }
    reader.take(MAGIC.len() + VERSIONS_LEN)?;
    Ok(true)
}

fn take_block(reader: &mut Reader<'_>, len: usize, bounded: &mut Bounded<'_>) -> Result<(), Malformed> {
    let at = reader.position();
    let block = reader.take(len)?;
    if block.is_empty() {
        return Err(Malformed::invalid(at, "an empty snappy block"));
    }
    let damaged = |error| Malformed::invalid(at, format!("snappy: {error}"));
    let claimed = raw::decompress_len(block).map_err(damaged)?;
    bounded.check(claimed)?;
    if claimed > block.len().saturating_mul(MAX_EXPANSION) {
        return Err(Malformed::invalid(at, "a snappy block that claims more than it can hold"));
    }
    let start = bounded.out.len();
    bounded.out.resize(start + claimed, 0);
    let place = bounded.out.get_mut(start..).unwrap_or_default();
    raw::Decoder::new().decompress(block, place).map_err(damaged)?;
    Ok(())
}
