//! `export` and `import`: topics as files of JSON lines.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use annals::{Error, Offset, PartitionView, TopicView};
use clap::Args;

use crate::arguments::Arguments;
use crate::commands::figures::refuse_writes;
use crate::commands::input::Lines;
use crate::commands::new_file::NewFile;
use crate::commands::printer::record_object;
use crate::failure::{Failure, Outcome, both, of_output};
use crate::interrupt;
use crate::open::{with_reader, with_store};
use crate::progress::{Progress, Unit};
use crate::show::{Object, Screen, count};

/// Write the committed records of a topic, up to the end that it has now, into a file of JSON lines, as `consume --json` prints them.
///
/// Example: annals export --topic orders --to orders.jsonl
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The topic.
    #[arg(long, short, value_name = "NAME")]
    topic: String,
    /// The file; `-` is standard output. What stood there is replaced when all is written, and stays after a failure or Ctrl-C.
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
    /// Place records by their keys instead; one without a key by that number modulo those that there are.
    #[arg(long)]
    by_key: bool,
}

pub(crate) fn export(options: &Export, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    with_reader(arguments, |store| {
        let topic = store.topic(&options.topic)?;
        if is_standard_output(&options.to) {
            // Nothing else goes there: it would be a line of the file.
            return write_all(&topic, screen.out(), &of_output).map(drop);
        }
        if is_in(&options.to, store.path()) {
            let words = "an export must not lie in the store, where it may take the place of its files";
            return Err(Failure::Usage(format!("{}: {words}", options.to.display())));
        }
        let records = export_to(&options.to, &topic)?;
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

/// Whether the file is or will be in the directory. What cannot be found cannot be written either.
fn is_in(file: &Path, directory: &Path) -> bool {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let place = file.canonicalize().or_else(|_| parent.canonicalize());
    place
        .ok()
        .zip(directory.canonicalize().ok())
        .is_some_and(|(place, directory)| place.starts_with(directory))
}

fn is_standard_output(path: &Path) -> bool {
    path == Path::new("-") || path == Path::new("/dev/stdout")
}

/// An export that is told of is on the disk, where it is a file.
fn export_to(path: &Path, topic: &TopicView) -> Outcome<u64> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::at("write", path, error),
    };
    match std::fs::metadata(path) {
        Ok(facts) if facts.is_dir() => Err(Failure::Usage(format!("{} is a directory", path.display()))),
        // A pipe, or a device.
        Ok(facts) if !facts.is_file() => {
            let file = OpenOptions::new().write(true).open(path);
            let mut to = BufWriter::new(file.map_err(|error| Failure::at("open", path, error))?);
            let records = write_all(topic, &mut to, &failed)?;
            to.flush().map_err(failed)?;
            Ok(records)
        }
        _ => {
            let mut file = NewFile::at(path)?;
            let records = write_all(topic, file.writer(), &failed)?;
            file.put_in_place()?;
            Ok(records)
        }
    }
}

fn write_all(topic: &TopicView, to: &mut impl Write, failed: &dyn Fn(io::Error) -> Failure) -> Outcome<u64> {
    let partitions = topic.partitions();
    let offsets = |from: Offset, to: Offset| u64::try_from(to.saturating_sub(from)).unwrap_or(0);
    // What comes meanwhile is not in it: beside a process that writes all the time it would have no end.
    let ends: Vec<_> = partitions.iter().map(PartitionView::end).collect();
    let all = partitions.iter().zip(&ends).map(|(one, end)| offsets(one.start(), *end)).sum();
    let mut progress = Progress::new(Some(all), Unit::Offsets);
    let (mut records, mut passed) = (0, 0);
    for (partition, end) in partitions.iter().zip(ends) {
        let start = partition.start();
        let mut reader = partition.read(..end)?;
        loop {
            interrupt::check()?;
            let fetched = reader.fetch()?;
            if fetched.is_empty() {
                break;
            }
            for record in &fetched {
                writeln!(to, "{}", record_object(record)).map_err(failed)?;
                records += 1;
            }
            progress.at(passed + offsets(start, reader.position()));
        }
        passed += offsets(start, reader.position());
    }
    Ok(records)
}

/// Input that shows how far it was read.
struct Watched {
    lines: Lines,
    progress: Progress,
}

impl Read for Watched {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.lines.read(to)?;
        self.progress.at(self.lines.read_bytes);
        Ok(read)
    }
}

pub(crate) fn import(options: &Import, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    refuse_writes(&options.topic)?;
    let lines = Lines::open(Some(&options.from))?;
    let progress = Progress::new(lines.total_bytes, Unit::Bytes);
    let mut lines = BufReader::with_capacity(256 << 10, Watched { lines, progress });
    with_store(arguments, |store| {
        let topic = store.topic(&options.topic)?;
        let from: &mut dyn BufRead = &mut lines;
        let imported = if options.by_key { topic.import_by_key(from) } else { topic.import(from) };
        let (records, outcome) = match imported {
            Ok(records) => (records, Ok(())),
            Err(Error::Import { records, .. }) if interrupt::is_asked() => {
                (records, Err(Failure::Interrupted))
            }
            Err(_) if interrupt::is_asked() => return Err(Failure::Interrupted),
            Err(error) => return Err(error.into()),
        };
        let object = || Object::new("imported").text("topic", &options.topic).number("records", records);
        let words = format!("Imported {} into {}.", count(records, "record"), options.topic);
        both(screen.either(object, words), outcome)
    })
}
