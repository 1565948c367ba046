//! Looking at the files of a partition as they are, without opening a store: for tools and for troubleshooting.
//!
//! Nothing is locked and nothing is written, so it works beside the process that owns the store, on a copy, and on the
//! partition directories of a Kafka broker. If a file grows meanwhile, it shows what was there when the file was opened.
//!
//! ```
//! use annals::dump::{SegmentDump, Stretch};
//! # use annals::{Record, Store, TopicConfig};
//! # let dir = tempfile::tempdir()?;
//! # let store = Store::open(dir.path())?;
//! # store.create_topic("orders", TopicConfig::new())?;
//! # store.producer().send(Record::to("orders").key("alice").value("2 apples"))?;
//! # store.close()?;
//! for segment in SegmentDump::in_directory(dir.path().join("orders-0"))? {
//!     for stretch in segment.stretches() {
//!         match stretch? {
//!             Stretch::Batch(batch) => {
//!                 assert!(batch.crc_fits);
//!                 assert_eq!(batch.records()?[0].key.as_deref(), Some(&b"alice"[..]));
//!             }
//!             other => println!("{other:?}"),
//!         }
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod index;
mod producers;
mod segment;
mod stretch;
mod words;

pub use batch::{BatchDump, HeaderDump, RecordDump};
pub use index::{IndexDump, OffsetEntry, TimeEntry};
pub use producers::{AbortedDump, AbortedEntry, ProducerDump, SnapshotDump};
pub use segment::SegmentDump;
pub use stretch::{Stretch, Stretches};
