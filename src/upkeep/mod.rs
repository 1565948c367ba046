//! Work that is put down for later, and done without anybody asking: a batch to be written when its linger is over,
//! written bytes to be synced, a look at everything from time to time. Whoever has such work is a [`Chore`]; the [`Agenda`]
//! knows when each is due, and nothing else of it.

mod agenda;
mod line;
mod tasks;

#[cfg(test)]
pub(crate) use agenda::Due;
pub(crate) use agenda::{Agenda, Chore, MaintenanceHold, Reason};
pub(crate) use line::Ticket;
pub(crate) use tasks::{Waiting, Waking};
