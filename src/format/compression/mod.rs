//! The codecs: what Kafka's clients write, what they accept, and never more memory than the caller allows.

mod compressor;
mod decompressor;
mod gzip;
mod lz4;
mod settings;
mod snappy;
#[cfg(test)]
mod tests;
mod xxh32;
mod zstd;

pub(crate) use compressor::Compressor;
pub(crate) use decompressor::Decompressor;
pub(crate) use settings::Compression;
