//! An embeddable, append-only event log: topics, partitions, keyed records and consumer groups in one process, over files
//! that are Kafka's.
//!
//! # Concepts
//!
//! - A [`Store`] is a directory of topics that one process owns. Many of its threads use it at once.
//! - A [`Topic`] has one or more partitions and one [`TopicConfig`]. It is created by name, never by sending.
//! - A [`Partition`] is a log: its records have offsets 0, 1, 2 … in the order in which they were appended. Order is guaranteed
//!   within a partition, not between partitions. `start <= durable <= end`: what may be read begins at `start`, survives a power
//!   cut below `durable`, and ends before `end`.
//! - A [`Record`] has a key and a value (each is bytes or null), headers, and a timestamp. Records with the same key go to one partition.
//! - A [`Producer`] sends; a [`Consumer`] reads, alone or as a member of a *group*. The members of a group share the
//!   partitions of a topic; the offset that the group has *committed* is where its next reader begins.
//!
//! ```
//! use annals::{Record, Store, TopicConfig};
//! use std::time::Duration;
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("shop-log");
//! let store = Store::open(&path)?; // makes the directory, takes its lock, recovers
//! store.ensure_topic("orders", TopicConfig::new().partitions(3))?;
//!
//! let producer = store.producer();
//! let at = producer.send(Record::to("orders").key("alice").value("2 apples"))?;
//! assert_eq!(at.offset, 0); // known at once
//! producer.flush()?; // everything sent so far survives a power cut
//!
//! let mut billing = store.consumer("billing")?; // a member of the group "billing"
//! billing.subscribe(["orders"])?;
//! let records = billing.poll(Duration::from_millis(500))?;
//! for record in &records {
//!     println!("{}@{} {:?}", record.partition(), record.offset(), record.value());
//! }
//! billing.commit()?; // the next reader of the group begins after what was read
//! # assert_eq!(records.len(), 1);
//! store.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Sending, and what survives
//!
//! A producer's [`Durability`] says how far a record has gone when `send` returns: into memory, to the operating system (the
//! default: a killed process loses nothing), or onto the disk. Threads that wait for the disk share its syncs.
//!
//! ```
//! # use annals::{Durability, Record, Store, TopicConfig};
//! # let dir = tempfile::tempdir()?;
//! # let store = Store::open(dir.path())?;
//! # store.create_topic("orders", TopicConfig::new())?;
//! // One at a time, each on the disk when `send` returns.
//! let payments = store.producer_builder().durability(Durability::Disk).build()?;
//! payments.send(Record::to("orders").key("alice").value("paid"))?;
//!
//! // Many, fast: into memory, then onto the disk together.
//! let bulk = store.producer_builder().durability(Durability::Memory).build()?.bind("orders")?;
//! for number in 0..1000_u32 {
//!     bulk.send(Record::new().key(&number.to_be_bytes()).value("imported"))?;
//! }
//! bulk.flush()?;
//! # assert_eq!(store.topic("orders")?.partition(0)?.durable(), 1001);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Producer::send_batch`] and [`Partition::append`] put several records into one batch: after a crash either all of them are there or
//! none is. [`Partition::append_if`] appends only if there was no other append since the caller looked: optimistic concurrency.
//!
//! A failed *write* is definite: nothing of it is in the log, and the same call may succeed later. Records lost at `Memory` are
//! reported as [`Error::Lost`] by the next `send`, once, and by the next `flush`. A failed *sync* is not definite: the records may or may not be
//! there after a restart, and the partition is [poisoned](Error::Poisoned) until the store is reopened.
//!
//! # Reading
//!
//! [`Consumer::poll`] and [`PartitionReader::fetch`] return [`Records`], which borrow from the mapped segment, or from the buffer
//! that a compressed batch was expanded into. They keep what they borrow alive, whatever retention deletes in the meantime;
//! [`RecordRef::to_owned`] copies one record.
//!
//! Records become readable when they are written, which is before they are durable. A reader at the end of the log causes waiting
//! records to be written at once. A consumer made with [`ConsumerBuilder::read_durable_only`] sees nothing that a power cut could take back.
//!
//! Offsets can have gaps: continue at the last offset plus one, and never expect a record to be there.
//!
//! ```
//! # use annals::{Record, Store, TopicConfig};
//! # let dir = tempfile::tempdir()?;
//! # let store = Store::open(dir.path())?;
//! # let topic = store.create_topic("orders", TopicConfig::new())?;
//! # for time in [1_000, 2_000, 3_000] { store.producer().send(Record::to("orders").timestamp(time))?; }
//! let partition = topic.partition(0)?;
//! let found = partition.offset_for_time(1_500)?.expect("a record of that time or later");
//! for record in partition.read_from(found.offset)? {
//!     println!("{:?}", record?); // a copy; `fetch` hands out records without copying
//! }
//! # assert_eq!(found.offset, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Groups
//!
//! [`Consumer::subscribe`] makes a consumer a member of its group. When members join or leave, the assignment changes at once: each
//! member sees it at its next poll, and a commit for a partition it has lost is refused with [`Error::NotAssigned`]. A commit says
//! where the next reader begins: the offset of the last record done, plus one. Nothing is committed unless you ask for it, with
//! [`Consumer::commit`] or [`ConsumerBuilder::auto_commit`].
//!
//! If you commit after the work, each record is worked on at least once; if you commit before it, at most once.
//!
//! ```
//! # use annals::{Error, Record, Store, TopicConfig};
//! # use std::time::Duration;
//! # let dir = tempfile::tempdir()?;
//! # let store = Store::open(dir.path())?;
//! # store.create_topic("orders", TopicConfig::new().partitions(4))?;
//! # store.producer().send(Record::to("orders").key("alice").value("2 apples"))?;
//! # fn charge(_: annals::RecordRef<'_>) {}
//! let mut worker = store.consumer("billing")?;
//! worker.subscribe(["orders"])?;
//! while worker.lag()? > 0 {
//!     for record in &worker.poll(Duration::from_millis(500))? {
//!         charge(record);
//!     }
//!     match worker.commit() {
//!         Err(Error::NotAssigned { partition, .. }) => println!("{partition} went to another member"),
//!         other => other?,
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Keeping it small
//!
//! A topic keeps everything until its configuration says otherwise. Records that are too old, too many or
//! consumed are removed in whole segments, oldest first, by the rounds of maintenance or by [`Store::apply_retention`]:
//! [`retention`](TopicConfig::retention), [`retention_bytes`](TopicConfig::retention_bytes),
//! [`retention_records`](TopicConfig::retention_records), [`retention_until_consumed`](TopicConfig::retention_until_consumed).
//! A [`size_limit`](TopicConfig::size_limit) is a limit that no append may exceed; what is still in memory, at
//! [`Durability::Memory`], comes on top. [`Partition::delete_records`] deletes all records below an
//! offset at once.
//!
//! A topic with [`CleanupPolicy::Compact`] is a table: the last record of each key stays, at its offset, and a record
//! without a value, a *tombstone*, deletes its key. Compaction runs in the background, or when you call [`Topic::compact`];
//! [`Topic::latest`] reads the table at any time. [`Topic::erase`] removes all records of a key from the files of any topic.
//!
//! ```
//! # use annals::{CleanupPolicy, Record, Store, TopicConfig};
//! # let dir = tempfile::tempdir()?;
//! # let store = Store::open(dir.path())?;
//! let prices = store.create_topic("prices", TopicConfig::new().cleanup_policy(CleanupPolicy::Compact))?;
//! let producer = store.producer();
//! for (fruit, price) in [("apple", "2"), ("pear", "3"), ("apple", "4")] {
//!     producer.send(Record::to("prices").key(fruit).value(price))?;
//! }
//! assert_eq!(prices.latest().count(), 2);
//! assert_eq!(prices.compact()?[0].removed_records, 1); // the first price of apples
//! producer.send(Record::to("prices").key("pear"))?; // a tombstone: no more pears
//! assert_eq!(prices.latest().count(), 1);
//! assert_eq!(prices.erase("apple")?[0].records, 1);
//! let stats = prices.stats()?;
//! println!("{} records, {} bytes", stats.records(), stats.bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! When maintenance fails at a partition, [`StoreBuilder::on_maintenance_failure`] reports it, [`Store::stats`] lists it, and it is tried again
//! later; the other partitions are not held up.
//!
//! # Opening after a crash
//!
//! [`Store::open`] reads no record data after a clean close, and scans the last segment of each partition otherwise.
//! [`Store::recovery`] reports what it found: where each partition ends, and the torn tail that a cut-off write left. Opening changes
//! no partition; the first append sets it right. Damage to what was durable is [`Error::Corrupt`], with file, position and
//! offset; nothing is dropped to get around it.
//!
//! # Threads
//!
//! [`Store`], [`Topic`], [`Partition`], [`Producer`] and [`TopicProducer`] are cheap to clone and take `&self` from any thread.
//! A [`Consumer`] belongs to one thread at a time. Records that one thread sends keep their order in each partition. Two
//! threads of the store do its own work: one writes lingering batches and syncs, the other applies retention and compacts;
//! [`StoreBuilder::maintain_by_hand`] leaves that to [`Store::maintain`].
//!
//! The store is open until [`Store::close`], or until the last clone of the [`Store`] is dropped; producers and consumers do not
//! keep it open.
//!
//! # Streams
//! A topic with a [`key_index`](TopicConfig::key_index) is an event store: [`Topic::stream`] reads the events of one key among millions,
//! [`Topic::append_to`] appends to a stream if it is as [`Expected`], [`Partition::select`] reads what matches a [`Query`] of types and tags, and
//! [`Partition::append_when`] appends only if nothing was added to what was read. [`Store::snapshots`] and [`Store::projection`] build on that.
//!
//! ```
//! # use annals::{Expected, Record, Store, TopicConfig};
//! # let dir = tempfile::tempdir()?;
//! # let store = Store::open(dir.path())?;
//! let orders = store.create_topic("orders", TopicConfig::new().key_index(true))?;
//! let placed = orders.append_to("order-17", Expected::NoStream, &[Record::new().value("placed")])?;
//! orders.append_to("order-17", Expected::Version(placed.last_offset), &[Record::new().value("paid")])?;
//! for event in orders.stream("order-17")?.read(..)? {
//!     println!("{:?}", event?.value);
//! }
//! assert!(orders.append_to("order-17", Expected::NoStream, &[Record::new()]).unwrap_err().is_conflict());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Transactions
//!
//! A transaction makes records in any topics, and the offsets of a group, take effect together or not at all:
//!
//! ```
//! # use annals::{Record, Store, TopicConfig};
//! # let dir = tempfile::tempdir()?;
//! # let store = Store::open(dir.path())?;
//! # for topic in ["debits", "credits"] { store.create_topic(topic, TopicConfig::new())?; }
//! let mut tx = store.transaction("transfers")?;
//! tx.send(Record::to("debits").key("alice").value("5"))?;
//! tx.send(Record::to("credits").key("bob").value("5"))?;
//! tx.commit()?; // both are there, or neither, whenever the process dies
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Readers see committed records by default ([`Isolation`]). [`Transaction::commit_offsets`] makes a step of reading, working and
//! writing take effect once: if the step has no effect, the consumer is set back, and its next poll returns the same records again.
//! [`Transaction::expect_end`] makes a decision depend on what was read. A [`NamedProducer`] sends once what its source sends twice.
//!
//! # Queues
//!
//! A group can also work on a topic message by message: [`Store::queue`]. Any number of workers [take](Worker::take) messages and answer each one
//! with [`ack`](Message::ack), [`release`](Message::release) (for another attempt, now or later) or [`reject`](Message::reject). A message that is
//! not answered comes back when its lock expires. Each attempt is counted in the store before it begins, so a message that crashes the process
//! ends up in the [dead letters](Store::dead_letters) after its last attempt.
//!
//! ```
//! # use annals::{Record, Store, TopicConfig};
//! # use annals::queue::RetryPolicy;
//! # use std::time::Duration;
//! # let dir = tempfile::tempdir()?;
//! # let store = Store::open(dir.path())?;
//! # store.create_topic("jobs", TopicConfig::new())?;
//! # for value in ["resize 17.png", "resize 18.png"] { store.producer().send(Record::to("jobs").value(value))?; }
//! # fn resize(_: &annals::OwnedRecord) -> std::io::Result<()> { Ok(()) }
//! let backoff = RetryPolicy::exponential(Duration::from_secs(1), Duration::from_secs(300));
//! let mut worker = store.queue_builder("jobs", "resizers").retry_policy(backoff).build()?;
//! for job in worker.take(32, Duration::from_millis(500))? {
//!     match resize(&job) {
//!         Ok(()) => job.ack()?,
//!         Err(_) => job.retry()?, // five attempts, then the dead letters
//!     }
//! }
//! # assert!(worker.take(1, Duration::ZERO)?.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With [`ordered_by_key`](QueueBuilder::ordered_by_key), messages with the same key are delivered one after the other, however many workers
//! there are. [`Transaction::ack`] makes an answer take effect together with what the work has written. [`Store::schedule`] sends records to
//! be delivered later, and an [`Enqueuer`] sends each message id once. Other groups, and consumers, see the same topic.
//!
//! # Asynchronous programs
//!
//! [`Consumer::next`] and [`PartitionReader::next`] are futures that any executor can poll. Sends at `Os` are short;
//! [`Partition::durable_through`], [`Producer::flush_async`] and [`Consumer::commit_async`] are what a task awaits instead of a call at
//! `Disk`. No runtime is needed. The feature `async` adds `futures_core::Stream`. Dropping a future loses nothing and duplicates nothing.
//! `docs/async.md` says which calls may be made on an executor's thread.
//!
//! # Other processes
//!
//! One process has a store open to write to it. Others can read it at the same time: [`StoreReader::attach`] lists topics, reads, follows
//! without polling, and reports figures and lag. [`Store::open_read_only`] reads a store that nobody writes to, without writing a byte.
//!
//! # Errors
//!
//! There is one [`Error`]; each variant says what can be done about it and carries what a message needs: names, offsets, limits,
//! path and position. [`Error::is_retriable`], [`Error::is_conflict`], [`Error::is_corruption`] and [`Error::is_disk_full`] sort them.
//!
//! # Not supported
//!
//! Several processes writing to one store, a network protocol, replication, transactions with other systems.
//!
//! # Copies
//!
//! [`Store::backup`] copies a store while it is in use, as it is at one moment; [`backup`] checks copies and restores stores from them.
//! [`Store::hold_maintenance`] keeps files where they are while something else copies them.
//!
//! # Looking underneath
//!
//! [`Store::verify`] checks a store that is not open: every batch, every checksum, and what the state files say of them.
//! [`StoreBuilder::repair`] removes from a damaged store what cannot be read, after copying it elsewhere; nothing does so
//! automatically. [`dump`] reads the files of a partition without opening a store. [`io`] is the interface to the operating system; tests
//! replace it to set the clock or to make the disk fail.

