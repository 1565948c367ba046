//! What the documents say is what the source says.

mod constants;
mod dumps;
mod layers;
mod promises;
