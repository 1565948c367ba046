//! Taking over what an earlier life left: [`begin`] makes a log of it, [`recovery`] looks and changes nothing, [`known_producers`] at those who wrote, [`settle`] sets right before the first
//! append, after its [`prerequisites`].

mod begin;
pub(in crate::log) mod known_producers;
pub(in crate::log) mod prerequisites;
pub(in crate::log) mod recovery;
pub(in crate::log) mod report;
pub(in crate::log) mod settle;

pub(crate) use begin::LogContext;
pub(crate) use prerequisites::Holding;
pub use report::{LostSnapshot, RecoveryReport, SkippedRecord, TornTail};