// The test doubles of `annals-testing`, once more as a part of this crate: to a unit test the built library is another one, with
// other types. They call this one `annals`.
#[cfg(any(test, fuzzing))]
extern crate self as annals;

pub mod backup;
pub(crate) mod consumer;
#[cfg(any(test, fuzzing))]
#[expect(dead_code, unreachable_pub, unused_imports, reason = "unit tests use a part of it")]
#[path = "../crates/annals-testing/src/lib.rs"]
pub(crate) mod doubles;
pub mod dump;
pub(crate) mod error;
pub(crate) mod figures;
pub(crate) mod format;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub(crate) mod group;
pub mod io;
pub(crate) mod live;
pub(crate) mod locks;
pub(crate) mod log;
pub(crate) mod producer;
pub(crate) mod segment;
pub(crate) mod share;
pub(crate) mod store;
pub(crate) mod stream;
pub(crate) mod topic;
pub(crate) mod transaction;
pub(crate) mod types;
pub(crate) mod upkeep;

#[cfg(feature = "async")]
pub use consumer::ConsumerStream;
pub use consumer::{Consumer, ConsumerBuilder, ConsumerWaker, Next, OnDeleted, Rebalance, StartFrom};
pub use error::{Error, Result};
pub use figures::Event;
pub use format::{Codec, TimestampType};
pub use group::CommittedOffset;
pub use log::{Isolation, OffsetAndTimestamp, OnDamage, WhenFull};
pub use producer::{Producer, ProducerBuilder, TopicProducer};
pub use segment::ReadMode;
pub use share::{
    DeadLetter, DeadLetters, Enqueuer, EnqueuerBuilder, Message, Messages, MessagesIter, NextMessages,
    QueueBuilder, Schedule, Worker, WorkerWaker,
};
pub use store::{BackupBuilder, MaintenanceGuard, Store, StoreBuilder, StoreReader};
pub use stream::{
    EventReader, EventsBackwards, MergedEvents, NextEvents, OwnedEvents, Progress, Projection, Snapshot,
    Snapshots, Stream, StreamView,
};
#[cfg(feature = "async")]
pub use topic::PartitionStream;
pub use topic::{
    AdoptedPartition, Adoption, BatchMetadata, CleanupPolicy, Durable, KeyHash, Latest, LogSource,
    NextOfPartition, OwnedHeader, OwnedRecord, OwnedRecordsIter, Partition, PartitionReader, PartitionView,
    Partitioner, RecordMetadata, RecordRef, Records, RecordsIter, Topic, TopicConfig, TopicView,
};
pub use transaction::{
    AbortOutcome, Committed, CommittedBatch, Committing, NamedAppend, NamedProducer, Transaction,
    TransactionBuilder,
};
pub use types::{
    Condition, Durability, Expected, Header, NO_TIMESTAMP, Offset, Query, Record, Timestamp, TopicPartition,
};

