//! A producer that is known by its name, so that what it sends twice is there once.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::ProducerStamp;
use crate::log::{FORGETS_AFTER, Holding, Part, PartPlace, Remembered};
use crate::topic::{BatchMetadata, Partition};
use crate::transaction::coordinator::Transactions;
use crate::types::{Durability, Record, Timestamp};

/// A producer with a name, which numbers its records in each partition: 0, 1, 2 and so on. A record with a number that was
/// already sent is not appended again. So a program that was killed after it had sent something, and before it noted that it had, can send
/// it again: [`last_sequence`](Self::last_sequence) says where its source continues, also after a restart.
///
/// The number is that of the record in its partition, not that of the record in its source: a source that is read in order
/// and divided the same way each time gets the same numbers each time. Handles of one name share the count. Cheap to clone, and usable from
/// many threads at once.
///
/// ```
/// # use annals::{Durability, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let readings = store.create_topic("readings", TopicConfig::new())?.partition(0)?;
/// let sensor = store.named_producer("sensor-7")?;
/// let next = sensor.last_sequence(&readings).map_or(0, |last| last + 1);
/// let first = sensor.append(&readings, next, &[Record::new().value("21.5")], Durability::Os)?;
/// let again = sensor.append(&readings, next, &[Record::new().value("21.5")], Durability::Os)?;
/// assert!(again.is_duplicate && again.batch.first_offset == first.batch.first_offset);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct NamedProducer {
    shared: Arc<Transactions>,
    name: Arc<str>,
    registered: Registered,
}

/// The id of a name, and since when it has it: Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) producer_id: i64,
    pub(super) at: Timestamp,
}

impl Registered {
    /// Whether a partition that does not know the name now has never known it: no partition forgets so soon.
    fn is_young(self, now: Timestamp) -> bool {
        (0..FORGETS_AFTER).contains(&now.saturating_sub(self.at))
    }
}

/// The result of appending numbered records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedAppend {
    /// Where the records are.
    pub batch: BatchMetadata,
    /// True if the records were there before, so that nothing was appended. Of their timestamps only the greatest is known then, and `batch`
    /// contains it.
    pub is_duplicate: bool,
}

/// A named producer goes on in one epoch: whoever has the name has its count.
const EPOCH: i16 = 0;

impl NamedProducer {
    pub(super) fn new(shared: &Arc<Transactions>, name: &str, registered: Registered) -> Self {
        Self { shared: Arc::clone(shared), name: name.into(), registered }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of the last record that it has in the partition; `None` if it has none, or has had none for a week.
    pub fn last_sequence(&self, partition: &Partition) -> Option<i32> {
        partition.log().last_sequence(self.registered.producer_id, EPOCH)
    }

    /// Whether the partition knows nothing of the name, and cannot have forgotten it.
    fn has_never_sent_to(&self, partition: &Partition) -> bool {
        self.last_sequence(partition).is_none() && self.registered.is_young(self.shared.now())
    }

    /// Appends `records` as one batch, all or nothing, the first one with the number `sequence`. A batch that is among the last five
    /// of this name in the partition, or is the last one that was there when the store was opened, is not appended again, and
    /// its place is returned: it is recognised by its first and last number alone, whatever its records hold. After the greatest `i32` the
    /// count begins at 0.
    ///
    /// The first record in a partition has the number 0. A partition forgets a name that has sent it nothing for a week; a sender that
    /// continues after that must use the next number, which the partition cannot check: it takes any number from a name that it does not
    /// know, once the name is a week old.
    ///
    /// # Errors
    /// [`OutOfSequence`](Error::OutOfSequence): records before it are missing, or it was sent so long ago that it is not known where it
    /// is; its number tells which. [`InvalidArgument`](Error::InvalidArgument) for no records or a negative number; otherwise as for
    /// [`Partition::append`].
    pub fn append(
        &self,
        partition: &Partition,
        sequence: i32,
        records: &[Record<'_>],
        durability: Durability,
    ) -> Result<NamedAppend> {
        self.shared.check_process()?;
        if records.is_empty() || sequence < 0 {
            return Err(Error::invalid(
                "a batch needs at least one record, and a number that is not negative",
            ));
        }
        if partition.is_internal() {
            return Err(Error::invalid(format!(
                "topic {:?} is written by the store alone",
                partition.topic()
            )));
        }
        self.shared.check_known(partition)?;
        let stamp = ProducerStamp {
            producer_id: self.registered.producer_id,
            producer_epoch: EPOCH,
            base_sequence: sequence,
            is_transactional: false,
        };
        let log = partition.log();
        log.meet_prerequisites(Holding::Nothing)?;
        let part = Part { records, stamp, ends_with: None };
        let mut has_room = false;
        let (place, is_duplicate) = loop {
            let mut stage = log.stage()?;
            let before = stage.check_producer(&part)?;
            if sequence != 0 && before.is_none() && self.has_never_sent_to(partition) {
                let partition = partition.topic_partition().clone();
                return Err(Error::OutOfSequence { partition, expected: 0, found: sequence });
            }
            if let Some(batch) = before {
                break (place_of(batch), true);
            }
            stage.check_batch(records)?;
            log.check_producers(stamp.producer_id)?;
            if log.is_limited() && !std::mem::replace(&mut has_room, true) {
                // What is refused, or there already, takes nothing out. Others may come in between: all is looked at again.
                drop(stage);
                log.check_room_for(records)?;
                continue;
            }
            let place = stage.place(&part)?;
            stage.write()?;
            break (place, false);
        };
        if durability == Durability::Disk {
            log.sync_through(place.last_offset)?;
        }
        let offsets = (place.first_offset, place.last_offset);
        Ok(NamedAppend {
            batch: BatchMetadata::new(partition.number(), offsets, place.timestamp),
            is_duplicate,
        })
    }
}

fn place_of(batch: Remembered) -> PartPlace {
    let Remembered { first_offset, last_offset, timestamp, .. } = batch;
    PartPlace { first_offset, last_offset, timestamp }
}
