//! One segment: a `.log` of record batches and its two sparse indexes. Knows neither other segments, nor policies, nor the
//! time of day.
//!
//! [`ActiveSegment`] is the one that grows and belongs to the writer; `seal` ends its life. [`Segment`] is the readable
//! side of either, shared with every reader; [`Cursor`] walks its batches; [`find`](Segment::find) goes straight to one; [`scan`] judges one
//! after a crash, [`survey`] one that somebody else wrote.

mod aborted;
mod active;
mod ahead;
mod by_key;
mod cursor;
mod epochs;
mod find;
mod index;
mod index_file;
mod keys;
mod log_file;
mod new_segment;
mod salvage;
mod scan;
#[expect(clippy::module_inception, reason = "the layer and its central type share the field's word")]
mod segment;
mod stored_batch;
mod summary;
mod survey;
#[cfg(test)]
mod tests;

pub(crate) use aborted::{aborted_of, aborted_summary, with_aborted};
pub(crate) use active::{ActiveSegment, SegmentConfig, WriteFailure};
pub(crate) use by_key::key_stamp;
pub(crate) use cursor::Cursor;
pub(crate) use index::SparseIndex;
pub(crate) use index_file::write as write_indexes;
pub(crate) use keys::{Hit, HitRange, NewBatch, Newest, Take, remove_other_keys};
pub(crate) use log_file::LogFile;
pub use log_file::ReadMode;
pub(crate) use new_segment::{FinishedSegment, MOST_BYTES, NewSegment};
pub(crate) use salvage::{Dropped, Judge, Known, Salvage, salvage};
pub(crate) use scan::{Scan, Tail, Witness, scan};

pub(crate) use segment::Segment;
pub(crate) use stored_batch::{StoredBatch, WeakBatch};
pub(crate) use summary::{empty_segment, summarize};
pub(crate) use survey::{Bounds, Misfit, Survey, survey};
