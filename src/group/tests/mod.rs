//! Groups, from the inside.

mod consumed;
mod spool_file;
mod spool_read;
