//! Single damages to a small store, all of them: every bit of every file flipped, every length cut to, units of 512 bytes
//! zeroed, set, doubled and swapped, files replaced by what they were earlier, removed, emptied and exchanged.
//!
//! Whatever it is, everything reads as before or an error says where it does not. What a crash may have left above the
//! durable mark is cut off, and told. The whole sweep is part of `cargo test`; its figures come with
//! `cargo test --test format corruption:: -- --nocapture`; `ANNALS_SWEEP_STRIDE=17` looks at every 17th damage only.

#[cfg(test)]
mod damage;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod judge;
#[cfg(test)]
mod named;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod stores;
#[cfg(test)]
mod sweep;
