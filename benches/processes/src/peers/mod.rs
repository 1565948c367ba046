//! One file for each way from process to process.

mod annals;
mod mapped;
mod pipe;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::path::Path;
use std::time::Duration;

use crate::harness::Outcome;

/// The side that has the store open, or made the file.
pub(crate) trait Sender {
    fn send(&mut self, value: &[u8]) -> Outcome;
}

/// The side that waits.
pub(crate) trait Receiver {
    /// Hands over what has come, which may be nothing. One that sleeps does so in here.
    fn look(&mut self, take: &mut dyn FnMut(&[u8]) -> Outcome) -> Outcome;
}

/// What a receiver does that has found nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// It looks again at once. So does one that sleeps in its look.
    None,
    Sleep(Duration),
}

/// A way from process to process. `send` is called first, and makes what `receive` opens.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) pause: Pause,
    pub(crate) send: fn(&Path) -> Outcome<Box<dyn Sender>>,
    pub(crate) receive: fn(&Path) -> Outcome<Box<dyn Receiver>>,
}

const MILLISECOND: Pause = Pause::Sleep(Duration::from_millis(1));

/// All of them, in the order in which they take turns.
pub(crate) const ALL: &[&Peer] = &[
    &annals::ASLEEP,
    &annals::SPINNING,
    &mapped::SPINNING,
    &mapped::ASLEEP,
    &pipe::ASLEEP,
    #[cfg(feature = "sqlite")]
    &sqlite::SPINNING,
    #[cfg(feature = "sqlite")]
    &sqlite::POLLING,
    #[cfg(feature = "redb")]
    &redb::SPINNING,
    #[cfg(feature = "redb")]
    &redb::POLLING,
];
