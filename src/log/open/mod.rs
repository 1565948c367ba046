//! Taking over what an earlier life left: [`recovery`] looks and changes nothing, [`settle`] sets right before the first
//! append.

pub(in crate::log) mod recovery;
pub(in crate::log) mod report;
pub(in crate::log) mod settle;

pub use report::{RecoveryReport, SkippedRecord, TornTail};
