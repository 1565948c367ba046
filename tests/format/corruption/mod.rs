//! Single damages to a small store, all of them: every bit of every file flipped, every length cut to, units of 512 bytes
//! zeroed, set, doubled and swapped, files replaced by what they were earlier, removed, emptied and exchanged.
//!
//! Whatever it is, everything reads as before or an error says where it does not. What a crash may have left above the
//! durable mark is cut off, and told. `cargo test` looks at every third damage, `.ci/run` at each; the
//! figures of all of them come with `ANNALS_SWEEP_STRIDE=1 cargo test --test format corruption:: -- --nocapture`.

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
