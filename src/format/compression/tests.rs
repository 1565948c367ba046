//! Framing bytes, round trips, what is read besides, and what is refused.

use super::*;
use crate::format::{Codec, Malformed};

const CODECS: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn packed(compression: Compression, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::default().compress(compression, input, &mut out).unwrap();
    out
}

fn unpacked(codec: Codec, input: &[u8], limit: usize) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::new();
    Decompressor::default().decompress(codec, input, limit, &mut out).map(|()| out)
}

/// Bytes without a pattern, the same in every run.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

fn text(len: usize) -> Vec<u8> {
    b"{\"order\":12345,\"item\":\"apples\",\"count\":2}\n".iter().copied().cycle().take(len).collect()
}

#[track_caller]
fn assert_invalid<T: std::fmt::Debug>(result: Result<T, Malformed>, words: &str) {
    match result {
        Err(Malformed::Invalid { why, .. }) if why.contains(words) => {}
        other => panic!("{other:?} instead of {words:?}"),
    }
}

#[track_caller]
fn assert_too_large<T: std::fmt::Debug>(result: Result<T, Malformed>, limit: usize) {
    assert_eq!(result.unwrap_err(), Malformed::TooLarge { limit });
}

#[test]
fn round_trips_with_kept_state() {
    let inputs = [
        text(10),
        noise(10),
        text(70_000),
        noise(200_000),
        text(1 << 20),
        noise(65_536),
        text(65_536),
        vec![0; 5],
    ];
    let (mut compressor, mut decompressor) = (Compressor::default(), Decompressor::default());
    for codec in Codec::ALL {
        for input in &inputs {
            let mut packed = b"front".to_vec();
            compressor.compress(Compression::of(codec), input, &mut packed).unwrap();
            assert_eq!(packed[..5], *b"front");
            let mut out = b"before".to_vec();
            decompressor.decompress(codec, &packed[5..], input.len(), &mut out).unwrap();
            assert_eq!(out[..6], *b"before");
            assert!(out[6..] == **input, "{codec:?} {}", input.len());
        }
    }
}

#[test]
fn empty_inputs_and_empty_payloads() {
    for codec in CODECS {
        assert_eq!(unpacked(codec, &packed(Compression::of(codec), &[]), 0), Ok(Vec::new()), "{codec:?}");
        assert!(unpacked(codec, &[], 10).is_err(), "{codec:?}");
    }
}

#[test]
fn levels_are_kafkas() {
    let text = text(5000);
    let valid = [(Codec::Gzip, [-1, 1, 9]), (Codec::Lz4, [1, 9, 17]), (Codec::Zstd, [-131_072, 3, 22])];
    let mut compressor = Compressor::default();
    for (codec, levels) in valid {
        for level in levels {
            let compression = Compression::with_level(codec, level).unwrap();
            assert_eq!((compression.codec(), compression.level()), (codec, Some(level)));
            let mut out = Vec::new();
            compressor.compress(compression, &text, &mut out).unwrap();
            assert_eq!(unpacked(codec, &out, text.len()).as_ref(), Ok(&text));
        }
    }
    let invalid = [(Codec::Gzip, 0), (Codec::Gzip, 10), (Codec::Gzip, -2), (Codec::Lz4, 0), (Codec::Lz4, 18)];
    for (codec, level) in invalid {
        assert!(Compression::with_level(codec, level).is_err(), "{codec:?} {level}");
    }
    for (codec, level) in [(Codec::Zstd, 23), (Codec::Zstd, -131_073), (Codec::None, 1), (Codec::Snappy, 1)] {
        assert!(Compression::with_level(codec, level).is_err(), "{codec:?} {level}");
    }
}

#[test]
fn the_limit_is_exact() {
    for codec in Codec::ALL {
        for input in [text(100_000), noise(100_000)] {
            let packed = packed(Compression::of(codec), &input);
            assert_eq!(unpacked(codec, &packed, input.len()).as_ref(), Ok(&input));
            for limit in [0, 1, input.len() / 2, input.len() - 1] {
                assert_too_large(unpacked(codec, &packed, limit), limit);
            }
        }
    }
}

