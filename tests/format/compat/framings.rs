//! The framings of compressed records that Kafka's other clients write.

use std::io::Write;

use flate2::write::GzEncoder;
use flate2::{Compression as GzipLevel, GzBuilder};
use kafka_protocol::records::Compression;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use crate::compat::files;
use crate::compat::foreign;
use crate::compat::samples;

fn assert_read(compression: Compression, squeeze: fn(&[u8]) -> Vec<u8>) {
    for (_, samples) in samples::all() {
        let samples: Vec<_> = samples.into_iter().map(samples::Sample::with_headers_as_map).collect();
        let bytes = foreign::squeezed(1, &samples, compression, squeeze);
        let expected: Vec<_> = [files::first_record()].into_iter().chain((1..).zip(samples)).collect();
        let dir = files::killed_store_with(&bytes);
        files::assert_read(dir.path(), &bytes, &expected, i64::try_from(expected.len()).unwrap());
    }
}

fn halves(plain: &[u8]) -> (&[u8], &[u8]) {
    plain.split_at(plain.len() / 2)
}

fn xerial(plain: &[u8]) -> Vec<u8> {
    let mut out = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for chunk in plain.chunks(32 << 10) {
        let block = snap::raw::Encoder::new().compress_vec(chunk).unwrap();
        out.extend(u32::try_from(block.len()).unwrap().to_be_bytes());
        out.extend(block);
    }
    out
}

#[test]
fn snappy_raw() {
    assert_read(Compression::Snappy, |plain| snap::raw::Encoder::new().compress_vec(plain).unwrap());
}

#[test]
fn snappy_xerial() {
    assert_read(Compression::Snappy, xerial);
}

#[test]
fn snappy_xerial_streams_one_after_the_other() {
    assert_read(Compression::Snappy, |plain| {
        let (first, second) = halves(plain);
        [xerial(first), xerial(second)].concat()
    });
}

fn lz4(plain: &[u8], info: FrameInfo) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info.block_mode(BlockMode::Independent), Vec::new());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn lz4_without_sizes_and_checksums() {
    assert_read(Compression::Lz4, |plain| lz4(plain, FrameInfo::new().block_size(BlockSize::Max64KB)));
}

#[test]
fn lz4_with_the_content_size() {
    assert_read(Compression::Lz4, |plain| {
        lz4(plain, FrameInfo::new().content_size(Some(plain.len() as u64)))
    });
}

#[test]
fn lz4_with_checksums_of_blocks_and_content() {
    assert_read(Compression::Lz4, |plain| {
        lz4(plain, FrameInfo::new().block_checksums(true).content_checksum(true))
    });
}

#[test]
fn lz4_with_everything_in_large_blocks() {
    assert_read(Compression::Lz4, |plain| {
        let info = FrameInfo::new().block_size(BlockSize::Max4MB).content_size(Some(plain.len() as u64));
        lz4(plain, info.block_checksums(true).content_checksum(true))
    });
}

fn gzip(plain: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), GzipLevel::new(level));
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_members_one_after_the_other() {
    assert_read(Compression::Gzip, |plain| {
        let (first, second) = halves(plain);
        [gzip(first, 9), gzip(b"", 6), gzip(second, 0)].concat()
    });
}

#[test]
fn gzip_with_a_name_a_comment_and_a_time() {
    assert_read(Compression::Gzip, |plain| {
        let header =
            GzBuilder::new().filename("records").comment("of a batch").extra("extra").mtime(1_700_000_000);
        let mut encoder = header.write(Vec::new(), GzipLevel::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    });
}

#[test]
fn zstd_two_frames() {
    assert_read(Compression::Zstd, |plain| {
        let (first, second) = halves(plain);
        [zstd::bulk::compress(first, 1).unwrap(), zstd::stream::encode_all(second, 7).unwrap()].concat()
    });
}

#[test]
fn zstd_stream_with_a_checksum_and_without_the_content_size() {
    assert_read(Compression::Zstd, |plain| {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.include_contentsize(false).unwrap();
        // In pieces and flushed between them, as a writer through a small buffer does.
        for piece in plain.chunks(16 << 10) {
            encoder.write_all(piece).unwrap();
            encoder.flush().unwrap();
        }
        encoder.finish().unwrap()
    });
}
