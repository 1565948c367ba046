//! Kafka's variable-length integers: zig-zag, then seven bits a byte, lowest first, the high bit set on all but the last.
//!
//! Minimal encodings are written. Any encoding that ends within 5 bytes (32 bits) or 10 bytes (64 bits) is read; bits
//! that do not fit are dropped, as Kafka drops them.

use super::Malformed;

const MORE: u8 = 0x80;
const MAX_LEN_32: usize = 5;
const MAX_LEN_64: usize = 10;

#[inline]
fn zigzag32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)).cast_unsigned()
}

#[inline]
fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[inline]
fn unzigzag32(raw: u32) -> i32 {
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}

#[inline]
fn unzigzag64(raw: u64) -> i64 {
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}

/// The lowest seven bits.
#[inline]
fn low_bits(raw: u64) -> u8 {
    let [lowest, ..] = raw.to_le_bytes();
    lowest & !MORE
}

/// Bytes that `put_unsigned` writes for `raw`.
#[inline]
fn unsigned_len(raw: u64) -> usize {
    if raw < 1 << 7 {
        return 1;
    }
    // Seven bits a byte, rounded up, without a division: exact for every number of bits up to 64.
    let significant = u64::BITS - (raw | 1).leading_zeros();
    usize::try_from((significant * 9 + 64) / 64).unwrap_or(MAX_LEN_64)
}

/// Appends a varint without zig-zag.
#[inline]
pub(crate) fn put_unsigned(out: &mut Vec<u8>, raw: u64) {
    if raw < 1 << 7 {
        out.push(low_bits(raw));
    } else if raw < 1 << 14 {
        out.extend_from_slice(&[low_bits(raw) | MORE, low_bits(raw >> 7)]);
    } else {
        put_long(out, raw);
    }
}

fn put_long(out: &mut Vec<u8>, mut raw: u64) {
    while raw >= 1 << 7 {
        out.push(low_bits(raw) | MORE);
        raw >>= 7;
    }
    out.push(low_bits(raw));
}

/// Appends a 32-bit varint.
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_unsigned(out, u64::from(zigzag32(value)));
}

/// Appends a 64-bit varint.
#[inline]
pub(crate) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, zigzag64(value));
}

/// Bytes that `put_varint` appends, 1 to 5.
#[inline]
pub(crate) fn varint_len(value: i32) -> usize {
    unsigned_len(u64::from(zigzag32(value)))
}

/// Bytes that `put_varlong` appends, 1 to 10.
#[inline]
pub(crate) fn varlong_len(value: i64) -> usize {
    unsigned_len(zigzag64(value))
}

/// Reads a 32-bit varint at `*at` and moves `at` behind it. `None`, and `at` as it was, if there is none: see `fault`.
#[inline]
pub(crate) fn take_varint(bytes: &[u8], at: &mut usize) -> Option<i32> {
    take_unsigned(bytes, at).map(unzigzag32)
}

/// Reads a 32-bit varint without zig-zag.
#[inline]
pub(crate) fn take_unsigned(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let first = *bytes.get(*at)?;
    if first < MORE {
        *at += 1;
        return Some(u32::from(first));
    }
    let second = *bytes.get(*at + 1)?;
    if second < MORE {
        *at += 2;
        return Some(u32::from(first & !MORE) | u32::from(second) << 7);
    }
    take_long_32(bytes, at)
}

/// Reads a 64-bit varint at `*at` and moves `at` behind it. `None`, and `at` as it was, if there is none: see `fault`.
#[inline]
pub(crate) fn take_varlong(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let first = *bytes.get(*at)?;
    if first < MORE {
        *at += 1;
        return Some(unzigzag64(u64::from(first)));
    }
    let second = *bytes.get(*at + 1)?;
    if second < MORE {
        *at += 2;
        return Some(unzigzag64(u64::from(first & !MORE) | u64::from(second) << 7));
    }
    take_long_64(bytes, at)
}

