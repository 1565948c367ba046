//! `erase`: every record of a key.

use clap::Args;

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};
use crate::open::with_store;
use crate::show::{Object, Screen, count, unhex};

/// Take every record of a key out of the files of a topic, of what is scheduled for it, and of the dead letters of its queues.
///
/// Backups and other copies are not reached.
///
/// Example: annals erase --topic orders --key alice
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The topic.
    #[arg(long, short, value_name = "NAME")]
    topic: String,
    /// The key.
    #[arg(long, short, required_unless_present = "key_hex")]
    key: Option<String>,
    /// The key in hexadecimal.
    #[arg(long, value_name = "DIGITS", conflicts_with = "key")]
    key_hex: Option<String>,
}

pub(crate) fn run(options: &Options, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    let key = match (&options.key, &options.key_hex) {
        (Some(key), _) => key.clone().into_bytes(),
        (None, digits) => {
            let digits = digits.as_deref().unwrap_or_default();
            let wrong = || Failure::Usage(format!("{digits:?} is not pairs of hexadecimal digits"));
            unhex(digits.as_bytes()).ok_or_else(wrong)?
        }
    };
    with_store(arguments, |store| {
        let reports = store.erase(&options.topic, &key)?;
        if screen.json {
            return reports.iter().try_for_each(|report| {
                screen.object(
                    &Object::new("erased")
                        .text("topic", report.topic_partition.topic())
                        .number("partition", report.topic_partition.partition())
                        .number("records", report.records)
                        .number("segments", report.segments)
                        .number("bytes", report.bytes),
                )
            });
        }
        let records: u64 = reports.iter().map(|report| report.records).sum();
        screen.line(format_args!("Erased {} of the key from {}.", count(records, "record"), options.topic))
    })
}
