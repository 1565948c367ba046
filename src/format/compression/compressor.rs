//! Compression of a batch's records.

use super::{Compression, gzip, lz4, snappy, zstd};
use crate::format::{Codec, Malformed};

/// Compresses, and keeps each codec's working memory from one batch to the next. Nothing is allocated for codecs that
/// are never used.
#[derive(Debug, Default)]
pub(crate) struct Compressor {
    gzip: gzip::Encoder,
    snappy: snappy::Encoder,
    lz4: lz4::Encoder,
    zstd: zstd::Encoder,
}

impl Compressor {
    /// Appends `input`, compressed, to `out`. The only errors are a codec's own, such as no memory for its tables.
    pub(crate) fn compress(
        &mut self,
        compression: Compression,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        match compression.codec() {
            Codec::None => {
                out.extend_from_slice(input);
                Ok(())
            }
            Codec::Gzip => self.gzip.encode(compression.level(), input, out),
            Codec::Snappy => self.snappy.encode(input, out),
            Codec::Lz4 => self.lz4.encode(input, out),
            Codec::Zstd => self.zstd.encode(compression.level(), input, out),
        }
    }
}
