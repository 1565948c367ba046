//! Headers of a record of `__delayed_messages`: when it is to be delivered, and where to. They are the last of their names.

use super::Malformed;
use super::bytes::Reader;
use crate::types::Timestamp;

/// When: i64 milliseconds.
pub(crate) const DELIVER_AT_HEADER: &str = "annals.deliver.at";
/// Where to: 16 bytes topic id, u32 partition, the topic's name.
pub(crate) const DELIVER_TO_HEADER: &str = "annals.deliver.to";

/// What both say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery<'a> {
    pub(crate) at: Timestamp,
    pub(crate) topic: u128,
    pub(crate) partition: u32,
    pub(crate) name: &'a str,
}

impl<'a> Delivery<'a> {
    pub(crate) fn decode(at: &[u8], to: &'a [u8]) -> Result<Self, Malformed> {
        let at = Reader::new(at).take_i64()?;
        let mut reader = Reader::new(to);
        let (topic, partition) = (reader.take_u128()?, reader.take_u32()?);
        let name = reader.take_utf8(reader.remaining())?;
        Ok(Self { at, topic, partition, name })
    }
}
