//! Consumer groups: who is a member, who reads which partition, what was committed. Knows neither producers nor consumers.

mod assignor;
mod commit;
mod commits;
mod committed;
mod consumed;
mod doubts;
mod endings;
mod follow;
#[expect(clippy::module_inception, reason = "the layer and its central type share the field's word")]
mod group;
mod groups;
mod marked;
mod merging;
mod pending;
mod progress;
mod register;
mod set_back;
mod spool;
mod spool_file;
mod spool_read;
mod taken;
#[cfg(test)]
mod tests;
mod unreadable;

pub(crate) use commit::{CommitKind, CommitRequest, LeftOut, Unsettled, is_for_good};
pub use committed::CommittedOffset;
pub(crate) use consumed::{Consumed, OtherReaders};
pub(crate) use endings::{Done, Endings, IsOver};
pub(crate) use group::{Group, Owned};
pub(crate) use groups::Groups;
pub use groups::OffsetReset;
pub(crate) use marked::{put, sync_marked};
pub(crate) use pending::{Beyond, Pending, PendingOffsets, goes_back};
pub(crate) use progress::GroupProgress;
pub(crate) use spool::{Spool, SpoolRole};
pub(crate) use spool_file::still_ends_so;
pub(crate) use taken::TakenGroup;
pub(crate) use unreadable::unclean;