#[test]
fn bombs_stop_near_the_limit() {
    let zeros = vec![0; 8 << 20];
    for codec in CODECS {
        let bomb = packed(Compression::of(codec), &zeros);
        let mut out = Vec::new();
        let result = Decompressor::default().decompress(codec, &bomb, 10_000, &mut out);
        assert_too_large(result, 10_000);
        assert!(out.is_empty());
        assert!(out.capacity() <= 256 * 1024, "{codec:?} allocated {}", out.capacity());
    }
}

#[test]
fn claims_of_size_are_not_allocated() {
    // A raw snappy block whose first bytes say 4 GiB - 1, and one that stays below the limit.
    let mut claim = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    claim.resize(67, 0);
    assert_too_large(unpacked(Codec::Snappy, &claim, 1 << 30), 1 << 30);
    claim[..5].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x02]);
    let mut out = Vec::new();
    let result = Decompressor::default().decompress(Codec::Snappy, &claim, 1 << 30, &mut out);
    assert_invalid(result, "claims more than it can hold");
    assert_eq!(out.capacity(), 0);
    // A zstd frame header with an eight-byte content size of 1 GiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1100_0000, 0x58];
    frame.extend_from_slice(&(1_u64 << 30).to_le_bytes());
    let result = Decompressor::default().decompress(Codec::Zstd, &frame, 2 << 30, &mut out);
    assert_invalid(result, "ends early");
    assert!(out.capacity() <= 256 * 1024, "allocated {}", out.capacity());
}

#[test]
fn a_zstd_window_beyond_kafkas_is_refused() {
    // Window descriptor: 2^28.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 18 << 3, 1, 0, 0];
    assert_invalid(unpacked(Codec::Zstd, &frame, 1 << 20), "zstd");
}

#[test]
fn every_cut_is_an_error() {
    for codec in CODECS {
        let input = noise(300);
        let packed = packed(Compression::of(codec), &input);
        for cut in 0..packed.len() {
            let result = unpacked(codec, &packed[..cut], 1000);
            // A snappy stream has no end mark: cut between chunks it is a shorter stream.
            let is_whole = codec == Codec::Snappy && cut == 16;
            assert!(result.is_err() || is_whole, "{codec:?} {cut}");
        }
    }
}

#[test]
fn gzip_framing() {
    let input = text(1000);
    let packed = packed(Compression::of(Codec::Gzip), &input);
    assert_eq!(packed[..10], gzip::HEADER);
    let twice = [&packed[..], &packed[..]].concat();
    assert_eq!(unpacked(Codec::Gzip, &twice, 2000).unwrap(), [&input[..], &input[..]].concat());
    let trailed = [&packed[..], b"garbage"].concat();
    assert_eq!(unpacked(Codec::Gzip, &trailed, 2000).as_ref(), Ok(&input));
    // Every optional part of a header.
    let mut long = gzip::HEADER.to_vec();
    long[3] = 0b1_1111;
    long.extend_from_slice(b"\x03\0abcname\0comment\0\xaa\xbb");
    long.extend_from_slice(&packed[10..]);
    assert_eq!(unpacked(Codec::Gzip, &long, 2000).as_ref(), Ok(&input));
    for (at, why) in
        [(0, "not a gzip"), (3, "reserved"), (packed.len() - 1, "do not match"), (packed.len() - 8, "do")]
    {
        let mut damaged = packed.clone();
        damaged[at] ^= 0x80;
        assert_invalid(unpacked(Codec::Gzip, &damaged, 2000), why);
    }
}

#[test]
fn gzip_is_what_others_read() {
    use std::io::Read;

    for input in [Vec::new(), vec![7], text(1000), noise(70_000), text(0x01_02_03_04)] {
        let packed = packed(Compression::of(Codec::Gzip), &input);
        // It compares both fields of the trailer with what it read.
        let mut found = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut found).unwrap();
        assert!(found == input, "{} bytes", input.len());
        let (crc, size) = packed[packed.len() - 8..].split_at(4);
        assert_eq!(crc, crc32fast::hash(&input).to_le_bytes());
        assert_eq!(size, u32::try_from(input.len()).unwrap().to_le_bytes());
    }
    for (len, field) in [((1 << 32) - 1, u32::MAX), (1 << 32, 0), ((1 << 32) + 5, 5)] {
        assert_eq!(gzip::size_modulo(len), field.to_le_bytes(), "{len}");
    }
}

