//! The files: as Kafka and its clients read and write them, as earlier versions left them, as damage leaves them.

#[cfg(test)]
#[path = "../common/mod.rs"]
mod common;

mod compat;
mod corruption;
mod dump;
mod golden;
mod index_files;
