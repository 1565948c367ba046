//! The events of a partition that match a query.

use std::ops::RangeBounds;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::Selection;
use crate::stream::backwards::EventsBackwards;
use crate::stream::reader::{EventReader, bounds};
use crate::topic::{Partition, RecordRef};
use crate::types::{Offset, Query};

impl Partition {
    /// Reads the events that match a query and whose offsets lie in a range, forwards. Events in memory may come [later](EventReader::fetch),
    /// even your own, while another thread is writing to the partition.
    ///
    /// It holds in memory the places of the hits in one segment, for each type and tag that the query names.
    ///
    /// # Errors
    /// [`InvalidConfig`](Error::InvalidConfig) where the topic has no [`key_index`](crate::TopicConfig::key_index), unless the query
    /// asks for [all](Query::all) events; [`OffsetOutOfRange`](Error::OffsetOutOfRange) when the range begins above the end.
    ///
    /// ```
    /// # use annals::{Durability, Query, Record, Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # let orders = store.create_topic("orders", TopicConfig::new().key_index(true))?.partition(0)?;
    /// let event = |kind, customer| Record::new().header("type", kind).header("tag", customer);
    /// orders.append(&[event("placed", "alice"), event("paid", "alice"), event("placed", "bob")], Durability::Os)?;
    /// let placed = orders.select(&Query::tag("alice").types(["placed"]), ..)?;
    /// assert_eq!(placed.into_iter().count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn select(&self, query: &Query, range: impl RangeBounds<Offset>) -> Result<EventReader> {
        self.log().check_open()?;
        let selection = Selection::query(query);
        if !matches!(selection, Selection::All) {
            self.log().check_key_index()?;
        }
        EventReader::new(self, &Arc::new(selection), bounds(&range))
    }

    /// Reads the events that match a query backwards, from the last one on. The query has to name a type or a tag in each of its alternatives.
    ///
    /// # Errors
    /// As for [`select`](Self::select); [`InvalidArgument`](Error::InvalidArgument) for a query of all events.
    pub fn select_backwards(&self, query: &Query) -> Result<EventsBackwards> {
        self.log().check_open()?;
        let selection = Selection::query(query);
        if matches!(selection, Selection::All) {
            return Err(Error::invalid("a query that names neither types nor tags is read forwards alone"));
        }
        EventsBackwards::new(self, &Arc::new(selection), (0, Offset::MAX))
    }
}

impl Query {
    /// Returns whether an event matches the query.
    ///
    /// ```
    /// # use annals::{Durability, Query, Record, Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # let orders = store.create_topic("orders", TopicConfig::new())?.partition(0)?;
    /// # orders.append(&[Record::new().header("type", "paid")], Durability::Os)?;
    /// for record in &orders.read_from(0)?.fetch()? {
    ///     assert!(Query::of_type("paid").matches(&record));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn matches(&self, event: &RecordRef<'_>) -> bool {
        let has = |name: &str, value: &[u8]| {
            event.headers().any(|header| header.key == name && header.value == Some(value))
        };
        self.parts().any(|(types, tags)| {
            let is_of_type = types.is_empty() || types.iter().any(|one| has("type", one));
            is_of_type && tags.iter().all(|tag| has("tag", tag))
        })
    }
}
