//! A store on the model, and the hand that uses it: every call notes what it may leave before it is made, and what it
//! promised after it returned.

mod appends;
mod commits;
mod openings;
mod removals;
mod topics;
mod world;

pub(crate) use openings::{clock, open};
pub(crate) use topics::tiny;
pub(crate) use world::World;
