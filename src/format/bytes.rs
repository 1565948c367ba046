//! Big-endian integers and Kafka's classic strings, taken from a slice and put onto a vector.

use super::Malformed;
use super::varint;

/// Takes values from a slice one after the other. Positions count from the start of the slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    /// Never beyond `bytes.len()` except by construction with a position, where every take fails.
    at: usize,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A reader whose next byte is at `position`.
    #[inline]
    pub(crate) fn from(bytes: &'a [u8], position: usize) -> Self {
        Self { bytes, at: position }
    }

    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// The bytes not yet taken.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        match self.rest().get(..len) {
            Some(taken) => {
                self.at += len;
                Ok(taken)
            }
            None => Err(Malformed::truncated(len, self.remaining())),
        }
    }

    #[inline]
    pub(crate) fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self.rest().first_chunk::<N>() {
            Some(taken) => {
                self.at += N;
                Ok(*taken)
            }
            None => Err(Malformed::truncated(N, self.remaining())),
        }
    }

    #[inline]
    pub(crate) fn take_u8(&mut self) -> Result<u8, Malformed> {
        self.take_array().map(u8::from_be_bytes)
    }

    #[inline]
    pub(crate) fn take_i16(&mut self) -> Result<i16, Malformed> {
        self.take_array().map(i16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn take_i32(&mut self) -> Result<i32, Malformed> {
        self.take_array().map(i32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn take_i64(&mut self) -> Result<i64, Malformed> {
        self.take_array().map(i64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn take_u32(&mut self) -> Result<u32, Malformed> {
        self.take_array().map(u32::from_be_bytes)
    }

    pub(crate) fn take_u64(&mut self) -> Result<u64, Malformed> {
        self.take_array().map(u64::from_be_bytes)
    }

    pub(crate) fn take_u128(&mut self) -> Result<u128, Malformed> {
        self.take_array().map(u128::from_be_bytes)
    }

    pub(crate) fn take_unsigned(&mut self) -> Result<u32, Malformed> {
        varint::take_unsigned(self.bytes, &mut self.at).ok_or_else(|| varint::fault(self.bytes, self.at))
    }

    /// Passes over Kafka's tagged fields, of which each says its length.
    pub(crate) fn skip_tags(&mut self) -> Result<(), Malformed> {
        for _ in 0..self.take_unsigned()? {
            self.take_unsigned()?;
            let len = usize::try_from(self.take_unsigned()?).unwrap_or(usize::MAX);
            self.take(len)?;
        }
        Ok(())
    }

    /// `len` bytes of UTF-8.
    pub(crate) fn take_utf8(&mut self, len: usize) -> Result<&'a str, Malformed> {
        let at = self.at;
        std::str::from_utf8(self.take(len)?).map_err(|_| Malformed::invalid(at, "a string that is not UTF-8"))
    }

    /// A classic string: an i16 length, -1 for null, and UTF-8.
    pub(crate) fn take_nullable_string(&mut self) -> Result<Option<&'a str>, Malformed> {
        let at = self.at;
        match self.take_i16()? {
            -1 => Ok(None),
            len => match usize::try_from(len) {
                Ok(len) => self.take_utf8(len).map(Some),
                Err(_) => Err(Malformed::invalid(at, "a negative string length")),
            },
        }
    }

    /// A classic string that may not be null.
    pub(crate) fn take_string(&mut self) -> Result<&'a str, Malformed> {
        let at = self.at;
        self.take_nullable_string()?.ok_or_else(|| Malformed::invalid(at, "null where a string is needed"))
    }
}

/// Appends a varint without zig-zag, as flexible versions have them.
pub(crate) fn put_unsigned(out: &mut Vec<u8>, value: u32) {
    varint::put_unsigned(out, u64::from(value));
}

pub(crate) fn put_i16(out: &mut Vec<u8>, value: i16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_u128(out: &mut Vec<u8>, value: u128) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a classic string. Longer than 32767 bytes is an error and appends nothing.
pub(crate) fn put_string(out: &mut Vec<u8>, text: &str) -> Result<(), Malformed> {
    let len =
        i16::try_from(text.len()).map_err(|_| Malformed::invalid(0, "a string longer than 32767 bytes"))?;
    put_i16(out, len);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_big_endian() {
        let mut out = Vec::new();
        put_i16(&mut out, -2);
        put_i32(&mut out, 0x0102_0304);
        put_u32(&mut out, 0xfefd_fcfb);
        put_i64(&mut out, -3);
        assert_eq!(out[..6], [0xff, 0xfe, 1, 2, 3, 4]);
        let mut reader = Reader::new(&out);
        assert_eq!(reader.take_i16(), Ok(-2));
        assert_eq!(reader.take_i32(), Ok(0x0102_0304));
        assert_eq!(reader.take_u32(), Ok(0xfefd_fcfb));
        assert_eq!(reader.take_i64(), Ok(-3));
        assert_eq!(reader.remaining(), 0);
        assert_eq!(reader.take_u8(), Err(Malformed::Truncated { needed: 1, available: 0 }));
        assert_eq!(reader.position(), out.len());
    }

    #[test]
    fn strings_and_null() {
        let mut out = Vec::new();
        put_string(&mut out, "é").unwrap();
        put_i16(&mut out, -1);
        let mut reader = Reader::new(&out);
        assert_eq!(reader.take_string(), Ok("é"));
        assert_eq!(reader.take_nullable_string(), Ok(None));
        assert!(put_string(&mut out, &"x".repeat(32768)).is_err());
    }

    #[test]
    fn strings_that_are_none() {
        let refused =
            |bytes: &[u8]| matches!(Reader::new(bytes).take_string(), Err(Malformed::Invalid { .. }));
        assert!(refused(&[0xff, 0xff]), "null");
        assert!(refused(&[0xff, 0xfe]), "negative length");
        assert!(refused(&[0, 1, 0xff]), "not UTF-8");
        assert!(matches!(Reader::new(&[0, 2, 65]).take_string(), Err(Malformed::Truncated { .. })));
    }
}
