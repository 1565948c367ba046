//! One partition: an ordered run of segments. Append, write, sync, read, recover. Knows neither its topic, nor other
//! partitions, nor consumers.
//!
//! A record's way down: [`Log::append`] puts it into the open batch ([`accumulator`]), [`writer`] hands the batch to the
//! active segment, [`commit`] syncs. Its way up: [`Reader`] finds the segment, walks its batches, checks and expands them;
//! [`get`] is the straight way to a single one.

mod accumulator;
mod agenda;
mod append;
mod append_times;
mod commit;
mod compaction;
mod config;
mod copies;
mod delete_records;
mod fetch;
mod get;
mod log;
mod lookup;
mod open_batch;
mod placement;
mod reader;
mod recovery;
mod removal;
mod repair;
mod retention;
mod roll;
mod rules;
mod segment_list;
mod settle;
mod signal;
mod size_limit;
mod state_file;
mod stats;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub(crate) use agenda::{Agenda, Chore};
pub(crate) use append::{Append, Appended};
pub(crate) use compaction::{CompactionConfig, Effort};
pub(crate) use config::{KeyRule, LogConfig, LogOptions};
pub(crate) use copies::Copies;
pub(crate) use fetch::{RecordSlice, RecordSliceIter};
pub(crate) use log::{Log, LogContext};
pub use reader::OnDamage;
pub(crate) use reader::{FetchLimits, Reader, Visibility};
pub use recovery::{RecoveryReport, TornTail};
pub use repair::Repair;
pub(crate) use repair::Repaired;
pub use retention::RemovalReason;
pub(crate) use retention::RetentionPolicy;
pub(crate) use signal::Signal;
pub(crate) use size_limit::SizeLimit;
pub use size_limit::WhenFull;
pub(crate) use verify::Checked;
pub use verify::Damage;
