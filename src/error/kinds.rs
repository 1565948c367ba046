//! What a program asks of an error before it decides.

use std::io;

use crate::error::Error;

/// True when the process, or the machine, has as many files open as it may.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    /// `ENFILE` and `EMFILE`, the same numbers on every Unix.
    const NUMBERS: [i32; 2] = [23, 24];
    cfg!(unix) && error.raw_os_error().is_some_and(|number| NUMBERS.contains(&number))
}

impl Error {
    /// True when a file could not be opened because of too many others.
    pub(crate) fn is_out_of_descriptors(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_out_of_descriptors(source))
    }

    /// Returns true when a file does not hold the bytes that were written to it.
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Corrupt { .. } => true,
            Self::Poisoned { cause, .. }
            | Self::Lost { cause, .. }
            | Self::OffsetNotCommitted { cause, .. } => cause.is_corruption(),
            _ => false,
        }
    }

    /// Returns true when the disk, a quota or a file size limit is full: the same call may succeed once there is room.
    pub fn is_disk_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match self {
            Self::Io { source, .. } => matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge),
            Self::Lost { cause, .. }
            | Self::Import { cause, .. }
            | Self::OffsetNotCommitted { cause, .. } => cause.is_disk_full(),
            _ => false,
        }
    }

    /// Returns true when the same call may succeed later without a change to the program: a full disk, a lock held elsewhere,
    /// an interrupted or exhausted system resource, a condition that waits for the end of a transaction. A missing file or a refused permission is not among them, nor is a
    /// [conflict](Self::is_conflict).
    pub fn is_retriable(&self) -> bool {
        use io::ErrorKind::{Interrupted, OutOfMemory, ResourceBusy, TimedOut, WouldBlock};
        match self {
            Self::StoreLocked { .. }
            | Self::StoreInUse { .. }
            | Self::GroupInUse { .. }
            | Self::Full { .. }
            | Self::Held { .. }
            | Self::QueueFull { .. } => true,
            Self::Conflict { is_undecided, .. } => *is_undecided,
            Self::Io { source, .. } => {
                let passes =
                    matches!(source.kind(), Interrupted | OutOfMemory | ResourceBusy | TimedOut | WouldBlock);
                is_out_of_descriptors(source) || passes || self.is_disk_full()
            }
            Self::Lost { cause, .. }
            | Self::Import { cause, .. }
            | Self::OffsetNotCommitted { cause, .. } => cause.is_retriable(),
            _ => false,
        }
    }

    /// Returns true when [`append_if`](crate::Partition::append_if) found that another caller had appended, or when the condition of
    /// [`append_to`](crate::Topic::append_to) or [`append_when`](crate::Partition::append_when) does not hold. The
    /// same call cannot succeed: read further, decide again, and append by what is there now. Returns false for a
    /// [`Conflict`](Self::Conflict) with `is_undecided`, where another's undecided transaction is in the way: the same call may succeed, and
    /// the error is [retriable](Self::is_retriable). A loop that reads and decides again continues after both:
    /// [`asks_for_new_decision`](Self::asks_for_new_decision).
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::UnexpectedEnd { .. } | Self::Conflict { is_undecided: false, .. })
    }

    /// Returns true when a loop that loads, decides and appends should begin again: after a [conflict](Self::is_conflict), and after a
    /// [`Conflict`](Self::Conflict) with `is_undecided`, where another's transaction is in progress. Nothing was appended. Any other error is
    /// no reason to decide again: it ends the loop.
    ///
    /// ```
    /// # use annals::{Expected, Record, Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # let orders = store.create_topic("orders", TopicConfig::new().key_index(true))?;
    /// let order = orders.stream("order-17")?;
    /// let appended = loop {
    ///     let events = order.events(..)?;
    ///     let expected = events.last().map_or(Expected::NoStream, |last| Expected::Version(last.offset));
    ///     let next = if events.is_empty() { "placed" } else { "changed" };
    ///     match orders.append_to("order-17", expected, &[Record::new().value(next)]) {
    ///         Err(error) if error.asks_for_new_decision() => continue,
    ///         outcome => break outcome?,
    ///     }
    /// };
    /// assert_eq!(appended.last_offset, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn asks_for_new_decision(&self) -> bool {
        matches!(self, Self::UnexpectedEnd { .. } | Self::Conflict { .. })
    }
}
