//! Consumer groups: who is a member, who reads which partition, what was committed. Knows neither producers nor consumers.

mod assignor;
mod commit_log;
mod committed;
#[expect(clippy::module_inception, reason = "the layer and its central type share the field's word")]
mod group;
mod groups;
mod pending;

pub use committed::CommittedOffset;
pub(crate) use group::{Group, Owned};
pub use groups::OffsetSetBack;
pub(crate) use groups::{CommitRequest, Groups};
pub(crate) use pending::{Pending, PendingRecords};
