//! What a partition knows of named producers, when their records leave the log: by deletion, retention, compaction, erasure, a size
//! limit; and the process is killed, the power cut or the disk full at any call of any of them.
//!
//! `ANNALS_NAMED_WORDS=200000 cargo test --test crash named:: -- --nocapture`

#[cfg(test)]
mod forgotten;
#[cfg(test)]
mod life;
#[cfg(test)]
mod search;
