//! The least a log can store: length, CRC-32C, payload. What most small logs do.

use crate::harness::Outcome;
use crate::payload::Found;

/// Bytes in front of each payload.
pub(crate) const HEADER: usize = 8;

#[inline]
fn header(payload: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    // A payload of a benchmark is never that long.
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    header[..4].copy_from_slice(&len.to_le_bytes());
    header[4..].copy_from_slice(&crc_fast::crc32_iscsi(payload).to_le_bytes());
    header
}

/// Appends a frame to a buffer.
#[inline]
pub(crate) fn push(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&header(payload));
    out.extend_from_slice(payload);
}

/// Stores a frame at the start of `out` and says how long it is.
#[inline]
pub(crate) fn store(out: &mut [u8], payload: &[u8]) -> usize {
    out[..HEADER].copy_from_slice(&header(payload));
    out[HEADER..HEADER + payload.len()].copy_from_slice(payload);
    HEADER + payload.len()
}

/// Walks all frames up to the first of length 0, checks each CRC, touches each byte.
pub(crate) fn walk(mut bytes: &[u8]) -> Outcome<Found> {
    let mut found = Found::default();
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() {
        let [a, b, c, d, crc @ ..] = *header;
        let len = usize::try_from(u32::from_le_bytes([a, b, c, d]))?;
        if len == 0 {
            break;
        }
        let payload = &rest[..len];
        if crc_fast::crc32_iscsi(payload) != u32::from_le_bytes(crc) {
            return Err("a frame is damaged".into());
        }
        found.add(payload);
        bytes = &rest[len..];
    }
    Ok(found)
}
