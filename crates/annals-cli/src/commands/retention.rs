//! `retention`: what topics do not keep goes now.

use annals::report::{RemovalReason, RemovedSegment, RetentionReport};
use clap::Args;

use crate::arguments::Arguments;
use crate::failure::Outcome;
use crate::open::{all_are_open, with_store};
use crate::show::{Object, Screen, Table, count};

/// Remove now what topics do not keep by their settings.
///
/// Example: annals retention
#[derive(Debug, Args)]
pub(crate) struct Options {}

pub(crate) fn run(_: &Options, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    with_store(arguments, |store| {
        let reports = store.apply_retention()?;
        let mut table = Table::new(&[
            "TOPIC",
            ">PARTITION",
            ">FIRST",
            ">NEXT",
            ">SEGMENTS",
            ">RECORDS",
            ">BYTES",
            "REASON",
        ]);
        for report in &reports {
            let place = &report.topic_partition;
            for removed in &report.removed {
                if screen.json {
                    screen.object(
                        &Object::new("removed")
                            .text("topic", place.topic())
                            .number("partition", place.partition())
                            .number("base_offset", removed.base_offset)
                            .number("next_offset", removed.next_offset)
                            .number("records", removed.records)
                            .number("bytes", removed.bytes)
                            .text("reason", reason(removed.reason)),
                    )?;
                }
            }
            // What goes for one reason stands together.
            for removed in report.removed.chunk_by(|one, next| one.reason == next.reason) {
                let sum = |of: fn(&RemovedSegment) -> u64| removed.iter().map(of).sum::<u64>().to_string();
                let (Some(first), Some(last)) = (removed.first(), removed.last()) else { continue };
                table.row([
                    place.topic().to_owned(),
                    place.partition().to_string(),
                    first.base_offset.to_string(),
                    last.next_offset.to_string(),
                    removed.len().to_string(),
                    sum(|one| one.records),
                    sum(|one| one.bytes),
                    reason(first.reason).to_owned(),
                ]);
            }
        }
        match (screen.json, reports.iter().all(|report| report.removed.is_empty())) {
            (true, _) => {}
            (false, true) => screen.line("Nothing to remove.")?,
            (false, false) => {
                screen.table(&table)?;
                screen.line(total(&reports))?;
            }
        }
        all_are_open(store)
    })
}

fn total(reports: &[RetentionReport]) -> String {
    let all = || reports.iter().flat_map(|report| &report.removed);
    let (records, bytes): (u64, u64) =
        all().fold((0, 0), |(records, bytes), one| (records + one.records, bytes + one.bytes));
    format!("Removed {}, {}, {bytes} bytes.", count(all().count(), "segment"), count(records, "record"))
}

fn reason(reason: RemovalReason) -> &'static str {
    match reason {
        RemovalReason::BelowStart => "below-start",
        RemovalReason::Consumed => "consumed",
        RemovalReason::Size => "size",
        RemovalReason::Records => "records",
        RemovalReason::Age => "age",
        _ => "other",
    }
}