#[test]
fn a_snappy_block_may_be_as_dense_as_snappy_gets_and_claim_no_more() {
    // One literal byte, and a thousand copies of 64 bytes from one byte back.
    let elements = [&[0, b'x'][..], &[0xfe, 1, 0].repeat(1000)].concat();
    let block = |claimed: usize| {
        // A length of three bytes.
        let length = [0x80 | claimed & 0x7f, 0x80 | claimed >> 7 & 0x7f, claimed >> 14];
        [&length.map(|byte| u8::try_from(byte).unwrap())[..], &elements].concat()
    };
    let decode = |claimed| unpacked(Codec::Snappy, &block(claimed), 1 << 20);
    assert_eq!(decode(64_001), Ok(vec![b'x'; 64_001]));
    let most = 22 * block(64_001).len();
    // Up to there it is for snappy itself to say that the elements end early.
    assert_invalid(decode(most), "snappy: ");
    assert_invalid(decode(most + 1), "claims more than it can hold");
}

#[test]
fn snappy_framing() {
    let input = text(40_000);
    let packed = packed(Compression::of(Codec::Snappy), &input);
    assert_eq!(packed[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    let first = usize::try_from(u32::from_be_bytes(packed[16..20].try_into().unwrap())).unwrap();
    assert_eq!(snap::raw::decompress_len(&packed[20..20 + first]), Ok(32 * 1024));
    let raw = snap::raw::Encoder::new().compress_vec(&input).unwrap();
    assert_eq!(unpacked(Codec::Snappy, &raw, 40_000).as_ref(), Ok(&input));
    let twice = [&packed[..], &packed[..]].concat();
    assert_eq!(unpacked(Codec::Snappy, &twice, 80_000).unwrap().len(), 80_000);
    let mut damaged = packed.clone();
    damaged[16] = 0x80;
    assert_invalid(unpacked(Codec::Snappy, &damaged, 40_000), "negative");
    damaged[16..20].fill(0);
    assert_invalid(unpacked(Codec::Snappy, &damaged, 40_000), "empty");
}

/// A frame around these blocks with a right header checksum.
fn lz4_frame(flg: u8, bd: u8, optional: &[u8], blocks: &[u8]) -> Vec<u8> {
    let described = [&[flg, bd], optional].concat();
    let checksum = xxh32::xxh32(&described).to_le_bytes()[1];
    [&[0x04, 0x22, 0x4d, 0x18], &described[..], &[checksum], blocks, &[0; 4]].concat()
}

#[test]
fn lz4_framing() {
    let input = noise(70_000);
    let packed = packed(Compression::of(Codec::Lz4), &input);
    assert_eq!(packed[..7], lz4::HEADER);
    assert_eq!(packed[7..11], (65_536_u32 | 1 << 31).to_le_bytes(), "a stored block");
    assert_eq!(packed[packed.len() - 4..], [0; 4]);
    let trailed = [&packed[..], b"not looked at"].concat();
    assert_eq!(unpacked(Codec::Lz4, &trailed, 70_000).as_ref(), Ok(&input));
    assert_eq!(lz4_frame(0x60, 0x40, &[], &[])[..7], lz4::HEADER);
}

#[test]
fn lz4_frames_that_others_write() {
    use std::io::Write;

    use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
    let input = text(300_000);
    for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        let info = FrameInfo::new().block_size(size).block_checksums(true).content_checksum(true);
        let mut encoder = FrameEncoder::with_frame_info(info.content_size(Some(300_000)), Vec::new());
        encoder.write_all(&input).unwrap();
        let mut packed = encoder.finish().unwrap();
        assert_eq!(unpacked(Codec::Lz4, &packed, 300_000).as_ref(), Ok(&input));
        packed[20] ^= 1;
        assert_invalid(unpacked(Codec::Lz4, &packed, 300_000), "checksum");
    }
}

#[test]
fn lz4_frames_that_are_refused() {
    let stored =
        |len: u32| [&(len | 1 << 31).to_le_bytes()[..], &vec![7; usize::try_from(len).unwrap()]].concat();
    let decode = |frame: &[u8]| unpacked(Codec::Lz4, frame, 1 << 20);
    assert_eq!(decode(&lz4_frame(0x60, 0x40, &[], &stored(3))), Ok(vec![7; 3]));
    assert_eq!(decode(&lz4_frame(0x68, 0x40, &[9; 8], &stored(3))), Ok(vec![7; 3]));
    assert_invalid(decode(b"\x02\x21\x4c\x18\0\0\0\0"), "not an lz4 frame");
    assert_invalid(decode(&lz4_frame(0xa0, 0x40, &[], &[])), "version");
    assert_invalid(decode(&lz4_frame(0x40, 0x40, &[], &[])), "depend");
    assert_invalid(decode(&lz4_frame(0x61, 0x40, &[0; 4], &[])), "reserved");
    assert_invalid(decode(&lz4_frame(0x62, 0x40, &[], &[])), "reserved");
    assert_invalid(decode(&lz4_frame(0x60, 0xc0, &[], &[])), "reserved");
    assert_invalid(decode(&lz4_frame(0x60, 0x41, &[], &[])), "reserved");
    assert_invalid(decode(&lz4_frame(0x60, 0x30, &[], &[])), "block size");
    assert_invalid(decode(&lz4_frame(0x60, 0x40, &[], &stored(65_537))), "larger than the frame allows");
    let mut damaged = lz4_frame(0x60, 0x40, &[], &[]);
    damaged[6] ^= 1;
    assert_invalid(decode(&damaged), "header's checksum");
}

#[test]
fn zstd_frames_in_a_row() {
    let packed = packed(Compression::of(Codec::Zstd), &text(100_000));
    assert_eq!(packed[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    let twice = [&packed[..], &packed[..]].concat();
    assert_eq!(unpacked(Codec::Zstd, &twice, 200_000).unwrap().len(), 200_000);
    assert_too_large(unpacked(Codec::Zstd, &twice, 199_999), 199_999);
    assert!(unpacked(Codec::Zstd, &[&packed[..], b"garbage"].concat(), 200_000).is_err());
}

#[test]
fn zstd_frames_without_content_are_passed_over() {
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let empty = packed(Compression::of(Codec::Zstd), &[]);
    let full = packed(Compression::of(Codec::Zstd), &text(300));
    for frames in [[&skippable[..], &full], [&empty, &full], [&full, &skippable], [&full, &empty]] {
        assert_eq!(unpacked(Codec::Zstd, &frames.concat(), 1000), Ok(text(300)));
    }
    assert_eq!(unpacked(Codec::Zstd, &skippable, 1000), Ok(Vec::new()));
}

#[test]
fn a_zstd_frame_that_ends_before_its_content_size_is_refused_however_much_room_there_is() {
    // It claims 51 bytes and holds a raw block of five and an empty last one: zstd itself lets that pass where the
    // output is too small for 51.
    let stream = b"\x28\xb5\x2f\xfd\x20\x33\x28\x00\x00short\x01\x00\x00";
    for limit in [5, 6, 51, 1 << 20] {
        assert_invalid(unpacked(Codec::Zstd, stream, limit), "zstd");
    }
}

#[test]
fn a_decoder_works_again_after_an_error() {
    let mut decompressor = Decompressor::default();
    let input = text(5000);
    for codec in CODECS {
        let packed = packed(Compression::of(codec), &input);
        let mut out = Vec::new();
        assert!(decompressor.decompress(codec, &packed[..packed.len() / 2], 5000, &mut out).is_err());
        decompressor.decompress(codec, &packed, 5000, &mut out).unwrap();
        assert!(out == input, "{codec:?}");
    }
}