/// Settings and figures of queues.
pub mod queue {
    pub use crate::share::RetryPolicy;
}

/// Events as values of types, by serde. With the feature `serde`.
#[cfg(feature = "serde")]
pub mod typed {
    pub use crate::stream::typed::{Decoded, Encoded, Encoding, EventType, EventTypes};
}

/// What calls report that they have done or found.
pub mod report {
    pub use crate::group::OffsetReset;
    pub use crate::log::{
        CompactionReport, Damage, DeleteReport, EraseReport, LostSnapshot, RecoveryReport, RemovalReason,
        RemovedSegment, Repair, RepairReport, RetentionReport, SkippedRecord, TornTail, VerifyReport,
    };
}

/// Figures of partitions, topics, groups and the store, each at one moment.
pub mod stats {
    pub use crate::figures::{Counters, Latencies, Latency};
    pub use crate::log::PartitionStats;
    pub use crate::share::{QueueStats, ReaderQueueStats};
    pub use crate::store::{GroupLag, GroupStats, MaintenanceFailure, ReaderStats, StoreStats};
    pub use crate::topic::TopicStats;
    pub use crate::transaction::{ReaderTransactionState, ReaderTransactionStats, TransactionStats};
}

#[cfg(doctest)]
pub mod manual;

/// The code in `README.md`, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
