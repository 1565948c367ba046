//! Queues, from the inside.

mod model;
mod records;
mod step_files;
