//! What a fetch hands out.

use crate::log::{RecordSlice, RecordSliceIter};
use crate::topic::record_ref::RecordRef;
use crate::types::{Offset, TopicPartition};

/// Records of one or more partitions, in offset order within each. They borrow nothing from the consumer: they keep the
/// segments they are read from alive, whatever retention does meanwhile.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # store.producer().send(Record::to("orders").value("2 apples"))?;
/// # let mut billing = store.consumer("billing")?;
/// # billing.subscribe(["orders"])?;
/// let records = billing.poll(Duration::from_millis(500))?;
/// assert_eq!(records.len(), 1);
/// for record in &records {
///     println!("{}@{} {:?}", record.partition(), record.offset(), record.value());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Records {
    partitions: Vec<PartitionRecords>,
}

/// The records of one partition in a fetch.
#[derive(Debug, Clone)]
pub(crate) struct PartitionRecords {
    place: TopicPartition,
    slices: Vec<RecordSlice>,
}

impl PartitionRecords {
    pub(crate) fn new(place: TopicPartition, slices: Vec<RecordSlice>) -> Self {
        Self { place, slices }
    }

    pub(crate) fn topic_partition(&self) -> &TopicPartition {
        &self.place
    }

    pub(crate) fn len(&self) -> usize {
        self.slices.iter().map(RecordSlice::len).sum()
    }

    fn first_offset(&self) -> Option<Offset> {
        self.slices.iter().find_map(|slice| slice.iter().next()).map(|record| record.offset)
    }

    /// Where reading continues after them.
    pub(crate) fn next_offset(&self) -> Option<Offset> {
        self.slices.last().map(RecordSlice::next_offset)
    }
}

impl Records {
    pub(crate) fn new(partitions: Vec<PartitionRecords>) -> Self {
        Self { partitions }
    }

    /// Returns the number of records.
    pub fn len(&self) -> usize {
        self.partitions.iter().map(PartitionRecords::len).sum()
    }

    /// Returns true when there are no records.
    pub fn is_empty(&self) -> bool {
        self.partitions.iter().all(|partition| partition.slices.is_empty())
    }

    /// Returns the partitions that have records here, each with the offset after its last record: what to commit when all is done.
    pub fn next_offsets(&self) -> impl Iterator<Item = (&TopicPartition, Offset)> {
        self.partitions.iter().filter_map(|records| Some((&records.place, records.next_offset()?)))
    }

    /// The partitions it has records of, each with the offset of its first record.
    pub(crate) fn first_offsets(&self) -> impl Iterator<Item = (&TopicPartition, Offset)> {
        self.partitions.iter().filter_map(|records| Some((&records.place, records.first_offset()?)))
    }

    /// Iterates over all records, partition by partition. Nothing is allocated.
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter {
            partitions: self.partitions.iter(),
            slices: [].iter(),
            place: None,
            records: RecordSliceIter::default(),
        }
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = RecordRef<'a>;
    type IntoIter = RecordsIter<'a>;

    fn into_iter(self) -> RecordsIter<'a> {
        self.iter()
    }
}

/// Iterates over [`Records`].
///
/// ```
/// let none = annals::Records::default();
/// assert!(none.iter().next().is_none());
/// ```
#[derive(Debug, Clone)]
pub struct RecordsIter<'a> {
    /// Partitions and, of the one that is being walked, slices still to come.
    partitions: std::slice::Iter<'a, PartitionRecords>,
    slices: std::slice::Iter<'a, RecordSlice>,
    /// What is being walked; `None` in front of the first partition.
    place: Option<&'a TopicPartition>,
    records: RecordSliceIter<'a>,
}

impl<'a> RecordsIter<'a> {
    /// Goes on to the next slice, `None` after the last.
    #[inline(never)]
    fn next_slice(&mut self) -> Option<()> {
        loop {
            if let Some(slice) = self.slices.next() {
                self.records = slice.iter();
                return Some(());
            }
            let partition = self.partitions.next()?;
            self.place = Some(&partition.place);
            self.slices = partition.slices.iter();
        }
    }
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = RecordRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<RecordRef<'a>> {
        loop {
            if let Some(raw) = self.records.next() {
                return Some(RecordRef::new(self.place?, raw));
            }
            self.next_slice()?;
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let slices = self.slices.as_slice().iter().map(RecordSlice::len).sum::<usize>();
        let partitions = self.partitions.as_slice().iter().map(PartitionRecords::len).sum::<usize>();
        let left = self.records.size_hint().0 + slices + partitions;
        (left, Some(left))
    }
}
