//! gzip (RFC 1952) around raw deflate, so that the deflate state can be kept and the header is ours.

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use super::decompressor::Bounded;
use crate::format::Malformed;
use crate::format::bytes::Reader;

/// Magic, deflate, no flags, no time, no extra flags, unknown system: what Java writes since 16.
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
const DEFAULT_LEVEL: u32 = 6;
const GROWTH: usize = 16 * 1024;

const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// Deflate state of the last level used.
    deflate: Option<Deflate>,
}

#[derive(Debug)]
struct Deflate {
    level: u32,
    state: Compress,
}

impl Encoder {
    pub(super) fn encode(
        &mut self,
        level: Option<i32>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let level = level.and_then(|level| u32::try_from(level).ok()).unwrap_or(DEFAULT_LEVEL);
        out.extend_from_slice(&HEADER);
        deflate_all(self.state(level), input, out)?;
        out.extend_from_slice(&crc32fast::hash(input).to_le_bytes());
        out.extend_from_slice(&size_modulo(input.len()));
        Ok(())
    }

    fn state(&mut self, level: u32) -> &mut Compress {
        let fresh = || Deflate { level, state: Compress::new(flate2::Compression::new(level), false) };
        let deflate = self.deflate.get_or_insert_with(fresh);
        if deflate.level == level {
            deflate.state.reset();
        } else {
            *deflate = fresh();
        }
        &mut deflate.state
    }
}

fn deflate_all(state: &mut Compress, input: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    // Stored blocks add five bytes to each 16 KiB, so one pass is the rule.
    out.reserve(input.len() + input.len() / 1024 + 64);
    let mut used = 0;
    loop {
        let before = state.total_in();
        let status = state
            .compress_vec(input.get(used..).unwrap_or_default(), out, FlushCompress::Finish)
            .map_err(|error| Malformed::invalid(used, format!("deflate: {error}")))?;
        used += progress(before, state.total_in());
        match status {
            Status::StreamEnd => return Ok(()),
            Status::Ok | Status::BufError => out.reserve(GROWTH),
        }
    }
}

/// The size field: the length modulo 2^32.
pub(super) fn size_modulo(len: usize) -> [u8; 4] {
    let [first, second, third, fourth, ..] = len.to_le_bytes();
    [first, second, third, fourth]
}

fn progress(before: u64, after: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or_default()
}

#[derive(Debug, Default)]
pub(super) struct Decoder {
    inflate: Option<Decompress>,
}

impl Decoder {
    /// Reads one member after the other. What follows the last and does not look like another is not looked at, as
    /// in Java.
    pub(super) fn decode(&mut self, input: &[u8], bounded: &mut Bounded<'_>) -> Result<(), Malformed> {
        let mut reader = Reader::new(input);
        loop {
            skip_header(&mut reader)?;
            let start = bounded.out.len();
            self.inflate(&mut reader, bounded)?;
            check_trailer(&mut reader, bounded.out.get(start..).unwrap_or_default())?;
            if !reader.rest().starts_with(&MAGIC) {
                return Ok(());
            }
        }
    }

    fn inflate(&mut self, reader: &mut Reader<'_>, bounded: &mut Bounded<'_>) -> Result<(), Malformed> {
        let inflate = self.inflate.get_or_insert_with(|| Decompress::new(false));
        inflate.reset(false);
        loop {
            bounded.grow(GROWTH.max(reader.remaining().saturating_mul(3)));
            let (read, written) = (inflate.total_in(), inflate.total_out());
            let status = inflate
                .decompress_vec(reader.rest(), bounded.out, FlushDecompress::None)
                .map_err(|error| Malformed::invalid(reader.position(), format!("deflate: {error}")))?;
            let read = progress(read, inflate.total_in());
            reader.take(read)?;
            bounded.check(0)?;
            if status == Status::StreamEnd {
                return Ok(());
            }
            if read == 0 && inflate.total_out() == written {
                return Err(Malformed::invalid(reader.position(), "deflate: the stream ends early"));
            }
        }
    }
}

fn skip_header(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let at = reader.position();
    if reader.take_array()? != MAGIC {
        return Err(Malformed::invalid(at, "not a gzip stream"));
    }
    let flags = reader.take_u8()?;
    if flags & RESERVED != 0 {
        return Err(Malformed::invalid(at, "reserved gzip flags are set"));
    }
    reader.take(6)?;
    if flags & EXTRA != 0 {
        let len = u16::from_le_bytes(reader.take_array()?);
        reader.take(usize::from(len))?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            while reader.take_u8()? != 0 {}
        }
    }
    if flags & HEADER_CRC != 0 {
        reader.take(2)?;
    }
    Ok(())
}

fn check_trailer(reader: &mut Reader<'_>, output: &[u8]) -> Result<(), Malformed> {
    let at = reader.position();
    let crc = u32::from_le_bytes(reader.take_array()?);
    let size = reader.take_array()?;
    if crc != crc32fast::hash(output) || size != size_modulo(output.len()) {
        return Err(Malformed::invalid(at, "gzip: checksum or size do not match"));
    }
    Ok(())
}
