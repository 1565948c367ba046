//! Queues: what a worker is handed, what becomes of its answers, and what a crash leaves of them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where a program would handle an error"
)]

#[cfg(test)]
mod answers;
#[cfg(test)]
mod enqueue;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod later;
#[cfg(test)]
mod letters;
#[cfg(test)]
mod life;
#[cfg(test)]
mod model;
#[cfg(test)]
mod order;
#[cfg(test)]
mod power;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod world;
