//! What the process that owns a store shows to others, in a page of memory that they share: `annals.live`.
//!
//! [`layout`] says what stands where, [`page`] is the file, [`slot`] what is shown of one partition, [`owner`] who shows it, [`opened`] how that begins,
//! [`guest`] who looks, [`ear`] who listens for its tasks. Nothing here knows what a log is, and the owner believes nothing that others can have written.

mod ear;
mod guest;
mod layout;
mod locks;
mod memory;
mod opened;
mod owner;
mod page;
#[cfg(all(test, annals_shuttle))]
mod schedules;
mod slot;
#[cfg(all(target_os = "linux", not(annals_shuttle)))]
#[cfg(test)]
mod tests;

pub(crate) use ear::Listener;
pub(crate) use guest::{Guest, OwnerState, not_yet, still_opening};
pub(crate) use layout::{Growth, Kind, Shown, Synced, Table};
pub(crate) use locks::Locks;
pub(crate) use opened::Opened;
pub(crate) use owner::{OwnSlot, Owner};
pub(crate) use slot::Slot;
