//! Copying a log that is open, as it was at one moment: [`hold`] keeps its files where they are, [`point`] is the moment,
//! [`plan`] says which files and how much of them, [`carrier`] brings files over, [`copy`] makes a log of them.

mod carrier;
mod copy;
mod hold;
mod plan;
mod point;

pub(crate) use carrier::{Carrier, How, Links};
pub(crate) use copy::{CarriedLog, CarriedSegment};
pub(crate) use plan::Plan;
pub(crate) use point::{CutPoint, HeldLog};
