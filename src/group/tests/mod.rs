//! Groups, from the inside.

mod claims;
mod consumed;
mod spool_file;
mod spool_read;
