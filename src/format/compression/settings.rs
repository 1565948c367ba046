//! A codec and how hard it tries.

use std::ops::RangeInclusive;

use crate::format::Codec;

const GZIP_DEFAULT: i32 = -1;
const GZIP_LEVELS: RangeInclusive<i32> = 1..=9;
const LZ4_LEVELS: RangeInclusive<i32> = 1..=17;
const ZSTD_LEVELS: RangeInclusive<i32> = -131_072..=22;

/// A codec with a level that it has. No level means the codec's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Compression {
    codec: Codec,
    level: Option<i32>,
}

impl Compression {
    /// The codec at its default level.
    pub(crate) const fn of(codec: Codec) -> Self {
        Self { codec, level: None }
    }

    /// The codec at `level`; the error is the range that the level is outside of. The range is Kafka's: lz4 has one
    /// speed here whatever the level.
    pub(crate) fn with_level(codec: Codec, level: i32) -> Result<Self, &'static str> {
        let valid = match codec {
            Codec::Gzip if level == GZIP_DEFAULT || GZIP_LEVELS.contains(&level) => Ok(()),
            Codec::Gzip => Err("gzip levels are -1 and 1 to 9"),
            Codec::Lz4 if LZ4_LEVELS.contains(&level) => Ok(()),
            Codec::Lz4 => Err("lz4 levels are 1 to 17"),
            Codec::Zstd if ZSTD_LEVELS.contains(&level) => Ok(()),
            Codec::Zstd => Err("zstd levels are -131072 to 22"),
            Codec::None | Codec::Snappy => Err("only gzip, lz4 and zstd have levels"),
        };
        valid.map(|()| Self { codec, level: Some(level) })
    }

    pub(crate) fn codec(self) -> Codec {
        self.codec
    }

    pub(crate) fn level(self) -> Option<i32> {
        self.level
    }
}
