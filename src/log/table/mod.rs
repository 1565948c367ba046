//! The table of segments on the disk: the only authority beside the `.log` files.

pub(in crate::log) mod state_file;
