//! The one error type: what happened, where, and what can be done.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::words::{
    alike, at_offset, by, first_of, found_instead, go_on_at, held, holder, messages_are, others_of, poisoned,
    unknown_topic,
};
use crate::types::{Condition, Offset, Timestamp, TopicPartition, Utc};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. Each variant says what can be done about it.
///
/// ```
/// use annals::{Error, Store};
/// let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path())?;
/// match store.topic("orders") {
///     Err(Error::UnknownTopic { topic, .. }) => assert_eq!(topic, "orders"),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no topic of that name, or what was asked for belongs to a deleted topic. Create it first; sending never creates topics.
    /// A handle of a deleted topic stays invalid, whatever has its name now: get another one from the store.
    #[error("{}", unknown_topic(topic, *was_deleted))]
    #[non_exhaustive]
    UnknownTopic {
        /// The name.
        topic: String,
        /// True when the topic was there and was deleted; then another of that name may exist.
        was_deleted: bool,
    },

    /// The topic has no such partition.
    #[error("topic {topic:?} has no partition {partition}: its partitions are 0..={}", partitions.saturating_sub(1))]
    UnknownPartition {
        /// The topic's name.
        topic: String,
        /// The partition asked for.
        partition: u32,
        /// The number of partitions that the topic has.
        partitions: u32,
    },

    /// `create_topic` found a topic of that name, or one that differs only in `.` and `_`.
    #[error("cannot create topic {topic:?}: topic {existing:?} exists{}", alike(topic, existing))]
    TopicExists {
        /// The name asked for.
        topic: String,
        /// The existing topic whose name is in the way.
        existing: String,
    },

    /// `ensure_topic` found the topic with another setting, or number of partitions, than the one asked for.
    #[error("topic {topic:?} has {setting}={found}, expected {expected}: change the topic or the program")]
    TopicMismatch {
        /// The topic's name.
        topic: String,
        /// The setting that differs, by its Kafka name.
        setting: &'static str,
        /// What is stored.
        found: String,
        /// What was asked for.
        expected: String,
    },

    /// A topic or group name that the format cannot hold, or that the store keeps for itself.
    #[error("invalid {kind} name {name:?}: {reason}")]
    InvalidName {
        /// What the name is for: `topic` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// A setting is outside its range, or two settings contradict each other.
    #[error("invalid configuration {key}={value}: {reason}")]
    InvalidConfig {
        /// The setting, by its Kafka name.
        key: String,
        /// The value given.
        value: String,
        /// The valid range.
        reason: String,
    },

    /// A record or call that can never be accepted as it is.
    #[error("invalid argument: {reason}")]
    InvalidArgument {
        /// What is wrong.
        reason: String,
    },

    /// The record's timestamp is outside what the topic accepts.
    #[error(
        "timestamp {timestamp} ({}) is outside {} to {} (message.timestamp.before.max.ms, message.timestamp.after.max.ms)",
        Utc(*timestamp), Utc(*earliest), Utc(*latest)
    )]
    InvalidTimestamp {
        /// The record's timestamp, Unix milliseconds.
        timestamp: Timestamp,
        /// The oldest timestamp accepted now.
        earliest: Timestamp,
        /// The newest timestamp accepted now.
        latest: Timestamp,
    },

    /// The record, or the batch it would make, is larger than a limit. Nothing was appended.
    #[error("record batch of {size} bytes exceeds {setting}={limit}")]
    RecordTooLarge {
        /// Size of the batch the record would make, in bytes, headers included.
        size: u64,
        /// The limit in bytes.
        limit: u64,
        /// The setting that limits it, by its Kafka name.
        setting: &'static str,
    },

    /// The partition has reached its size limit. Nothing was appended; read, commit or delete, then try again.
    #[error("{partition} is full: {bytes} of {limit} bytes (annals.size.limit.bytes)")]
    Full {
        /// The partition.
        partition: TopicPartition,
        /// Bytes of the partition's batches.
        bytes: u64,
        /// The limit.
        limit: u64,
    },

    /// A compacted topic takes only records with a key.
    #[error("{partition} is compacted: a record needs a key")]
    KeyRequired {
        /// The partition.
        partition: TopicPartition,
    },

    /// The offset is not in the log: it was deleted by retention, or is beyond the end.
    #[error("offset {requested} of {partition} is out of range {start}..={end}")]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The offset asked for.
        requested: Offset,
        /// First offset that may be read.
        start: Offset,
        /// Next offset to be assigned.
        end: Offset,
    },

    /// A stream has a snapshot, but the events in it were deleted, including the last one: the partition begins after it now. From the events that
    /// are left nobody can say what state the stream has. Whoever deletes must keep the last event in each snapshot. To begin again without
    /// it, [`prune`](crate::Snapshots::prune) the snapshot, or [`erase`](crate::Snapshots::erase) it.
    #[error(
        "stream {key:?}: its events up to version {version}, that of its snapshot, were deleted, and {partition} begins at {start}: the events that are left do not give its state; keep the last event that a snapshot contains, or prune the snapshot to start again"
    )]
    SnapshotCutOff {
        /// The partition of the stream.
        partition: TopicPartition,
        /// The stream's key; bytes that are not text are escaped.
        key: String,
        /// The version of the snapshot.
        version: Offset,
        /// First offset that may be read.
        start: Offset,
    },

    /// `append_if` found that another caller had appended. Nothing was appended; read further and decide again.
    #[error("{partition} is at offset {found}, expected {expected}: another caller appended")]
    UnexpectedEnd {
        /// The partition.
        partition: TopicPartition,
        /// The end that the caller expected.
        expected: Offset,
        /// The next offset to be assigned.
        found: Offset,
    },

    /// What an append depends on does not hold. Nothing was appended; read what was added since, and decide again.
    #[error("{partition}: {condition}, and {}", found_instead(condition, *found, *is_undecided))]
    Conflict {
        /// The partition.
        partition: TopicPartition,
        /// What does not hold.
        condition: Arc<Condition>,
        /// The offset of the last event of the stream, or of one that matches: the last one, or, for a query that asks for any event, the first. `None`
        /// if there is none. If `is_undecided` is not set, events of transactions without an end are left out.
        found: Option<Offset>,
        /// True if that event belongs to a transaction that is not decided: the same call may succeed when it is.
        is_undecided: bool,
    },

    /// The value of an event of a known type is not a valid value of that type. The record is as it was written: a type that has
    /// changed needs a new version.
    #[error("{partition}@{offset}: an event of type {event_type:?} cannot be decoded: {reason}")]
    Undecodable {
        /// The partition.
        partition: TopicPartition,
        /// The record's offset.
        offset: Offset,
        /// The type that its header names.
        event_type: String,
        /// What does not fit.
        reason: String,
    },

    /// Another transaction has begun under the name since, in this process or after it: nothing of this one takes effect. Stop, or
    /// begin again under the name.
    #[error("{name}: another transaction or producer has begun under this name since")]
    Fenced {
        /// The name of the transaction or producer.
        name: String,
    },

    /// The transaction was not decided in time, and was aborted: nothing of it takes effect. Readers waited for it.
    #[error("transaction {name}: it was not committed in time, and was aborted")]
    TransactionExpired {
        /// The name of the transaction.
        name: String,
    },

    /// [`Store::abort_transaction`](crate::Store::abort_transaction) has aborted the transaction: nothing of it takes effect. Another one may begin under the name.
    #[error("transaction {name}: it was aborted from outside")]
    TransactionAborted {
        /// The name of the transaction.
        name: String,
    },

    /// A full partition dropped its oldest records, and the transaction had written there and was not decided. It was aborted:
    /// nothing of it takes effect.
    #[error("transaction {name}: it was in the way of newer records in {partition}, and was aborted")]
    TransactionDisplaced {
        /// The name of the transaction.
        name: String,
        /// The partition that was full.
        partition: TopicPartition,
    },

    /// Records of a named producer are missing before these, possibly the very first ones; or these were sent before and are followed by so
    /// many others that it is not known where they are. Nothing was appended.
    #[error("{partition}: the producer's next record is number {expected}, not {found}")]
    OutOfSequence {
        /// The partition.
        partition: TopicPartition,
        /// The sequence that the partition takes next.
        expected: i32,
        /// The sequence of the first record.
        found: i32,
    },

    /// It is not known whether the transaction takes effect: what failed came after the decision was written, or is the disk's
    /// answer to it. Reopen the store: then it has taken effect everywhere, or nowhere.
    #[error(
        "transaction {name}: it is not known whether it takes effect until the store is reopened: {cause}"
    )]
    Undecided {
        /// The transaction's name.
        name: String,
        /// The cause.
        cause: Arc<Error>,
    },

    /// A transaction that was to commit an offset of the group for that partition was [undecided](Self::Undecided): nobody knows whether it
    /// did. So nothing else is committed there, neither in a transaction, nor by hand, nor automatically. Reopen the store: then it is
    /// decided, and consumers of the group continue at what is committed. Other partitions and groups are not affected.
    #[error(
        "group {group:?}: it is not known whether a transaction committed its offset for {partition} until the store is reopened; until then no other is committed there"
    )]
    OffsetUndecided {
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
    },

    /// The group's offset for that partition is not committed: it would rest on work of a transaction that cannot be made to survive a power cut, at
    /// [`Durability::Disk`](crate::Durability::Disk) or with [`commit_async`](crate::Consumer::commit_async). What the same commit has for other partitions is
    /// committed. If the cause is a failed sync, reopen the store: then consumers of the group continue at what is committed. After a full disk commit again.
    #[error(
        "group {group:?}: the offset for {partition} was not committed, because work that it covers may not survive a power cut: {cause}"
    )]
    OffsetNotCommitted {
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
        /// Why that work may not survive.
        cause: Arc<Error>,
    },

    /// The consumer does not own that partition: it was never assigned, the group has given it to another member since, or the consumer has
    /// let it go after unfinished records of it were returned. After a change of the group, poll again and work on what is returned then.
    #[error("{partition} is not assigned to member {member:?} of group {group:?}")]
    NotAssigned {
        /// The partition.
        partition: TopicPartition,
        /// The group, empty for a consumer without one.
        group: String,
        /// The member's id.
        member: String,
    },

    /// A consumer with automatic commits was closed after its store, and nothing could be committed any more: the group's next reader begins where
    /// the last commit was, or where it begins without one. Close consumers before their store.
    #[error(
        "group {group:?}: the store was closed before {} committed{}",
        first_of(partitions),
        others_of(partitions)
    )]
    NotCommitted {
        /// The group.
        group: String,
        /// The partitions, in order, and the consumer's position in each.
        partitions: Vec<(TopicPartition, Offset)>,
    },

    /// The message is not this worker's any more, usually because its lock has expired. The answer was not accepted. Work that
    /// takes longer should call `renew` in time, or have a longer lock timeout.
    #[error("offset {offset} of {partition}: the answer was not taken: {reason}")]
    LockLost {
        /// The partition.
        partition: TopicPartition,
        /// The message's offset.
        offset: Offset,
        /// What has happened to the message.
        reason: &'static str,
    },

    /// A message with that id was sent a short time ago, and this one was not appended.
    #[error("topic {topic:?}: message {id:?} was sent already, at {sent} ({})", Utc(*sent))]
    DuplicateMessage {
        /// The topic.
        topic: String,
        /// The id.
        id: String,
        /// When the earlier message was sent, Unix milliseconds.
        sent: Timestamp,
    },

    /// The queue has as many unfinished messages as it may have. Nothing was appended; the same call may succeed when some are done.
    #[error("queue {group:?} of topic {topic:?} is full: {} not done, of {limit}", messages_are(*unfinished))]
    QueueFull {
        /// The topic.
        topic: String,
        /// The group.
        group: String,
        /// Messages that wait, are out, or are delayed.
        unfinished: u64,
        /// The limit.
        limit: u64,
    },

    /// Another process, or the `Store` or another `StoreReader` in this one, has consumers of that group, or workers of its queue and messages that they have
    /// taken: only one of them owns a group, or a queue, at a time. Close them there, or use another group.
    #[error(
        "group {group:?} is used elsewhere, in another process or by another handle of the store in this one: close its consumers and workers there, or use another group"
    )]
    GroupInUse {
        /// The group.
        group: String,
    },

    /// `StartFrom::Fail` is set and the group has committed no offset.
    #[error("group {group:?} has no committed offset for {partition}")]
    NoCommittedOffset {
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
    },

    /// Files may not change or be removed now: a backup is copying them, or [`Store::hold_maintenance`](crate::Store::hold_maintenance)
    /// was called. Nothing was done; call again when that has ended.
    #[error("{}: held by a backup or by hold_maintenance, call again when that has ended", held(partition.as_ref()))]
    Held {
        /// The partition; `None` for the whole store.
        partition: Option<TopicPartition>,
    },

    /// A directory is not one that a backup can be made in, checked or restored from. Nothing was changed.
    #[error("{}: {reason}", path.display())]
    Backup {
        /// The directory or file in the way.
        path: PathBuf,
        /// What is in the way, and what to do.
        reason: String,
    },

    /// A line that is to become a record is not one, or could not be appended. The records of all lines before it are there: continue with this
    /// one.
    #[error("line {line}: {cause} ({records} records were appended)")]
    Import {
        /// The line, from 1: the one at fault, or the first of those that were appended together.
        line: u64,
        /// How many records were appended.
        records: u64,
        /// What is wrong.
        cause: Arc<Error>,
    },

    /// The caller's own callback stopped the call before it was done.
    #[error("{what} was ended by its caller")]
    Cancelled {
        /// The operation that was stopped.
        what: &'static str,
    },

    /// Another handle, of this process or another, has the store open.
    #[error("store {} is {}", path.display(), holder(*pid))]
    StoreLocked {
        /// The store's directory.
        path: PathBuf,
        /// The process that holds it, if the lock file says.
        pid: Option<u32>,
    },

    /// A process has the store open to write to it, so nobody can open it read-only. [`StoreReader::attach`](crate::StoreReader::attach)
    /// can read it, unless the store was opened [without live readers](crate::StoreBuilder::without_live_readers).
    #[error("store {} is open for writing{}: StoreReader::attach reads it meanwhile, if it was opened for live readers", path.display(), by(*pid))]
    StoreInUse {
        /// The store's directory.
        path: PathBuf,
        /// The process that writes, if the lock file says.
        pid: Option<u32>,
    },

    /// The store was closed; or, for what a [`StoreReader`](crate::StoreReader) has made, all clones of that reader were dropped: its
    /// consumers and workers end with it, whether the store is open in its owner or not.
    #[error("store {} is closed, or the StoreReader by which it was read was dropped", path.display())]
    StoreClosed {
        /// The store's directory.
        path: PathBuf,
    },

    /// This process is a fork of the one that opened the store. A store does not survive a fork: nothing was
    /// done, here or there. Start another program, or open stores after the fork.
    #[error("store {} was opened by process {pid}, of which this one is a fork", path.display())]
    Forked {
        /// The store's directory.
        path: PathBuf,
        /// The process that opened it.
        pid: u32,
    },

    /// A function of the program that the library had called panicked: a callback, a clock, a file system. What it was
    /// called for was not done; the rest of the store is as before.
    #[error("a call into the program panicked: {message}")]
    Panicked {
        /// The message of the panic.
        message: String,
    },

    /// A file does not hold what was written to it. Nothing was repaired, and nothing was dropped.
    #[error("{} is damaged at byte {position}{}: {reason}{}", path.display(), at_offset(*offset), go_on_at(*resume_at))]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Byte position of the damage, or of the batch that holds it.
        position: u64,
        /// Base offset of the batch where it is known, or the offset expected there.
        offset: Option<Offset>,
        /// What does not match.
        reason: String,
        /// The partition whose file it is; `None` for a file of the store itself.
        partition: Option<TopicPartition>,
        /// Where a reader that met the damage can continue: with a [`seek`](crate::Consumer::seek), or a read from there. What lies between
        /// cannot be read. [`OnDamage::Skip`](crate::OnDamage::Skip) continues there automatically. `None` for damage that no reader met.
        resume_at: Option<Offset>,
    },

    /// Files that were passed to `adopt_topic` are not a log that can be adopted. Nothing was created, and the files are as they were.
    #[error("cannot adopt {}, byte {position}{}: {reason}", path.display(), at_offset(*offset))]
    CannotAdopt {
        /// The file, or the directory.
        path: PathBuf,
        /// Byte position of what is in the way, or of the batch that holds it.
        position: u64,
        /// The offset expected there, if there is one.
        offset: Option<Offset>,
        /// What is in the way, and what to do.
        reason: String,
    },

    /// A compressed batch expands to more than [`StoreBuilder::max_expanded_bytes`](crate::StoreBuilder::max_expanded_bytes)
    /// allows. This is not damage: it was written under a larger limit. Open the store with a larger value.
    #[error("the batch at byte {position} of {} (offset {offset}) expands to more than max_expanded_bytes={limit}: open the store with a larger value", path.display())]
    BatchTooLarge {
        /// The file.
        path: PathBuf,
        /// Byte position of the batch.
        position: u64,
        /// Its base offset.
        offset: Offset,
        /// The limit in bytes.
        limit: u64,
    },

    /// A file has a newer format than this version of annals knows. Nothing was changed.
    #[error("{} has {what} {found}, this version supports up to {supported}: open it with a newer annals", path.display())]
    UnsupportedFormat {
        /// The file.
        path: PathBuf,
        /// What has a version: `state file version`, `topic file version` …
        what: &'static str,
        /// The version found.
        found: u32,
        /// The newest version known.
        supported: u32,
    },

    /// A sync failed earlier, so it is not known what is on the disk. Nothing is acknowledged on this partition, or changed in the
    /// list of topics, until the store is reopened.
    #[error("{} is poisoned by an earlier failure ({cause}): reopen the store", poisoned(partition.as_ref()))]
    Poisoned {
        /// The partition; `None` for the list of topics.
        partition: Option<TopicPartition>,
        /// The failure.
        cause: Arc<Error>,
    },

    /// Records acknowledged at `Durability::Memory` could not be written and are gone; their offsets were assigned again. From a `send`:
    /// its own record was not appended, and it may be the one that is lost. From a `flush`: the loss may have been reported to others before, and if
    /// several writes have failed since the last flush, these are the first offset of all and the last; records between them may be there.
    #[error("{partition}: records {first}..={last}, accepted in memory, were lost: {cause}")]
    Lost {
        /// The partition.
        partition: TopicPartition,
        /// First offset lost.
        first: Offset,
        /// Last offset lost.
        last: Offset,
        /// Why the write failed.
        cause: Arc<Error>,
    },

    /// The operating system returned an error.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operation that failed.
        operation: &'static str,
        /// The system's answer.
        source: Arc<io::Error>,
    },
}
