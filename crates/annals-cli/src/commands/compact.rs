//! `compact`: the last record of each key stays.

use std::ops::ControlFlow;

use annals::report::CompactionReport;
use annals::{CleanupPolicy, Store, Topic};
use clap::Args;

use crate::arguments::{Arguments, once};
use crate::commands::figures::is_internal;
use crate::failure::Outcome;
use crate::interrupt;
use crate::open::{all_are_open, with_store};
use crate::progress::{Progress, Unit};
use crate::show::{Object, Screen, Table};

/// Compact topics now: of the records of each key the last one stays.
///
/// Example: annals compact --topic prices
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The topics; all that are compacted when none is given.
    #[arg(long, short, value_name = "NAME")]
    topic: Vec<String>,
}

pub(crate) fn run(options: &Options, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    with_store(arguments, |store| {
        let topics = topics(options, store)?;
        let partitions = topics.iter().map(|topic| u64::from(topic.partition_count())).sum();
        let mut progress = Progress::new(Some(partitions), Unit::Partitions);
        let mut reports = Vec::new();
        let mut outcome = Ok(());
        for topic in &topics {
            let each = |report: &CompactionReport| {
                reports.push(report.clone());
                progress.at(reports.len() as u64);
                if interrupt::is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            outcome = outcome.and(topic.compact_with(each).map(drop));
            if interrupt::is_asked() {
                break;
            }
        }
        drop(progress);
        // Where there was nothing to do people are told so, after nothing has failed.
        let is_told = show(&reports, screen)?;
        outcome?;
        interrupt::check()?;
        if !is_told {
            screen.line("Nothing to compact.")?;
        }
        if options.topic.is_empty() { all_are_open(store) } else { Ok(()) }
    })
}

fn topics(options: &Options, store: &Store) -> Outcome<Vec<Topic>> {
    if !options.topic.is_empty() {
        let named = once(&options.topic);
        let named = named.iter().map(|name| store.topic(name));
        return Ok(named.collect::<annals::Result<_>>()?);
    }
    let mut topics = store.topics();
    topics.retain(|topic| is_internal(topic.name()) || topic.cleanup_policy() != CleanupPolicy::Delete);
    Ok(topics)
}

/// Whether anything was to be shown.
fn show(reports: &[CompactionReport], screen: &mut Screen) -> Outcome<bool> {
    let mut table =
        Table::new(&["TOPIC", ">PARTITION", ">REMOVED", ">BYTES-BEFORE", ">BYTES-AFTER", ">SEGMENTS"]);
    let mut is_empty = true;
    for report in reports {
        let place = &report.topic_partition;
        if screen.json {
            screen.object(
                &Object::new("compacted")
                    .text("topic", place.topic())
                    .number("partition", place.partition())
                    .number("rounds", report.rounds)
                    .number("removed_records", report.removed_records)
                    .number("bytes_before", report.bytes_before)
                    .number("bytes_after", report.bytes_after)
                    .number("segments_before", report.segments_before)
                    .number("segments_after", report.segments_after),
            )?;
        }
        // What was looked at and stays as it is has no sizes here.
        if report.rounds == 0 {
            continue;
        }
        is_empty = false;
        table.row([
            place.topic().to_owned(),
            place.partition().to_string(),
            report.removed_records.to_string(),
            report.bytes_before.to_string(),
            report.bytes_after.to_string(),
            report.segments_after.to_string(),
        ]);
    }
    if !screen.json && !is_empty {
        screen.table(&table)?;
    }
    Ok(screen.json || !is_empty)
}
