//! Reading chosen events forwards.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::log::{AtEnd, BelowStart, ContentReader, FetchLimits, Log, Patience, Selection, Signal};
use crate::topic::{Copies, OwnedRecord, Partition, PartitionRecords, Records};
use crate::types::{Offset, TopicPartition};

/// What one fetch takes at most, roughly.
const FETCH: FetchLimits = FetchLimits { max_records: 4096, max_bytes: 256 << 10 };
/// The iterator copies in smaller steps.
const COPY: FetchLimits = FetchLimits { max_records: 256, max_bytes: 64 << 10 };

/// First offset, and the one after the last.
pub(super) fn bounds(range: &impl RangeBounds<Offset>) -> (Offset, Offset) {
    let from = match range.start_bound() {
        Bound::Included(offset) => *offset,
        Bound::Excluded(offset) => offset.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let until = match range.end_bound() {
        Bound::Included(offset) => offset.saturating_add(1),
        Bound::Excluded(offset) => *offset,
        Bound::Unbounded => Offset::MAX,
    };
    (from, until)
}

/// Reads the events of a stream, or of a query, forwards. A `for` loop gives copies of all of them, up to the end. [`fetch`](Self::fetch)
/// returns some of what is there, each call the next ones, and [`poll`](Self::poll) waits for more: nothing is missed or repeated between the
/// events that are there and those that come later.
///
/// It holds the places of the hits in one segment at most: 16 bytes for each.
///
/// ```
/// # use annals::{Expected, Record, Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let orders = store.create_topic("orders", TopicConfig::new().key_index(true))?;
/// orders.append_to("order-17", Expected::Any, &[Record::new().value("placed")])?;
/// let mut events = orders.stream("order-17")?.read(..)?;
/// assert_eq!(events.fetch()?.len(), 1);
/// assert!(events.fetch()?.is_empty());
/// orders.append_to("order-17", Expected::Any, &[Record::new().value("paid")])?;
/// assert_eq!(events.poll(Duration::from_secs(1))?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventReader {
    place: TopicPartition,
    reader: ContentReader,
    /// There once somebody has waited.
    signal: Option<Arc<Signal>>,
}

impl Drop for EventReader {
    fn drop(&mut self) {
        if let Some(signal) = &self.signal {
            self.reader.log().unwatch(signal);
        }
    }
}

impl EventReader {
    pub(super) fn new(
        partition: &Partition,
        selection: &Arc<Selection>,
        (from, until): (Offset, Offset),
    ) -> Result<Self> {
        let log = partition.log();
        log.check_open()?;
        log.write_for((from, until))?;
        let (start, end) = (log.start(), log.end());
        if from > end || from < 0 {
            let place = partition.topic_partition().clone();
            return Err(Error::OffsetOutOfRange { partition: place, requested: from, start, end });
        }
        let mut reader = ContentReader::new(log, Arc::clone(selection), (from, until));
        reader.set_below_start(BelowStart::GoOn);
        reader.set_at_end(AtEnd::WaitsForNobody);
        Ok(Self { place: partition.topic_partition().clone(), reader, signal: None })
    }

    /// The same, which says so where the records at its position were deleted.
    pub(super) fn fails_below_start(mut self) -> Self {
        self.reader.set_below_start(BelowStart::Fail);
        self
    }

    /// Returns the offset below which every event was returned, or was not asked for. It moves also where nothing matches. When
    /// [`fetch`](Self::fetch) has found nothing more, it is the position that a [`Condition`](crate::Condition) may name, as
    /// [`OwnedEvents::position`] is at the end of a loop.
    pub fn position(&self) -> Offset {
        self.reader.position()
    }

    /// Continues at an offset, also one before the range that is read: the range then loses its first offset, but keeps its end.
    pub fn seek(&mut self, offset: Offset) {
        self.reader.seek(offset);
    }

