//! Reading a partition: [`reader`] from an offset on, [`by_offset`] one record, [`by_time`] the offset of a time,
//! [`by_content`] the records of a key or of a query.

pub(in crate::log) mod by_content;
mod by_content_backwards;
pub(in crate::log) mod by_offset;
pub(in crate::log) mod by_time;
mod committed;
mod damage;
mod expand;
mod fetching;
mod looked;
pub(in crate::log) mod reader;
pub(in crate::log) mod record_slice;
pub(in crate::log) mod selection;
mod sight;
mod unended;
pub(in crate::log) mod walk;

pub(crate) use by_content::ContentReader;
pub(crate) use by_content_backwards::ContentBackwards;
pub use by_time::OffsetAndTimestamp;
pub use damage::OnDamage;
pub use reader::Isolation;
pub(crate) use reader::{AtEnd, BelowStart, FetchLimits, Reader, Undecided, Visibility};
pub(crate) use record_slice::{RecordSlice, RecordSliceIter};
pub(crate) use selection::Selection;
pub(crate) use unended::Unended;
