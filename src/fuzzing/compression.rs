//! The codecs: any stream, any limit, and back.

use crate::format::{Codec, Compression, Compressor, Decompressor};
use crate::fuzzing::input::Input;

/// Memory that a decoder may take beyond what it hands out: the step by which it grows.
const SLACK: usize = 256 << 10;

/// Any bytes as a gzip stream, and as what one is made of.
pub fn gzip(data: &[u8]) {
    codec(Codec::Gzip, data);
}

/// The same for snappy.
pub fn snappy(data: &[u8]) {
    codec(Codec::Snappy, data);
}

/// The same for lz4.
pub fn lz4(data: &[u8]) {
    codec(Codec::Lz4, data);
}

/// The same for zstd.
pub fn zstd(data: &[u8]) {
    codec(Codec::Zstd, data);
}

/// The first two bytes are the limit, in units of 17 bytes.
fn codec(codec: Codec, data: &[u8]) {
    let mut input = Input::new(data);
    let limit = usize::from(input.u16()) * 17;
    let rest = input.rest();
    check_stream(codec, limit, rest);
    check_round_trip(codec, rest);
}

fn check_stream(codec: Codec, limit: usize, stream: &[u8]) {
    let mut decompressor = Decompressor::default();
    let mut out = b"before".to_vec();
    let outcome = decompressor.decompress(codec, stream, limit, &mut out);
    assert!(out.starts_with(b"before"));
    let found = out.get(6..).unwrap_or_default();
    assert!(found.len() <= limit);
    assert!(outcome.is_ok() || found.is_empty());
    assert!(out.capacity() <= 2 * limit + 4 * stream.len() + SLACK, "{} bytes for {limit}", out.capacity());
    // A decoder that has failed is as good as a new one, and the limit alone decides what is too much.
    let mut again = Vec::new();
    let second = decompressor.decompress(codec, stream, limit, &mut again);
    assert_eq!((second.is_ok(), &again[..]), (outcome.is_ok(), found));
    if outcome.is_ok() {
        again.clear();
        assert_eq!(decompressor.decompress(codec, stream, found.len(), &mut again), Ok(()));
        assert!(again == found);
        if let Some(less) = found.len().checked_sub(1) {
            assert!(decompressor.decompress(codec, stream, less, &mut again).is_err());
        }
    }
}

fn check_round_trip(codec: Codec, bytes: &[u8]) {
    let mut packed = b"front".to_vec();
    assert_eq!(Compressor::default().compress(Compression::of(codec), bytes, &mut packed), Ok(()));
    let stream = packed.get(5..).unwrap_or_default();
    let mut out = Vec::new();
    assert_eq!(Decompressor::default().decompress(codec, stream, bytes.len(), &mut out), Ok(()));
    assert!(out == bytes);
}
