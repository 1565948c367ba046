//! What an append depends on.

use std::fmt;

use super::{Offset, Query};

/// What an append to a stream expects of the stream. The version of a stream is the offset of its last event.
///
/// ```
/// # use annals::{Error, Expected, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let orders = store.create_topic("orders", TopicConfig::new().key_index(true))?;
/// let placed = orders.append_to("order-17", Expected::NoStream, &[Record::new().value("placed")])?;
/// let version = placed.last_offset;
/// orders.append_to("order-17", Expected::Version(version), &[Record::new().value("paid")])?;
/// let late = orders.append_to("order-17", Expected::Version(version), &[Record::new().value("cancelled")]);
/// assert!(matches!(late, Err(Error::Conflict { found: Some(1), .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expected {
    /// Nothing: the events are appended whatever is there.
    Any,
    /// The stream has no event.
    NoStream,
    /// The stream has an event.
    Exists,
    /// The stream's last event has this offset.
    Version(Offset),
}

impl Expected {
    /// Whether a stream with this last event is as expected.
    #[inline]
    pub(crate) fn allows(self, last: Option<Offset>) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => last.is_none(),
            Self::Exists => last.is_some(),
            Self::Version(version) => last == Some(version),
        }
    }
}

/// What an append depends on: that a stream is as expected, or that certain events are there, or are not.
///
/// ```
/// # use annals::{Condition, Durability, Query, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let courses = store.create_topic("courses", TopicConfig::new().key_index(true))?.partition(0)?;
/// // What decides is read, up to some position, and nothing that matches may have come since.
/// let seats = Query::tag("course:7");
/// let mut events = courses.select(&seats, ..)?.into_iter();
/// let taken = events.by_ref().collect::<Result<Vec<_>, _>>()?.len();
/// # assert_eq!(taken, 0);
/// let subscribed = Record::new().header("type", "subscribed").header("tag", "course:7").header("tag", "student:alice");
/// courses.append_when(&[Condition::none_since(seats, events.position())], &[subscribed], Durability::Os)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Condition {
    pub(crate) on: On,
}

/// What it looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum On {
    Stream { key: Box<[u8]>, expected: Expected },
    None { query: Query, since: Offset },
    Some { query: Query },
}

impl Condition {
    /// Requires that the stream of that key is as expected.
    pub fn stream(key: impl AsRef<[u8]>, expected: Expected) -> Self {
        Self { on: On::Stream { key: key.as_ref().into(), expected } }
    }

    /// Requires that no event matches from that offset on: what was read up to there is all there is.
    pub fn none_since(query: Query, position: Offset) -> Self {
        Self { on: On::None { query, since: position } }
    }

    /// Requires that no event matches at all: what may be there only once is not there yet.
    pub fn none(query: Query) -> Self {
        Self::none_since(query, 0)
    }

    /// Requires that an event matches.
    pub fn some(query: Query) -> Self {
        Self { on: On::Some { query } }
    }

    /// Whether it is on the last event of a stream.
    pub(crate) fn is_on_stream(&self) -> bool {
        matches!(self.on, On::Stream { .. })
    }
}

/// Keys, types and tags as text.
impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({self})")
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.on {
            On::Stream { key, expected } => {
                write!(f, "stream {:?} ", key.escape_ascii().to_string())?;
                match expected {
                    Expected::Any => f.write_str("may be as it is"),
                    Expected::NoStream => f.write_str("was expected to have no event"),
                    Expected::Exists => f.write_str("was expected to have an event"),
                    Expected::Version(version) => write!(f, "was expected to be at version {version}"),
                }
            }
            On::None { query, since: 0 } => write!(f, "no event was expected to match {query}"),
            On::None { query, since } => write!(f, "no event from {since} on was expected to match {query}"),
            On::Some { query } => write!(f, "an event was expected to match {query}"),
        }
    }
}
