//! Queues, from the inside.

mod model;
mod records;
