//! Events as values of types, by serde.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::topic::{OwnedRecord, RecordRef};
use crate::types::Record;

/// The header that names an event's type: what queries ask for.
const TYPE: &str = "type";
/// The header with the version of the type, in decimal digits. An event without one is of version 1.
const VERSION: &str = "type-version";
/// The header that names how the value is encoded. A value without one is JSON.
const ENCODING: &str = "encoding";

/// A type of events.
///
/// ```
/// # use annals::{Expected, Store, TopicConfig};
/// use annals::typed::{Decoded, Encoding, EventType, EventTypes};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Placed { customer: String, cents: u64 }
/// impl EventType for Placed {
///     const NAME: &'static str = "placed";
///     const VERSION: u32 = 2;
/// }
/// /// What was written before cents were.
/// #[derive(Deserialize)]
/// struct PlacedV1 { customer: String, euros: u64 }
///
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let orders = store.create_topic("orders", TopicConfig::new().key_index(true))?;
/// let event = Placed { customer: "alice".to_owned(), cents: 1250 }.encode(Encoding::Json)?;
/// orders.append_to("order-17", Expected::NoStream, &[event.record()])?;
///
/// let types = EventTypes::new()
///     .of(|placed: Placed| placed)
///     .older("placed", 1, |old: PlacedV1| Placed { customer: old.customer, cents: old.euros * 100 });
/// for event in orders.stream("order-17")?.read(..)? {
///     match types.decode(&event?)? {
///         Decoded::Event(placed) => assert_eq!((placed.customer.as_str(), placed.cents), ("alice", 1250)),
///         Decoded::Unknown(record) => println!("kept as it is: {record:?}"),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait EventType: Serialize {
    /// The type's name: the value of the header `type`.
    const NAME: &'static str;
    /// The version of the type.
    const VERSION: u32 = 1;

    /// Encodes the event, to make a record of it.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) for a value that serde cannot encode in this way: a map whose keys are not text, in JSON.
    fn encode(&self, encoding: Encoding) -> Result<Encoded> {
        let value = match encoding {
            Encoding::Json => serde_json::to_vec(self).map_err(|error| error.to_string()),
            Encoding::Postcard => postcard::to_stdvec(self).map_err(|error| error.to_string()),
        };
        let invalid =
            |why| Error::invalid(format!("an event of type {} cannot be encoded: {why}", Self::NAME));
        Ok(Encoded {
            name: Self::NAME,
            version: Self::VERSION.to_string(),
            encoding,
            value: value.map_err(invalid)?,
        })
    }
}

/// How a value is encoded.
///
/// ```
/// use annals::typed::Encoding;
/// assert_eq!(Encoding::Postcard.name(), "postcard");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Encoding {
    /// As text that names its fields, so that fields may be added and removed. By `serde_json`.
    #[default]
    Json,
    /// As bytes without names: compact, but every change of a type is a new version. By `postcard`.
    Postcard,
}

impl Encoding {
    /// Returns the value of the header `encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Postcard => "postcard",
        }
    }

    fn decode<T: DeserializeOwned>(self, value: &[u8]) -> std::result::Result<T, String> {
        match self {
            Self::Json => serde_json::from_slice(value).map_err(|error| error.to_string()),
            Self::Postcard => match postcard::take_from_bytes(value) {
                Ok((decoded, [])) => Ok(decoded),
                Ok((_, rest)) => Err(format!("{} bytes are left over", rest.len())),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

/// An encoded event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    name: &'static str,
    version: String,
    encoding: Encoding,
    value: Vec<u8>,
}

impl Encoded {
    /// Returns a record of it: its value, and headers for type, version and encoding. Add key, tags and time yourself.
    pub fn record(&self) -> Record<'_> {
        Record::new()
            .value(&self.value)
            .header(TYPE, self.name)
            .header(VERSION, &self.version)
            .header(ENCODING, self.encoding.name())
    }
}

/// The result of decoding a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded<E> {
    /// An event of a known type.
    Event(E),
    /// A record of a type, version or encoding that is not known here, or without one: it is kept as it is.
    Unknown(OwnedRecord),
}

type Decode<E> = Box<dyn Fn(Encoding, &[u8]) -> std::result::Result<E, String> + Send + Sync>;

/// The types of events that a program knows, each of which is turned into an `E`.
pub struct EventTypes<E> {
    known: HashMap<String, Vec<(u32, Decode<E>)>>,
}

impl<E> Default for EventTypes<E> {
    fn default() -> Self {
        Self { known: HashMap::new() }
    }
}

impl<E> fmt::Debug for EventTypes<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventTypes").field("names", &self.known.keys()).finish_non_exhaustive()
    }
}

impl<E> EventTypes<E> {
    /// Returns an empty set of types.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a type: `make`, which may be a variant's constructor, turns each event of it into an `E`.
    pub fn of<T: EventType + DeserializeOwned>(self, make: impl Fn(T) -> E + Send + Sync + 'static) -> Self {
        self.older(T::NAME, T::VERSION, make)
    }

    /// Adds an earlier version of a type, whose events `make` turns into what they would be today. The last one added for a name and version
    /// counts.
    pub fn older<T: DeserializeOwned>(
        mut self,
        name: &str,
        version: u32,
        make: impl Fn(T) -> E + Send + Sync + 'static,
    ) -> Self {
        let decode: Decode<E> = Box::new(move |encoding, value| encoding.decode(value).map(&make));
        let versions = self.known.entry(name.to_owned()).or_default();
        versions.retain(|(known, _)| *known != version);
        versions.push((version, decode));
        self
    }

