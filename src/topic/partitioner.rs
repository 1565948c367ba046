//! Which partition a key goes to.

use crate::format::partition_for_key;
use crate::types::Record;

/// Chooses partitions. It must be a pure function of its arguments if the order per key is to be kept.
///
/// ```
/// use annals::{Partitioner, Record};
/// /// Everything about a customer's country goes to one partition.
/// #[derive(Debug)]
/// struct ByCountry;
/// impl Partitioner for ByCountry {
///     fn partition(&self, record: &Record<'_>, partitions: u32) -> Option<u32> {
///         let country = record.headers().iter().find(|header| header.key == "country")?.value?;
///         Some(country.iter().map(|byte| u32::from(*byte)).sum::<u32>() % partitions)
///     }
/// }
/// assert_eq!(ByCountry.partition(&Record::new().header("country", "no"), 4), Some((110 + 111) % 4));
/// ```
pub trait Partitioner: std::fmt::Debug + Send + Sync {
    /// Returns a partition below `partitions`, or `None` when any will do: then the producer fills one partition's batch after the
    /// other. It is not called for records that name their partition, nor where the topic has only one.
    fn partition(&self, record: &Record<'_>, partitions: u32) -> Option<u32>;
}

/// Chooses as Kafka does: murmur2 of the key, modulo the number of partitions; any partition for a null key. The same keys go to
/// the same partitions as with Kafka's Java clients.
///
/// ```
/// use annals::{KeyHash, Partitioner, Record};
/// assert_eq!(KeyHash.partition(&Record::new().key("alice"), 1), Some(0));
/// assert_eq!(KeyHash.partition(&Record::new(), 3), None);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyHash;

impl Partitioner for KeyHash {
    fn partition(&self, record: &Record<'_>, partitions: u32) -> Option<u32> {
        record.key_bytes().map(|key| partition_for_key(key, partitions))
    }
}
