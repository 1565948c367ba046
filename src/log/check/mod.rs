//! Looking at a partition that nobody has open, and setting it right: [`verify`] finds, [`repair`] mends, [`copies`] keeps
//! what is taken out.

pub(in crate::log) mod copies;
pub(in crate::log) mod repair;
mod transactions;
pub(in crate::log) mod verify;

pub(crate) use copies::Copies;
pub use repair::{Repair, RepairReport};
pub use verify::{Damage, VerifyReport};
