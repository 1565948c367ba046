//! What opening found, and who is told.

use crate::figures::{Event, Figures};
use crate::group::Groups;
use crate::log::RecoveryReport;
use crate::share::Queues;
use crate::topic::Topics;

/// What opening found, in every layer.
pub(super) fn recovery_of(topics: &Topics, groups: &Groups, queues: &Queues) -> Vec<RecoveryReport> {
    let mut recovery = topics.recovery();
    let commits = recovery.iter_mut().find(|report| report.topic_partition == groups.stored_in());
    commits.into_iter().for_each(|report| {
        report.skipped = groups.skipped().to_vec();
        report.let_go = groups.let_go().to_vec();
        report.failure = report.failure.take().or_else(|| groups.unreadable().cloned());
    });
    let states = recovery.iter_mut().find(|report| report.topic_partition == queues.stored_in());
    states.into_iter().for_each(|report| report.skipped = queues.skipped().to_vec());
    recovery.iter().for_each(|report| note_recovered(report, topics.figures()));
    recovery
}

/// Tells of a partition that was not closed.
fn note_recovered(report: &RecoveryReport, figures: &Figures) {
    if !report.clean {
        figures.events.note(|| Event::Recovered {
            partition: report.topic_partition.clone(),
            end: report.end,
            scanned_bytes: report.scanned_bytes,
            torn_bytes: report.torn.as_ref().map_or(0, |torn| torn.bytes),
        });
    }
}
