//! A disk that has so many bytes: what compaction takes of it, and closing where there are none.
#![expect(clippy::expect_used, clippy::panic, reason = "a test may stop at what it did not expect")]

#[cfg(test)]
mod closing;
#[cfg(test)]
mod compaction;
#[cfg(test)]
mod disk;
