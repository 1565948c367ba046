//! What the documents say is what the source says.

mod constants;
#[cfg(test)]
mod dashboard;
mod dumps;
mod layers;
mod promises;
mod rooms;
