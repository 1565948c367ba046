//! The compression of a batch's records.

/// A codec of Kafka's: bits 0 to 2 of a batch's attributes.
///
/// ```
/// use annals::{Codec, TopicConfig};
/// let config = TopicConfig::new().compression_type(Codec::Lz4);
/// assert_eq!(config.get("compression.type"), "lz4");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// Records as they are.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks in the framing of Kafka's Java client.
    Snappy,
    /// An LZ4 frame of independent 64 KiB blocks.
    Lz4,
    /// Zstandard, RFC 8878.
    Zstd,
}

impl Codec {
    /// Every codec, in the order of their ids.
    pub(crate) const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in the attributes.
    pub(crate) const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec of a number in the attributes; 5 to 7 mean nothing.
    pub(crate) fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.id() == id)
    }

    /// Its name in `compression.type`, except that Kafka also says `uncompressed` for `none`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec of a name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_kafkas() {
        for (id, name) in (0_u8..).zip(["none", "gzip", "snappy", "lz4", "zstd"]) {
            let codec = Codec::from_id(id).unwrap();
            assert_eq!((codec.id(), codec.name()), (id, name));
            assert_eq!(Codec::from_name(name), Some(codec));
        }
        assert_eq!(Codec::from_id(5), None);
        assert_eq!(Codec::from_name("brotli"), None);
    }
}
