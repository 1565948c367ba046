//! What goes from the front of a log: [`retention`] decides, [`removal`] does; [`delete_records`] is told; `front` edits the table, also of a log that nobody
//! has appended to; `needed` asks those above.

pub(in crate::log) mod delete_records;
mod front;
mod needed;
pub(in crate::log) mod removal;
pub(in crate::log) mod retention;

pub use delete_records::DeleteReport;
pub use removal::{RemovedSegment, RetentionReport};
pub use retention::RemovalReason;
pub(crate) use retention::RetentionPolicy;
