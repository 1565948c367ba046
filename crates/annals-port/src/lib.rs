//! One program for an [`annals`] store and a Kafka cluster: the verbs of the Java client as traits. `docs/port.md` says what each
//! backend promises, and where they differ.
//!
//! ```
//! use annals::{Record, TopicConfig};
//! use annals_port::{Backend, Consume, Embedded, Produce, Result};
//! use std::time::Duration;
//!
//! /// Knows nothing of what stands behind it.
//! fn greet(kafka: &impl Backend) -> Result<usize> {
//!     kafka.create_topic("greetings", TopicConfig::new().partitions(3))?;
//!     let mut producer = kafka.producer()?;
//!     producer.send(Record::to("greetings").key("alice").value("hello"))?;
//!     producer.flush()?;
//!     let mut consumer = kafka.consumer("readers")?;
//!     consumer.subscribe(&["greetings"])?;
//!     let records = consumer.poll(Duration::from_secs(10))?;
//!     consumer.commit()?;
//!     Ok(records.len())
//! }
//!
//! # let dir = tempfile::tempdir()?;
//! assert_eq!(greet(&Embedded::open(dir.path())?)?, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod conformance;
mod embedded;
mod error;
mod verbs;

pub use embedded::{Embedded, EmbeddedConsumer, EmbeddedProducer};
pub use error::{Error, ErrorKind, Result};
pub use verbs::{Backend, Consume, Produce, Received};

/// The code in `docs/port.md`, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/port.md")]
struct Document;
