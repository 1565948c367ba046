//! What a crash, a power cut, a failing disk or another thread at the worst moment leaves of what was promised.

#[cfg(test)]
#[path = "../common/mod.rs"]
mod common;

mod durability;
#[cfg(test)]
#[path = "../common/fragile_clock.rs"]
mod fragile_clock;
#[cfg(test)]
mod isolation;
mod kill;
mod lives;
mod named;
mod power_cut;
