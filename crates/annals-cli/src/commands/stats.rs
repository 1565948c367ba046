//! `stats`: figures of the whole store.

use annals::report::RecoveryReport;
use clap::Args;

use crate::arguments::Arguments;
use crate::commands::figures::{group_object, is_internal, partition_object, partition_row, partition_table};
use crate::commands::groups::{group_table, rows};
use crate::failure::Outcome;
use crate::open::with_all_topics;
use crate::show::{Object, Screen};

/// Show figures of topics and groups, and what is found of partitions that were not closed.
///
/// Example: annals stats --exclude-internal
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Leave out the topics that the store keeps for itself.
    #[arg(long)]
    exclude_internal: bool,
}

pub(crate) fn run(options: &Options, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    with_all_topics(arguments, |store| {
        let stats = store.stats()?;
        let partitions =
            stats.topics.iter().filter(|topic| !(options.exclude_internal && is_internal(&topic.topic)));
        let partitions: Vec<_> = partitions.flat_map(|topic| &topic.partitions).collect();
        let noteworthy: Vec<_> = store
            .recovery()
            .iter()
            .filter(|report| {
                !report.clean
                    || report.failure.is_some()
                    || report.torn.is_some()
                    || report.lost_snapshot.is_some()
                    || !report.let_go.is_empty()
            })
            .collect();
        if screen.json {
            partitions.iter().try_for_each(|one| screen.object(&partition_object(one)))?;
            stats.groups.iter().try_for_each(|group| screen.object(&group_object(group, store)))?;
            return noteworthy.iter().try_for_each(|report| screen.object(&recovery_object(report)));
        }
        let mut table = partition_table();
        partitions.iter().for_each(|one| table.row(partition_row(one)));
        screen.table(&table)?;
        if !stats.groups.is_empty() {
            let mut table = group_table();
            stats.groups.iter().for_each(|group| rows(group, store, &mut table));
            screen.line("")?;
            screen.table(&table)?;
        }
        noteworthy.iter().try_for_each(|report| screen.line(recovery_line(report)))
    })
}

fn recovery_object(report: &RecoveryReport) -> Object {
    Object::new("recovery")
        .text("topic", report.topic_partition.topic())
        .number("partition", report.topic_partition.partition())
        .truth("clean", report.clean)
        .number("scanned_bytes", report.scanned_bytes)
        .number("end", report.end)
        .maybe_text("torn", report.torn.as_ref().map(ToString::to_string).as_deref())
        .maybe_text("failure", report.failure.as_ref().map(ToString::to_string).as_deref())
        .maybe_text("lost_snapshot", report.lost_snapshot.as_ref().map(ToString::to_string).as_deref())
        .maybe_text("let_go", Some(report.let_go.join("; ")).filter(|all| !all.is_empty()).as_deref())
}

fn recovery_line(report: &RecoveryReport) -> String {
    let place = &report.topic_partition;
    match (&report.failure, &report.torn) {
        (Some(failure), _) => format!("Opening: {place}: {failure}"),
        (None, Some(torn)) => format!("Opening: {place} was not closed: {torn}"),
        (None, None) if report.lost_snapshot.is_some() => {
            let lost = report.lost_snapshot.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("Opening: {place}: what is known of its producers was made again from the log: {lost}")
        }
        (None, None) if !report.let_go.is_empty() => {
            format!(
                "Opening: {place}: what holds no more, as it is of another topic of that name: {}",
                report.let_go.join("; ")
            )
        }
        (None, None) => {
            format!("Opening: {place} was not closed: {} bytes were looked through", report.scanned_bytes)
        }
    }
}
