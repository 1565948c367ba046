//! `export` and `import`: topics as files of JSON lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;

use clap::Args;

use crate::arguments::Arguments;
use crate::commands::printer::record_object;
use crate::failure::{Failure, Outcome, open_file};
use crate::interrupt;
use crate::open::{Access, with_reader, with_store};
use crate::progress::{Progress, Unit};
use crate::show::{Object, Screen, count};

/// Write the committed records of a topic into a file of JSON lines, as `consume --json` prints them.
///
/// Example: annals export --topic orders --to orders.jsonl
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The topic.
    #[arg(long, short, value_name = "NAME")]
    topic: String,
    /// The file, which is made anew.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// Append the records of a file of JSON lines to a topic, each to the partition that its line names.
///
/// Lines without a fault before one that has one are appended; the fault names its line.
///
/// Example: annals import --topic orders --from orders.jsonl --by-key
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The topic.
    #[arg(long, short, value_name = "NAME")]
    topic: String,
    /// The file.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Place records by their keys instead.
    #[arg(long)]
    by_key: bool,
}

pub(crate) fn export(options: &Export, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    with_reader(arguments, |store| {
        let topic = store.topic(&options.topic)?;
        let failed = |error| Failure::at("write", &options.to, error);
        let file = File::create(&options.to).map_err(|error| Failure::at("make", &options.to, error))?;
        let mut to = BufWriter::with_capacity(256 << 10, file);
        let partitions = topic.partitions();
        let mut progress = Progress::new(Some(partitions.iter().map(|one| one.bytes()).sum()), Unit::Bytes);
        let (mut records, mut bytes) = (0_u64, 0_u64);
        for partition in partitions {
            let mut reader = partition.read(..)?;
            loop {
                interrupt::check()?;
                let fetched = reader.fetch()?;
                if fetched.is_empty() {
                    break;
                }
                for record in &fetched {
                    let line = record_object(record).to_string();
                    bytes += line.len() as u64;
                    writeln!(to, "{line}").map_err(failed)?;
                    records += 1;
                }
                progress.at(bytes);
            }
        }
        let file = to.into_inner().map_err(|error| failed(error.into_error()))?;
        // An export that is told of is on the disk.
        file.sync_all().map_err(failed)?;
        let path = options.to.display();
        let object = || {
            let object = Object::new("exported").text("topic", &options.topic);
            object.number("records", records).text("path", &path.to_string())
        };
        screen.either(
            object,
            format_args!("Exported {} of {} to {path}.", count(records, "record"), options.topic),
        )
    })
}

/// A file that shows how far it was read, and ends with Ctrl-C.
struct Watched {
    file: File,
    progress: Progress,
    read: u64,
}

impl Read for Watched {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if interrupt::is_asked() {
            return Err(io::Error::other("interrupted"));
        }
        let read = self.file.read(to)?;
        self.read += read as u64;
        self.progress.at(self.read);
        Ok(read)
    }
}

pub(crate) fn import(options: &Import, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    let file = open_file(&options.from)?;
    let total = file.metadata().ok().map(|facts| facts.len());
    let watched = Watched { file, progress: Progress::new(total, Unit::Bytes), read: 0 };
    let mut lines = BufReader::with_capacity(256 << 10, watched);
    with_store(arguments, Access::Write, |store| {
        let topic = store.topic(&options.topic)?;
        let from: &mut dyn BufRead = &mut lines;
        let imported = if options.by_key { topic.import_by_key(from) } else { topic.import(from) };
        let records = match imported {
            Err(_) if interrupt::is_asked() => return Err(Failure::Interrupted),
            outcome => outcome?,
        };
        let object = || Object::new("imported").text("topic", &options.topic).number("records", records);
        screen.either(object, format_args!("Imported {} into {}.", count(records, "record"), options.topic))
    })
}
