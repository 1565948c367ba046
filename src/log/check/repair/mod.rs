//! Setting a damaged partition right, by taking out what cannot be read. Never done unless asked for.
//!
//! [`diagnosis`] looks at a partition as `check` does; [`mender`] sets it right: [`inventory`] says which files to look
//! through, [`origin`] whose their batches are, [`rewrite`] writes the segments that change anew, [`swap`] makes them the
//! log. [`endings`] says which ends of transactions were in what is lost. [`report`] is what all of this comes to.
//!
//! What is to go is copied first. Then segments that change are written again under their temporary names; the state file
//! that lists them is the commit, as in a compaction; renames and removals follow. A kill between any two steps leaves a
//! partition that is damaged as before, or one that opens.

mod diagnosis;
mod endings;
mod inventory;
mod mender;
mod origin;
mod report;
mod rewrite;
mod swap;
#[cfg(test)]
mod tests;

pub use report::{Repair, RepairReport};
