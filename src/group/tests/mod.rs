//! Groups, from the inside.

mod spool_file;