#[inline(never)]
fn take_long_32(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let mut raw = 0_u32;
    for (byte, index) in bytes.get(*at..)?.iter().zip(0..MAX_LEN_32) {
        raw |= u32::from(*byte & !MORE) << (7 * index);
        if *byte < MORE {
            *at += index + 1;
            return Some(raw);
        }
    }
    None
}

#[inline(never)]
fn take_long_64(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let mut raw = 0_u64;
    for (byte, index) in bytes.get(*at..)?.iter().zip(0..MAX_LEN_64) {
        raw |= u64::from(*byte & !MORE) << (7 * index);
        if *byte < MORE {
            *at += index + 1;
            return Some(unzigzag64(raw));
        }
    }
    None
}

/// Why no varint could be taken at `at`.
#[cold]
pub(crate) fn fault(bytes: &[u8], at: usize) -> Malformed {
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.iter().all(|byte| *byte >= MORE) && rest.len() < MAX_LEN_64 {
        return Malformed::truncated(rest.len() + 1, rest.len());
    }
    Malformed::invalid(at, "a varint that does not end where it must")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: i32) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, value);
        out
    }

    #[test]
    fn kafka_vectors() {
        let vectors: [(i32, &[u8]); 7] = [
            (0, &[0x00]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (-65, &[0x81, 0x01]),
        ];
        for (value, bytes) in vectors {
            assert_eq!(encoded(value), bytes, "{value}");
            let mut at = 0;
            assert_eq!(take_varint(bytes, &mut at), Some(value));
            assert_eq!(at, bytes.len());
        }
    }

    #[test]
    fn lengths_and_round_trips_at_every_width() {
        for bits in 0..64 {
            for near in [-1_i64, 0, 1] {
                for sign in [1, -1] {
                    let value = (1_i64 << bits).wrapping_add(near).wrapping_mul(sign);
                    let mut out = vec![0xaa];
                    put_varlong(&mut out, value);
                    assert_eq!(out.len() - 1, varlong_len(value), "{value}");
                    let mut at = 1;
                    assert_eq!(take_varlong(&out, &mut at), Some(value));
                    assert_eq!(at, out.len());
                    if let Ok(small) = i32::try_from(value) {
                        assert_eq!(encoded(small).len(), varint_len(small), "{small}");
                        assert_eq!(take_varint(&out, &mut 1), Some(small));
                    }
                }
            }
        }
        assert_eq!(varlong_len(i64::MIN), 10);
        assert_eq!(varint_len(i32::MIN), 5);
    }

    #[test]
    fn longer_than_minimal_is_read() {
        assert_eq!(take_varint(&[0x82, 0x80, 0x80, 0x80, 0x00], &mut 0), Some(1));
        assert_eq!(
            take_varlong(&[0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], &mut 0),
            Some(1)
        );
    }

    #[test]
    fn too_long_and_too_short() {
        let taken = |bytes: &[u8], at: usize| {
            let mut moved = at;
            assert_eq!(take_varint(bytes, &mut moved), None);
            assert_eq!(moved, at);
            fault(bytes, at)
        };
        assert!(matches!(taken(&[0x80, 0x80, 0x80, 0x80, 0x80, 0], 0), Malformed::Invalid { at: 0, .. }));
        assert_eq!(taken(&[0x80; 2], 0), Malformed::Truncated { needed: 3, available: 2 });
        assert!(matches!(taken(&[], 0), Malformed::Truncated { .. }));
        assert!(matches!(taken(&[1], 7), Malformed::Truncated { .. }));
        assert_eq!(take_varlong(&[0x80; 11], &mut 0), None);
        assert!(matches!(fault(&[0x80; 11], 0), Malformed::Invalid { at: 0, .. }));
        // No byte behind it would make a varint of it.
        assert_eq!(take_varlong(&[0x80; 10], &mut 0), None);
        assert!(matches!(fault(&[0x80; 10], 0), Malformed::Invalid { at: 0, .. }));
        assert_eq!(take_varlong(&[0x80; 9], &mut 0), None);
        assert!(matches!(fault(&[0x80; 9], 0), Malformed::Truncated { .. }));
    }
}
