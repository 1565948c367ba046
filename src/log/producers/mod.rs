//! What a partition knows of those who write to it under an id, and of their transactions. Pure: values in, values out.
//!
//! [`table`] is the state of each producer: its epoch, its last batches, the transaction it has open. [`aborted`] finds the
//! transactions whose records nobody is to read.

pub(in crate::log) mod aborted;
pub(in crate::log) mod table;
#[cfg(test)]
mod tests;
