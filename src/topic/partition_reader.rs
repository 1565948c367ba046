//! Reading one partition without a consumer.

use crate::error::Result;
use crate::log::{AtEnd, BelowStart, FetchLimits, Isolation, Reader, Undecided};
use crate::topic::copies::Copies;
use crate::topic::next::Watch;
use crate::topic::record_ref::OwnedRecord;
use crate::topic::records::{PartitionRecords, Records};
use crate::types::{Offset, TopicPartition};

/// Reads one partition forwards. [`fetch`](Self::fetch) returns records without copying them; a `for` loop over the
/// reader gives copies, one by one: it is not an iterator itself, `into_iter` makes it one.
///
/// ```
/// # use annals::{Durability, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let partition = store.create_topic("orders", TopicConfig::new())?.partition(0)?;
/// # partition.append(&[Record::new().value("a"), Record::new().value("b")], Durability::Os)?;
/// let mut reader = partition.read_from(0)?;
/// let mut bytes = 0;
/// loop {
///     let records = reader.fetch()?;
///     if records.is_empty() {
///         break;
///     }
///     bytes += records.iter().filter_map(|record| record.value()).map(<[u8]>::len).sum::<usize>();
/// }
/// assert_eq!((bytes, reader.position()), (2, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PartitionReader {
    pub(super) place: TopicPartition,
    pub(super) reader: Reader,
    /// Once a task waits for records.
    pub(super) watch: Option<Watch>,
}

/// What one fetch takes at most, roughly: what was checked is still in the processor's cache when it is walked.
pub(super) const FETCH: FetchLimits = FetchLimits { max_records: usize::MAX, max_bytes: 256 << 10 };
/// The iterator copies in smaller steps.
const COPY: FetchLimits = FetchLimits { max_records: 500, max_bytes: 64 << 10 };

impl PartitionReader {
    pub(super) fn new(place: TopicPartition, reader: Reader) -> Self {
        Self { place, reader, watch: None }
    }

    /// Sets whether it waits for transactions to be decided. Default: [`Isolation::ReadCommitted`].
    pub fn isolation(self, isolation: Isolation) -> Self {
        Self { reader: self.reader.isolation(isolation), ..self }
    }

    /// Reads what is committed, and goes on after what is not decided.
    pub(super) fn pass_over_undecided(self) -> Self {
        Self { reader: self.reader.undecided(Undecided::IsPassedOver), ..self }
    }

    /// Reads what is committed, and what is not decided.
    pub(crate) fn with_undecided(self) -> Self {
        Self { reader: self.reader.undecided(Undecided::IsRead), ..self }
    }

    /// Returns the next offset to be read.
    pub fn position(&self) -> Offset {
        self.reader.position()
    }

    /// Continues at `offset`. The next fetch shows whether the log has it.
    pub fn seek(&mut self, offset: Offset) {
        // Who names an offset is told when it is gone.
        self.reader.set_below_start(BelowStart::Fail);
        self.reader.seek(offset);
    }

    /// Returns about 256 KiB of records, in whole batches; none at the end of the range or of the log. Records in memory are written first, unless
    /// another thread is writing to the partition just then: then a later fetch returns them, even your own at
    /// [`Durability::Memory`](crate::Durability::Memory). So in a range with an end, an empty result before [`position`](Self::position) has
    /// reached that end does not mean that the range holds no more.
    ///
    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt) for a damaged batch, now and at every later attempt: seek to its `resume_at` to continue.
    /// [`OffsetOutOfRange`](crate::Error::OffsetOutOfRange) when the position was deleted, unless the range that is
    /// read has no beginning. [`UnknownTopic`](crate::Error::UnknownTopic) once the topic was deleted, at every call, even if another topic
    /// has its name by then: what was fetched stays readable. [`Io`](crate::Error::Io).
    pub fn fetch(&mut self) -> Result<Records> {
        self.fetch_within(FETCH)
    }

    fn fetch_within(&mut self, limits: FetchLimits) -> Result<Records> {
        self.reader.log().check_open()?;
        let slices = self.reader.fetch(limits).map_err(|error| self.reader.log().explain(error))?;
        let records =
            if slices.is_empty() { vec![] } else { vec![PartitionRecords::new(self.place.clone(), slices)] };
        Ok(Records::new(records))
    }
}

impl IntoIterator for PartitionReader {
    type Item = Result<OwnedRecord>;
    type IntoIter = OwnedRecordsIter;

    fn into_iter(mut self) -> OwnedRecordsIter {
        // It ends at the end: what was sent before it gets there is not to be missing.
        self.reader.set_at_end(AtEnd::Waits);
        OwnedRecordsIter { reader: self, copies: Copies::default() }
    }
}

/// Iterates over copies of a partition's records, up to the end at the time it gets there: what is in memory or about to be written then is
/// written first, and waited for. It copies up to 500 records ahead, so
/// it may still return what is deleted meanwhile. An error is the last item: to continue after a damaged batch, read from
/// there.
///
/// ```
/// # use annals::{Durability, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let partition = store.create_topic("orders", TopicConfig::new())?.partition(0)?;
/// # partition.append(&[Record::new().value("a"), Record::new().value("b")], Durability::Os)?;
/// let values: Vec<_> = partition.read(..)?.into_iter().map(|record| record.unwrap().value).collect();
/// assert_eq!(values, [Some(b"a".to_vec()), Some(b"b".to_vec())]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct OwnedRecordsIter {
    reader: PartitionReader,
    copies: Copies,
}

impl Iterator for OwnedRecordsIter {
    type Item = Result<OwnedRecord>;

    fn next(&mut self) -> Option<Result<OwnedRecord>> {
        self.copies.next(|| self.reader.fetch_within(COPY))
    }
}
