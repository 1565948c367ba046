//! `delete-records`: everything below an offset.

use annals::Offset;
use clap::Args;

use crate::arguments::Arguments;
use crate::failure::Outcome;
use crate::open::with_store;
use crate::show::{Object, Screen};

/// Delete the records of a partition below an offset.
///
/// Example: annals delete-records --topic orders --partition 0 --offset 1000
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The topic.
    #[arg(long, short, value_name = "NAME")]
    topic: String,
    /// The partition.
    #[arg(long, short, value_name = "N")]
    partition: u32,
    /// The first offset that stays; -1 for the end, which leaves none.
    #[arg(long, short, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1..))]
    offset: Offset,
}

pub(crate) fn run(options: &Options, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    with_store(arguments, |store| {
        let partition = store.topic(&options.topic)?.partition(options.partition)?;
        let offset = if options.offset < 0 { partition.end() } else { options.offset };
        let report = partition.delete_records(offset)?;
        let object = || {
            Object::new("deleted_records")
                .text("topic", &options.topic)
                .number("partition", options.partition)
                .number("start", report.start)
                .number("segments", report.segments)
                .number("bytes", report.bytes)
        };
        let place = partition.topic_partition();
        screen.either(
            object,
            format_args!("{place} begins at offset {}; {} bytes were freed.", report.start, report.bytes),
        )
    })
}
