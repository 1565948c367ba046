//! The table of segments on the disk: the only authority beside the `.log` files. [`edit`] changes it, [`names`] knows which
//! files belong to a segment.

mod beside;
pub(in crate::log) mod edit;
pub(in crate::log) mod names;
pub(in crate::log) mod state_file;
