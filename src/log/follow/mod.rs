//! A log that another process writes: [`follow`] finds out what it shows, [`table`] makes a list of segments of it, [`growing`]
//! knows what lies in the segment that grows,
//! [`waits`] says how long it is waited for, [`left`] is what was found out of transactions that a dead owner has left open.

#[expect(clippy::module_inception, reason = "the room and its central type share the word")]
pub(in crate::log) mod follow;
pub(in crate::log) mod growing;
pub(in crate::log) mod left;
pub(in crate::log) mod table;
pub(in crate::log) mod waits;

pub(crate) use follow::Follow;
pub(crate) use left::Judge;
pub(crate) use waits::{call_ends_by, is_out_of_time, out_of_time};
