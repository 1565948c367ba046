//! One file for each kind of queue.

mod annals;
#[cfg(feature = "fjall")]
mod fjall;
#[cfg(feature = "honker")]
mod honker;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "yaque")]
mod yaque;

use crate::jobs::Peer;

/// All of them, in the order in which they take turns.
pub(crate) const ALL: &[&Peer] = &[
    &annals::PEER,
    &annals::ORDERED,
    #[cfg(feature = "sqlite")]
    &sqlite::PEER,
    #[cfg(feature = "honker")]
    &honker::PEER,
    #[cfg(feature = "redb")]
    &redb::PEER,
    #[cfg(feature = "fjall")]
    &fjall::PEER,
    #[cfg(feature = "yaque")]
    &yaque::PEER,
];
