//! What a process uses for as long as it lives: memory, descriptors, maps, disk.
//!
//! ```sh
//! cargo test --test resources                                   # a few rounds: descriptors, maps and files come back
//! tests/soak.sh 60                                              # an hour, and memory too
//! ```
//!
//! A binary of its own: what other tests hold at the same time would be counted.
#![expect(clippy::disallowed_methods, reason = "a test looks at itself from outside")]

#[cfg(test)]
mod buffers;
#[cfg(test)]
mod soak;
