//! Judging a segment that may have been cut off in the middle of a write.

use crate::error::Result;
use crate::format::{AbortedTransaction, BatchHeader, Malformed};
use crate::segment::log_file::Walk;
use crate::segment::summary::Tally;
use crate::segment::{LogFile, SparseIndex};
use crate::types::Offset;

/// What a scan from the first byte found.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    /// The sum of the batches that are whole and in sequence.
    pub(crate) tally: Tally,
    pub(crate) index: SparseIndex,
    /// The transactions whose ABORT marker is among them.
    pub(crate) aborted: Vec<AbortedTransaction>,
    /// What lies after them.
    pub(crate) tail: Tail,
}

/// What lies after the last good batch of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing, or zeros that were allocated ahead.
    Clean,
    /// Bytes that are no batch of this log.
    Torn {
        /// How many, up to the last that is not zero.
        bytes: u64,
        /// Why the first of them is no batch.
        reason: String,
    },
}

/// Bytes looked at together when searching the tail for the last that is not zero.
const CHUNK: usize = 1 << 20;

/// Sees every batch that a scan finds good, its header and what is behind it; says which transaction the batch aborts.
pub(crate) type Witness<'a> = &'a mut dyn FnMut(&BatchHeader, &[u8]) -> Option<AbortedTransaction>;

/// Walks the batches of `log` from its first byte: size, magic, CRC, offset continuity. Stops at the first
/// that fails, or that begins at or above `until`, the base of the next segment.
pub(crate) fn scan(
    log: &LogFile,
    base: Offset,
    interval_bytes: u32,
    until: Offset,
    witness: Witness<'_>,
) -> Result<Scan> {
    let len = log.len()?;
    let mut scan = Scan {
        tally: Tally::new(base),
        index: SparseIndex::new(base, interval_bytes),
        aborted: Vec::new(),
        tail: Tail::Clean,
    };
    let mut walk = Walk::new(log, len);
    loop {
        let position = scan.tally.bytes;
        if position >= len || scan.tally.next_offset >= until {
            return Ok(scan);
        }
        match next(&mut walk, &mut scan, len, witness)? {
            Ok(()) => {}
            Err(malformed) => {
                scan.tail = tail(&mut walk, position, len, &malformed)?;
                return Ok(scan);
            }
        }
    }
}

/// Adds the batch after those counted so far. The inner error says why there is none; the outer one that the file could
/// not be read, which proves nothing about it.
fn next(
    walk: &mut Walk<'_>,
    scan: &mut Scan,
    len: u64,
    witness: Witness<'_>,
) -> Result<std::result::Result<(), Malformed>> {
    let position = scan.tally.bytes;
    let header = match BatchHeader::decode(walk.bytes(position, BatchHeader::LEN)?) {
        Ok(header) => header,
        Err(malformed) => return Ok(Err(malformed)),
    };
    let needed = header.total_len();
    let available = len - position;
    if needed as u64 > available {
        let available = usize::try_from(available).unwrap_or(usize::MAX);
        return Ok(Err(Malformed::Truncated { needed, available }));
    }
    let batch = walk.bytes(position, needed)?.get(..needed).unwrap_or_default();
    if let Err(malformed) = judge(&header, batch, scan.tally.next_offset) {
        return Ok(Err(malformed));
    }
    scan.index.note(&header, position);
    scan.tally.add(&header, batch.get(..BatchHeader::LEN).unwrap_or_default());
    scan.aborted.extend(witness(&header, batch.get(BatchHeader::LEN..).unwrap_or_default()));
    Ok(Ok(()))
}

fn judge(header: &BatchHeader, batch: &[u8], expected: Offset) -> std::result::Result<(), Malformed> {
    let invalid = |why: String| Err(Malformed::Invalid { at: 0, why: why.into() });
    if header.base_offset != expected {
        return invalid(format!("base offset {} instead of {expected}", header.base_offset));
    }
    BatchHeader::verify_crc(batch)
}

/// What lies from `from` on, where no batch is for the reason `why`.
pub(super) fn tail(walk: &mut Walk<'_>, from: u64, len: u64, why: &Malformed) -> Result<Tail> {
    let mut end = from;
    let mut position = from;
    while position < len {
        let bytes = walk.bytes(position, CHUNK)?;
        let bytes = bytes.get(..bytes.len().min(CHUNK)).unwrap_or(bytes);
        if bytes.is_empty() {
            break;
        }
        if let Some(last) = last_of_content(bytes) {
            end = position + last as u64 + 1;
        }
        position += bytes.len() as u64;
    }
    if end == from {
        return Ok(Tail::Clean);
    }
    Ok(Tail::Torn { bytes: end - from, reason: why.to_string() })
}

/// The place of the last byte that is not zero. By stretches: most of a tail was allocated ahead, and may be long.
fn last_of_content(bytes: &[u8]) -> Option<usize> {
    let mut end = bytes.len();
    for stretch in bytes.rchunks(256) {
        let begin = end - stretch.len();
        if stretch.iter().fold(0, |all, byte| all | byte) != 0 {
            return stretch.iter().rposition(|byte| *byte != 0).map(|at| begin + at);
        }
        end = begin;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_of_content_is_found_wherever_it_is() {
        for len in [0, 1, 255, 256, 257, 700] {
            let mut bytes = vec![0; len];
            assert_eq!(last_of_content(&bytes), None);
            for at in 0..len {
                bytes[at] = 0x40;
                assert_eq!(last_of_content(&bytes), Some(at), "{at} of {len}");
            }
        }
    }
}
