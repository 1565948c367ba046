//! What a partition knows of those who write to it under an id, and of their transactions.
//!
//! [`table`] is the state of each producer: its epoch, its last batches, the transaction it has open. [`aborted`] finds the
//! transactions whose records nobody is to read. [`snapshot`] says what of
//! it a snapshot knows; [`decided`] where those stand that wait for their ends. All four are pure. [`clearing`] asks the layer above to end a transaction. [`state`] is that of an open log,
//! [`snapshot_file`] what is kept of it on the disk, [`naming`] which of that the state file names, [`settle`] what is made durable for
//! whoever rests on it.

pub(in crate::log) mod aborted;
pub(in crate::log) mod clearing;
mod decided;
mod naming;
mod settle;
mod snapshot;
pub(in crate::log) mod snapshot_file;
pub(in crate::log) mod state;
pub(in crate::log) mod table;
#[cfg(test)]
mod tests;
