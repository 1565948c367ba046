//! The partition's state file.

mod block;
mod mark;
#[expect(clippy::module_inception, reason = "the folder and its central type share the field's word")]
mod state;
mod summary;
#[cfg(test)]
mod tests;

pub(crate) use mark::Mark;
pub(crate) use state::{Identity, PartitionState};
pub(crate) use summary::SegmentSummary;
