//! Work that is put down for later, and done without anybody asking: a batch to be written when its linger is over,
//! written bytes to be synced, a look at everything from time to time. Whoever has such work is a [`Chore`]; the [`Agenda`]
//! knows when each is due, and nothing else of it.

mod agenda;
mod line;
mod otherwise;
mod side_by_side;
mod tasks;

pub(crate) use agenda::{Agenda, Chore, Due, MaintenanceHold, Reason, Turn};
pub(crate) use line::Ticket;
pub(crate) use otherwise::Otherwise;
pub(crate) use side_by_side::side_by_side;
pub(crate) use tasks::{Waiting, Waking};