    /// Returns some events; none at the end of what is there. One call does not return all of a stream: it ends with the batch that brings it
    /// to 256 KiB, and with 4,096 events; call again until it returns none, or use the reader in a `for` loop. Nothing is copied. Records in
    /// memory are written first, unless another thread is writing to the partition just then: then a later fetch returns them, even your own
    /// at [`Durability::Memory`](crate::Durability::Memory). So in a range with an end, an empty result before [`position`](Self::position)
    /// has reached that end does not mean that the range holds no more.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) for a damaged batch, now and at every later attempt: seek past it to continue.
    /// [`UnknownTopic`](Error::UnknownTopic) once the topic was deleted, at every call, even if another topic has its name by then.
    /// [`Io`](Error::Io), [`InvalidConfig`](Error::InvalidConfig) when the key index was switched off meanwhile.
    pub fn fetch(&mut self) -> Result<Records> {
        self.fetch_within(FETCH)
    }

    /// What is raised when there may be more.
    pub(super) fn signal(&mut self) -> Arc<Signal> {
        if let Some(signal) = &self.signal {
            return Arc::clone(signal);
        }
        let signal = Arc::new(Signal::default());
        self.reader.log().watch(&signal);
        Arc::clone(self.signal.insert(signal))
    }

    pub(super) fn log(&self) -> &Arc<Log> {
        self.reader.log()
    }

    /// Whether the range that it reads has no more events, whatever comes.
    pub(super) fn is_at_end(&self) -> bool {
        self.reader.is_at_end()
    }

    fn fetch_within(&mut self, limits: FetchLimits) -> Result<Records> {
        let slices = self.reader.fetch(limits)?;
        let records =
            if slices.is_empty() { vec![] } else { vec![PartitionRecords::new(self.place.clone(), slices)] };
        Ok(Records::new(records))
    }

    /// Returns some events as [`fetch`](Self::fetch) does, but at the end of the partition it waits for the next event, up to `timeout`.
    /// After the range that is read there is nothing to wait for: it returns no event, at once.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch); [`StoreClosed`](Error::StoreClosed) when the store is closed meanwhile.
    pub fn poll(&mut self, timeout: Duration) -> Result<Records> {
        let mut patience = Patience::new(timeout);
        let signal = self.signal();
        loop {
            // Before the look: what comes during it is not missed.
            let raised = signal.raised();
            // Its time may be over while an owner elsewhere shows nothing.
            let Some(records) = patience.bounds(|| self.fetch())? else {
                return Ok(Records::new(Vec::new()));
            };
            if !records.is_empty() || self.is_at_end() || !patience.waits(&signal, raised) {
                return Ok(records);
            }
        }
    }
}

impl IntoIterator for EventReader {
    type Item = Result<OwnedRecord>;
    type IntoIter = OwnedEvents;

    fn into_iter(mut self) -> OwnedEvents {
        // It ends at the end: what was sent before it gets there is not to be missing.
        self.reader.set_at_end(AtEnd::Waits);
        OwnedEvents { reader: self, copies: Copies::default() }
    }
}

/// Iterates over copies of selected events, up to the end at the time it gets there. An error is the last item.
///
/// ```
/// # use annals::{Expected, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let orders = store.create_topic("orders", TopicConfig::new().key_index(true))?;
/// # orders.append_to("order-17", Expected::Any, &[Record::new().value("placed")])?;
/// for event in orders.stream("order-17")?.read(..)? {
///     println!("{:?}", event?.value);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct OwnedEvents {
    reader: EventReader,
    copies: Copies,
}

impl OwnedEvents {
    /// Returns the offset below which every event was returned, or was not asked for. After the last event it is the position that a
    /// [`Condition`](crate::Condition) may name.
    ///
    /// ```
    /// # use annals::{Condition, Durability, Query, Record, Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # let names = store.create_topic("names", TopicConfig::new().key_index(true))?.partition(0)?;
    /// # names.append(&[Record::new().header("tag", "bob")], Durability::Os)?;
    /// let alice = Query::tag("alice");
    /// let mut events = names.select(&alice, ..)?.into_iter();
    /// for event in &mut events {
    ///     println!("taken by {:?}", event?.key);
    /// }
    /// let none_since = Condition::none_since(alice, events.position());
    /// names.append_when(&[none_since], &[Record::new().header("tag", "alice")], Durability::Os)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn position(&self) -> Offset {
        self.copies.first_offset().unwrap_or_else(|| self.reader.position())
    }
}

impl Iterator for OwnedEvents {
    type Item = Result<OwnedRecord>;

    fn next(&mut self) -> Option<Result<OwnedRecord>> {
        self.copies.next(|| self.reader.fetch_within(COPY))
    }
}
