//! Transactions as a program sees them: all of it or nothing, in any topics, over closes, kills and fences.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[cfg(test)]
mod adopted;
#[cfg(test)]
mod again;
mod deleted;
mod ends;
mod figures;
mod freed;
mod goes_back;
mod grown;
#[cfg(test)]
mod in_time;
mod laid_over;
#[cfg(test)]
mod left_out;
mod let_go;
mod life;
#[cfg(test)]
mod model;
mod named;
mod outside;
mod owners;
mod panics;
mod poisoned;
mod room;
mod seen;
mod set_back;
mod together;
mod told;
mod undecided;
mod verify;
mod weeks;
