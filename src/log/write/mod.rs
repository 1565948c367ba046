//! From an append to the disk: [`append`] has the record placed in the open batch ([`accumulator`]), [`writer`] hands the
//! batch to the active segment and [`roll`]s to the next one, [`group_sync`] has one thread sync for all that wait, [`awaited`] is how a task waits.

pub(in crate::log) mod accumulator;
pub(in crate::log) mod append;
pub(in crate::log) mod append_times;
mod attempts;
mod awaited;
mod close;
pub(in crate::log) mod group_sync;
pub(in crate::log) mod guard;
mod guarded;
mod known_stream;
pub(in crate::log) mod linger;
mod losses;
pub(in crate::log) mod open_batch;
mod phase;
pub(in crate::log) mod placement;
mod queued;
pub(in crate::log) mod roll;
pub(in crate::log) mod rules;
pub(in crate::log) mod size_limit;
pub(in crate::log) mod spares;
pub(in crate::log) mod stage;
pub(in crate::log) mod writer;

pub(crate) use append::{Append, Appended};
pub(crate) use awaited::DurableWait;
pub(crate) use guard::{Guard, Verdict};
pub(crate) use known_stream::StreamKey;
pub use size_limit::WhenFull;
pub(crate) use size_limit::{Room, RoomWait, SizeLimit};
pub(crate) use spares::Spares;
pub(crate) use stage::{Part, PartPlace, Stage, Standing};
