//! `retention`: what topics do not keep goes now.

use annals::report::RemovalReason;
use clap::Args;

use crate::arguments::Arguments;
use crate::failure::Outcome;
use crate::open::{all_are_open, with_store};
use crate::show::{Object, Screen, Table};

/// Remove now what topics do not keep by their settings.
///
/// Example: annals retention
#[derive(Debug, Args)]
pub(crate) struct Options {}

pub(crate) fn run(_: &Options, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    with_store(arguments, |store| {
        let reports = store.apply_retention()?;
        let mut table =
            Table::new(&["TOPIC", ">PARTITION", ">FIRST", ">NEXT", ">RECORDS", ">BYTES", "REASON"]);
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
                table.row([
                    place.topic().to_owned(),
                    place.partition().to_string(),
                    removed.base_offset.to_string(),
                    removed.next_offset.to_string(),
                    removed.records.to_string(),
                    removed.bytes.to_string(),
                    reason(removed.reason).to_owned(),
                ]);
            }
        }
        match (screen.json, reports.iter().all(|report| report.removed.is_empty())) {
            (true, _) => {}
            (false, true) => screen.line("Nothing to remove.")?,
            (false, false) => screen.table(&table)?,
        }
        all_are_open(store)
    })
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
