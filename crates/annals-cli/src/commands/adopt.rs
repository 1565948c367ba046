//! `adopt`: a topic made of the files of another log.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use annals::{AdoptedPartition, LogSource, Offset, Store};
use clap::Args;

use crate::arguments::Arguments;
use crate::commands::partition_dirs::in_order;
use crate::commands::topics::{config, setting};
use crate::failure::{Failure, Outcome};
use crate::open::with_made_store;
use crate::show::{Object, Screen, count};

/// Make a topic of the files of a Kafka broker that is stopped, or of a copy of another store. Offsets are kept.
///
/// A directory's name says which partition it is: `orders-10` is number 10, whatever stands before it, so a shell may list them.
///
/// Where a partition starts is read from the broker's log-start-offset-checkpoint beside the directory, if there is one.
///
/// Example: annals adopt --topic orders /var/kafka/orders-*
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The name of the new topic.
    #[arg(long, short, value_name = "NAME")]
    topic: String,
    /// One directory for each partition: NAME-0, NAME-1 and so on, all of them.
    #[arg(required = true, value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// Number the partitions as the directories are given, whatever their names.
    #[arg(long)]
    as_given: bool,
    /// A setting by Kafka's name.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    config: Vec<(String, String)>,
    /// Share the files instead of copying them: nobody may write them afterwards.
    #[arg(long, conflicts_with = "reflink")]
    hard_link: bool,
    /// Share the blocks of the files, where the file system can.
    #[arg(long)]
    reflink: bool,
}

pub(crate) fn run(options: &Options, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    let directories =
        if options.as_given { options.directories.clone() } else { in_order(&options.directories)? };
    with_made_store(arguments, screen, |store, screen| adopt(options, &directories, store, screen))
}

fn adopt(options: &Options, directories: &[PathBuf], store: &Store, screen: &mut Screen) -> Outcome {
    let source = |directory: &PathBuf| -> Outcome<LogSource> {
        let source = LogSource::new(directory);
        let source = match kafka_start(directory)? {
            Some(start) => source.start(start),
            None => source,
        };
        Ok(match (options.hard_link, options.reflink) {
            (true, _) => source.hard_linked(),
            (false, true) => source.reflinked(),
            (false, false) => source,
        })
    };
    let sources = directories.iter().map(source).collect::<Outcome<Vec<_>>>()?;
    let adopted = store.adopt_topic(&options.topic, config(&options.config), sources)?;
    for (number, partition) in adopted.partitions.iter().enumerate() {
        let AdoptedPartition { source, start, end, records, bytes, segments, torn, aborted, .. } = partition;
        if screen.json {
            screen.object(&object(&options.topic, number, partition))?;
            continue;
        }
        screen.line(format_args!(
            "{}: offsets {start} to {end}, {}, {bytes} bytes in {}",
            source.display(),
            count(records, "record"),
            count(segments, "segment"),
        ))?;
        if *aborted > 0 {
            screen.line(format_args!("  aborted: {}", count(aborted, "transaction without an end")))?;
        }
        if let Some(torn) = torn {
            screen.line(format_args!("  left out: {torn}"))?;
        }
    }
    Ok(())
}

fn object(topic: &str, number: usize, partition: &AdoptedPartition) -> Object {
    Object::new("adopted")
        .text("topic", topic)
        .number("partition", number)
        .text("source", &partition.source.to_string_lossy())
        .number("start", partition.start)
        .number("end", partition.end)
        .number("records", partition.records)
        .number("bytes", partition.bytes)
        .number("segments", partition.segments)
        .number("copied_bytes", partition.copied_bytes)
        .number("aborted", partition.aborted)
        .maybe_text("torn", partition.torn.as_ref().map(ToString::to_string).as_deref())
}

/// What a broker notes beside the directories of its partitions: lines of topic, partition and offset, after two others.
/// One that is there and cannot be read is an error: without it records would be there again that were deleted.
fn kafka_start(directory: &Path) -> Outcome<Option<Offset>> {
    // Also of `.`, which has neither a name nor a directory that it is in.
    let real = directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf());
    let (Some(above), Some(name)) = (real.parent(), real.file_name().and_then(|name| name.to_str())) else {
        return Ok(None);
    };
    let Some((topic, partition)) = name.rsplit_once('-') else { return Ok(None) };
    let checkpoint = above.join("log-start-offset-checkpoint");
    let text = match std::fs::read_to_string(&checkpoint) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| Failure::at("read", &checkpoint, error))?,
    };
    let begin = format!("{topic} {partition} ");
    let Some(start) = text.lines().find_map(|line| line.strip_prefix(&begin)) else { return Ok(None) };
    let wrong = || Failure::Conflict(format!("{}: {start:?} is no offset", checkpoint.display()));
    start.trim().parse().map(Some).map_err(|_| wrong())
}