    /// Decodes the event of a record.
    ///
    /// # Errors
    /// [`Undecodable`](Error::Undecodable) for an event of a known type whose value is missing, or not what it should be.
    pub fn decode(&self, record: &OwnedRecord) -> Result<Decoded<E>> {
        let place = || (record.topic.to_string(), record.partition, record.offset);
        let headers = [TYPE, VERSION, ENCODING].map(|name| record.header(name));
        let event = self.event(headers, record.value.as_deref(), place)?;
        Ok(event.map_or_else(|| Decoded::Unknown(record.clone()), Decoded::Event))
    }

    /// Decodes the event of a borrowed record.
    ///
    /// # Errors
    /// As for [`decode`](Self::decode).
    pub fn decode_ref(&self, record: &RecordRef<'_>) -> Result<Decoded<E>> {
        let place = || (record.topic().to_owned(), record.partition(), record.offset());
        let headers = [TYPE, VERSION, ENCODING].map(|name| record.header(name));
        let event = self.event(headers, record.value(), place)?;
        Ok(event.map_or_else(|| Decoded::Unknown(record.to_owned()), Decoded::Event))
    }

    fn event(
        &self,
        [name, version, encoding]: [Option<&[u8]>; 3],
        value: Option<&[u8]>,
        place: impl Fn() -> (String, u32, i64),
    ) -> Result<Option<E>> {
        let text =
            |bytes: Option<&[u8]>| bytes.and_then(|bytes| std::str::from_utf8(bytes).ok().map(str::to_owned));
        let Some(name) = text(name) else { return Ok(None) };
        let version = match version {
            None => Some(1),
            // As it is written: a sign, or a zero in front, is nothing that this crate has put there.
            Some(_) => text(version)
                .and_then(|digits| digits.parse::<u32>().ok().filter(|number| number.to_string() == digits)),
        };
        let encoding = match encoding {
            None | Some(b"json") => Encoding::Json,
            Some(b"postcard") => Encoding::Postcard,
            Some(_) => return Ok(None),
        };
        let versions = self.known.get(&name).map(Vec::as_slice).unwrap_or_default();
        let Some((_, decode)) = versions.iter().find(|(known, _)| Some(*known) == version) else {
            return Ok(None);
        };
        let decoded = value.ok_or_else(|| "it has no value".into()).and_then(|value| decode(encoding, value));
        decoded.map(Some).map_err(|reason| {
            let (topic, partition, offset) = place();
            Error::Undecodable { partition: (topic, partition).into(), offset, event_type: name, reason }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::store::Store;
    use crate::topic::TopicConfig;
    use crate::types::Durability;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Paid {
        cents: u64,
    }

    impl EventType for Paid {
        const NAME: &'static str = "paid";
        const VERSION: u32 = 3;
    }

    #[derive(Serialize, Deserialize)]
    struct PaidV2 {
        euros: u32,
    }

    impl EventType for PaidV2 {
        const NAME: &'static str = "paid";
        const VERSION: u32 = 2;
    }

    #[test]
    fn known_versions_become_events_others_are_kept_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let orders =
            store.create_topic("orders", TopicConfig::new().partitions(2)).unwrap().partition(1).unwrap();
        let put = |record: Record<'_>| orders.append(&[record], Durability::Os).unwrap().first_offset;
        for encoding in [Encoding::Json, Encoding::Postcard] {
            put(Paid { cents: 1250 }.encode(encoding).unwrap().record());
            put(PaidV2 { euros: 12 }.encode(encoding).unwrap().record());
        }
        let plain = put(Record::new().value("of no type"));
        put(Record::new().value("{}").header(TYPE, "another"));
        put(Record::new().value("{}").header(TYPE, "paid").header(VERSION, "4"));
        for not_decimal in ["+3", "03", " 3", ""] {
            put(Record::new().value("{}").header(TYPE, "paid").header(VERSION, not_decimal));
        }
        put(Record::new().value("x").header(TYPE, "paid").header(VERSION, "3").header(ENCODING, "cbor"));
        let types = EventTypes::new()
            .of(|paid: Paid| paid.cents)
            .older("paid", 2, |old: PaidV2| u64::from(old.euros) * 100);
        let records: Vec<_> = orders.read(..).unwrap().into_iter().map(|record| record.unwrap()).collect();
        let decoded: Vec<_> = records.iter().map(|record| types.decode(record).unwrap()).collect();
        let expected = [1250, 1200, 1250, 1200].map(Decoded::Event);
        assert_eq!(decoded[..4], expected);
        for (record, kept) in records.iter().zip(&decoded).skip(usize::try_from(plain).unwrap()) {
            assert_eq!(kept, &Decoded::Unknown(record.clone()));
        }
        for (encoding, value) in [("json", &b"{\"cents\":"[..]), ("postcard", b""), ("postcard", b"\x01\x02")]
        {
            let damaged = Record::new().value(value).header(TYPE, "paid").header(VERSION, "3");
            let at = put(damaged.header(ENCODING, encoding));
            let record = orders.get(at).unwrap().unwrap();
            let text = types.decode(&record).unwrap_err().to_string();
            assert!(text.contains(&format!("orders-1@{at}")) && text.contains("\"paid\""), "{text}");
        }
        let without = put(Record::new().header(TYPE, "paid").header(VERSION, "3"));
        let record = orders.get(without).unwrap().unwrap();
        let text = types.decode(&record).unwrap_err().to_string();
        assert!(text.contains(&format!("orders-1@{without}")) && text.contains("no value"), "{text}");
        for record in &orders.read_from(0).unwrap().fetch().unwrap() {
            let owned = record.to_owned();
            match (types.decode(&owned), types.decode_ref(&record)) {
                (Ok(one), Ok(other)) => assert_eq!(one, other),
                (one, other) => assert!(one.is_err() && other.is_err()),
            }
        }
    }
}
