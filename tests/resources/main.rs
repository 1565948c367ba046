//! What a process uses for as long as it lives: memory, descriptors, maps, disk.
//!
//! ```sh
//! cargo test --test resources                                   # a few rounds: descriptors, maps and files come back
//! tests/soak.sh 60                                              # an hour, and memory too
//! ```
//!
//! A binary of its own: what other tests hold at the same time would be counted.
#![expect(clippy::disallowed_methods, reason = "a test looks at itself from outside")]

/// Held by each test: what another holds at the same time would be counted.
#[cfg(test)]
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[cfg(test)]
fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(all(test, target_os = "linux"))]
mod address_space;
#[cfg(test)]
mod buffers;
#[cfg(all(test, target_os = "linux"))]
mod each_call;
#[cfg(all(test, target_os = "linux"))]
mod keys;
#[cfg(all(test, target_os = "linux"))]
mod many_topics;
#[cfg(all(test, target_os = "linux"))]
mod partitions;
#[cfg(test)]
mod soak;
