//! One partition: an ordered run of segments. Append, write, sync, read, recover. Knows neither its topic, nor other
//! partitions, nor consumers.
//!
//! A record's way down: [`Log::append`] puts it into the open batch ([`write`]), whose writer hands the batch to the active
//! segment and whose group sync syncs it. Its way up: [`Reader`] ([`read`]) finds the segment, walks its batches, checks and
//! expands them. [`open`] looks at what an earlier life left, [`table`] is the list of segments on the disk, [`retain`] and
//! [`compaction`] make the log shorter, [`check`] verifies and repairs one that nobody has open,
//! [`adopt`] makes one of the files of another log, [`cut`] copies one that is open.

mod adopt;
mod check;
mod compaction;
mod config;
mod cut;
mod directory;
mod follow;
mod keys;
#[expect(clippy::module_inception, reason = "the folder and its central type share the field's word")]
mod log;
mod offsets;
mod once;
mod open;
mod patience;
mod poison;
mod producers;
mod read;
mod retain;
mod segment_list;
mod show;
mod signal;
mod stats;
mod table;
#[cfg(test)]
mod tests;
mod thinned;
mod upkeeps;
mod write;

pub(crate) use adopt::{Adoptee, Inspection};
pub(crate) use check::Copies;
pub use check::{Damage, Repair, RepairReport, VerifyReport};
pub(crate) use compaction::{CompactionConfig, Effort};
pub use compaction::{CompactionReport, EraseReport};
pub(crate) use config::{KeyRule, LogConfig, LogOptions};
pub(crate) use cut::{CarriedLog, CarriedSegment, Carrier, CutPoint, HeldLog, How, Links, Plan};
pub(crate) use follow::{Follow, Judge, call_ends_by, is_out_of_time, out_of_time};
pub(crate) use log::Log;
pub(crate) use once::once;
pub(crate) use open::{Holding, LogContext};
pub use open::{LostSnapshot, RecoveryReport, SkippedRecord, TornTail};
pub(crate) use patience::Patience;
pub(crate) use producers::clearing::{
    Clearing, EndsTransactions, NotEnded, OutlivesRecords, RestsOn, TransactionId,
};
pub(crate) use producers::state::FORGETS_AFTER;
pub(crate) use producers::table::{Fate, OpenTransaction, Remembered};
pub(crate) use read::{
    AtEnd, BelowStart, ContentBackwards, ContentReader, FetchLimits, Reader, RecordSlice, RecordSliceIter,
    Selection, Undecided, Unended, Visibility,
};
pub use read::{Isolation, OffsetAndTimestamp, OnDamage};
pub(crate) use retain::RetentionPolicy;
pub use retain::{DeleteReport, RemovalReason, RemovedSegment, RetentionReport};
pub(crate) use signal::{MOST_LOOKS, Signal, Watchers};
pub use stats::PartitionStats;
pub(crate) use upkeeps::{Upkeep, Upkeeps};
pub use write::WhenFull;
pub(crate) use write::{
    Append, Appended, DurableWait, Guard, Part, PartPlace, Room, RoomWait, SizeLimit, Spares, Stage,
    Standing, StreamKey, Verdict,
};
