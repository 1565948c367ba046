//! Power cuts: a model of a disk that is weaker than any real one, and every state in which a cut may leave it.
//!
//! What was written and not synced is split into units of 512 bytes; each of them, each length and each name that was not
//! synced is lost or kept by itself. Of every moment of a workload such states are made, opened and compared with
//! what the store had promised until then.
//!
//! `ANNALS_CRASH_STATES=1000000 cargo test --test crash power_cut:: -- --nocapture`

#[cfg(test)]
mod explore;
#[cfg(test)]
mod judge;
#[cfg(test)]
mod model;
#[cfg(test)]
mod promise;
#[cfg(test)]
mod record;
#[cfg(test)]
mod scenes;
#[cfg(test)]
mod transactions;
#[cfg(test)]
mod trouble;
#[cfg(test)]
mod watcher;
#[cfg(test)]
mod workloads;
