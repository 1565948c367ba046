//! The sixteen bits of a batch's attributes.

use super::Codec;

const CODEC_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

/// Whose clock a batch's timestamps come from.
///
/// ```
/// use annals::{TimestampType, TopicConfig};
/// let config = TopicConfig::new().message_timestamp_type(TimestampType::LogAppendTime);
/// assert_eq!(config.get("message.timestamp.type"), "LogAppendTime");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestampType {
    /// The sender's: each record has its own.
    #[default]
    CreateTime,
    /// The log's: every record has the batch's maximum.
    LogAppendTime,
}

/// Attributes with a codec that exists. Bits 7 to 15 mean nothing: they are kept when read and never set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attributes(i16);

impl Attributes {
    /// Attributes of a plain batch.
    pub(crate) fn new(codec: Codec, timestamp_type: TimestampType) -> Self {
        Self(0).with_codec(codec).with_timestamp_type(timestamp_type)
    }

    /// The attributes of these bits, unless they name no codec.
    pub(crate) fn from_bits(bits: i16) -> Option<Self> {
        codec_of(bits).map(|_| Self(bits))
    }

    /// Whether these bits are of records that are neither compressed, nor markers, nor of a transaction.
    #[inline]
    pub(super) fn are_plain(bits: i16) -> bool {
        bits & (CODEC_MASK | TRANSACTIONAL | CONTROL) == 0
    }

    pub(crate) fn bits(self) -> i16 {
        self.0
    }

    pub(crate) fn codec(self) -> Codec {
        // No other way in than `from_bits` and `with_codec`, so the id is known.
        codec_of(self.0).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn timestamp_type(self) -> TimestampType {
        if self.has(LOG_APPEND_TIME) { TimestampType::LogAppendTime } else { TimestampType::CreateTime }
    }

    pub(crate) fn is_transactional(self) -> bool {
        self.has(TRANSACTIONAL)
    }

    /// Whether the records are markers that consumers never see.
    pub(crate) fn is_control(self) -> bool {
        self.has(CONTROL)
    }

    /// Whether the base timestamp field holds the time after which tombstones may go.
    pub(crate) fn has_delete_horizon(self) -> bool {
        self.has(DELETE_HORIZON)
    }

    pub(crate) fn with_codec(self, codec: Codec) -> Self {
        Self(self.0 & !CODEC_MASK | i16::from(codec.id()))
    }

    pub(crate) fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        match timestamp_type {
            TimestampType::CreateTime => self.without(LOG_APPEND_TIME),
            TimestampType::LogAppendTime => self.with(LOG_APPEND_TIME),
        }
    }

    pub(crate) fn with_delete_horizon(self) -> Self {
        self.with(DELETE_HORIZON)
    }

    pub(crate) fn without_delete_horizon(self) -> Self {
        self.without(DELETE_HORIZON)
    }

    pub(crate) fn with_transactional(self) -> Self {
        self.with(TRANSACTIONAL)
    }

    pub(crate) fn with_control(self) -> Self {
        self.with(CONTROL)
    }

    #[inline]
    fn has(self, bit: i16) -> bool {
        self.0 & bit != 0
    }

    fn with(self, bit: i16) -> Self {
        Self(self.0 | bit)
    }

    fn without(self, bit: i16) -> Self {
        Self(self.0 & !bit)
    }
}

fn codec_of(bits: i16) -> Option<Codec> {
    let [.., low] = (bits & CODEC_MASK).to_be_bytes();
    Codec::from_id(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_has_its_place() {
        let all = Attributes::new(Codec::Zstd, TimestampType::LogAppendTime)
            .with_transactional()
            .with_control()
            .with_delete_horizon();
        assert_eq!(all.bits(), 0b111_1100);
        assert_eq!(all.codec(), Codec::Zstd);
        assert_eq!(all.timestamp_type(), TimestampType::LogAppendTime);
        assert!(all.is_transactional() && all.is_control() && all.has_delete_horizon());
        let plain = all.without_delete_horizon().with_codec(Codec::Gzip);
        assert_eq!(plain.with_timestamp_type(TimestampType::CreateTime).bits(), 0b011_0001);
    }

    #[test]
    fn each_flag_is_told_by_its_own_bit_and_no_other() {
        for bit in 3..16 {
            let alone = Attributes::from_bits(1 << bit).unwrap();
            let flags = [alone.is_transactional(), alone.is_control(), alone.has_delete_horizon()];
            assert_eq!(flags, [bit == 4, bit == 5, bit == 6], "bit {bit}");
            assert_eq!(alone.timestamp_type() == TimestampType::LogAppendTime, bit == 3, "bit {bit}");
        }
    }

    #[test]
    fn unused_bits_are_ignored_and_unknown_codecs_refused() {
        assert_eq!(Attributes::from_bits(-128).map(Attributes::codec), Some(Codec::None));
        for id in 5..8 {
            assert_eq!(Attributes::from_bits(id), None);
        }
    }
}
