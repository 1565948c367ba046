//! Kafka's batches with no library around them: plain code, null keys, no headers, the values alone.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::harness::Outcome;
use crate::payload::Found;

pub(crate) const HEADER: usize = 61;

/// Encodes records and writes a batch whenever it is full.
pub(crate) struct Batches<'a> {
    file: &'a File,
    position: u64,
    bytes: Vec<u8>,
    base_offset: i64,
    count: i32,
    full: usize,
}

impl<'a> Batches<'a> {
    /// Batches of up to `full` bytes.
    pub(crate) fn new(file: &'a File, full: usize) -> Self {
        let mut bytes = Vec::with_capacity(full + 4096);
        bytes.resize(HEADER, 0);
        Self { file, position: 0, bytes, base_offset: 0, count: 0, full }
    }

    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) -> Outcome {
        let len = i32::try_from(value.len())?;
        let body = 4 + varint_len(self.count) + varint_len(len) + value.len();
        put_varint(&mut self.bytes, i32::try_from(body)?);
        // Attributes and timestamp delta.
        self.bytes.extend_from_slice(&[0, 0]);
        put_varint(&mut self.bytes, self.count);
        // A null key.
        self.bytes.push(1);
        put_varint(&mut self.bytes, len);
        self.bytes.extend_from_slice(value);
        // No headers.
        self.bytes.push(0);
        self.count += 1;
        if self.bytes.len() + value.len() + 16 > self.full { self.write() } else { Ok(()) }
    }

    /// Writes what there is, if anything, as one batch. Returns where the next one begins.
    pub(crate) fn finish(&mut self) -> Outcome<u64> {
        if self.count > 0 {
            self.write()?;
        }
        Ok(self.position)
    }

    fn write(&mut self) -> Outcome {
        let out = &mut self.bytes;
        let len = i32::try_from(out.len() - 12)?;
        out[..8].copy_from_slice(&self.base_offset.to_be_bytes());
        out[8..12].copy_from_slice(&len.to_be_bytes());
        out[16] = 2;
        out[23..27].copy_from_slice(&(self.count - 1).to_be_bytes());
        out[43..57].fill(0xff);
        out[57..61].copy_from_slice(&self.count.to_be_bytes());
        let crc = crc_fast::crc32_iscsi(&out[21..]);
        out[17..21].copy_from_slice(&crc.to_be_bytes());
        self.file.write_all_at(out, self.position)?;
        self.position += out.len() as u64;
        self.base_offset += i64::from(self.count);
        self.count = 0;
        out.truncate(HEADER);
        Ok(())
    }
}

/// One whole batch.
pub(crate) struct Batch<'a> {
    pub(crate) base_offset: i64,
    pub(crate) count: i32,
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The batch at the start of `bytes`, `None` where there is none.
    #[inline]
    pub(crate) fn first(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER>()?;
        let len = usize::try_from(i32::from_be_bytes(*header[8..12].first_chunk()?)).ok()?;
        if len == 0 {
            return None;
        }
        Some(Self {
            base_offset: i64::from_be_bytes(*header.first_chunk()?),
            count: i32::from_be_bytes(*header[57..].first_chunk()?),
            bytes: bytes.get(..len + 12)?,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(crate) fn check(&self) -> Outcome {
        let stored = [self.bytes[17], self.bytes[18], self.bytes[19], self.bytes[20]];
        if crc_fast::crc32_iscsi(&self.bytes[21..]) == u32::from_be_bytes(stored) {
            Ok(())
        } else {
            Err("a batch is damaged".into())
        }
    }

    /// The values in order.
    #[inline]
    pub(crate) fn values(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (bytes, mut at) = (self.bytes, HEADER);
        (0..self.count).map(move |_| {
            let (_, body) = take_varint(bytes, at);
            let (_, key) = take_varint(bytes, body + 2);
            let (len, value) = take_varint(bytes, key + 1);
            let end = value + usize::try_from(len).unwrap_or(0);
            at = end + 1;
            &bytes[value..end]
        })
    }
}

/// Walks all batches, checks each CRC, touches each byte of each value.
pub(crate) fn walk(mut bytes: &[u8]) -> Outcome<Found> {
    let mut found = Found::default();
    while let Some(batch) = Batch::first(bytes) {
        batch.check()?;
        batch.values().for_each(|value| found.add(value));
        bytes = &bytes[batch.len()..];
    }
    Ok(found)
}

#[inline]
fn varint_len(value: i32) -> usize {
    match value {
        0..64 => 1,
        64..8192 => 2,
        _ => 3,
    }
}

#[inline]
fn put_varint(out: &mut Vec<u8>, value: i32) {
    let mut rest = value.unsigned_abs() << 1;
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

/// A varint that is not negative, and where what follows it begins.
#[inline]
fn take_varint(bytes: &[u8], at: usize) -> (u32, usize) {
    let first = u32::from(bytes[at]);
    if first < 0x80 {
        return (first >> 1, at + 1);
    }
    let second = u32::from(bytes[at + 1]);
    if second < 0x80 {
        return ((first & 0x7f | second << 7) >> 1, at + 2);
    }
    let third = u32::from(bytes[at + 2]);
    ((first & 0x7f | (second & 0x7f) << 7 | third << 14) >> 1, at + 3)
}
