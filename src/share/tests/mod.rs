//! Queues, from the inside.

mod model;
mod records;
mod step_files;
mod step_files_lost;
