//! Queues, from the inside.

mod forgotten;
mod lives;
mod model;
mod order;
mod records;
mod step_files;
mod step_files_lost;
