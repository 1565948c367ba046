//! What the documents say is what the source says.

mod constants;
mod dashboard;
mod dumps;
mod layers;
mod promises;
