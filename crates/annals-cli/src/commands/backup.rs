//! `backup` and `restore`: a copy of a store, and a store of a copy.

use std::ops::ControlFlow;
use std::path::PathBuf;

use annals::Error;
use annals::backup::{BackedUp, BackupProgress, RestoreOptions};
use clap::Args;

use crate::arguments::Arguments;
use crate::commands::figures::is_internal;
use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::open::{directory, open_backup, with_store};
use crate::progress::{Progress, Unit};
use crate::show::{List, Object, Screen, count};
use crate::sizes::parse_bytes;

/// Make a backup: one moment of all partitions, groups and transactions, by links where that can be.
///
/// Damage that is in the store goes into it unseen: most of it is linked or copied without a look at its batches. --verify reads all of it
/// back, `annals verify` says what the store has.
///
/// Example: annals backup --to /backup/tuesday --parent /backup/monday --verify
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where to; a directory that is not there, or empty.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// An earlier backup of the same store: what has not changed since is linked from there.
    #[arg(long, value_name = "DIR")]
    parent: Option<PathBuf>,
    /// Link nothing: the backup shares no file with the store.
    #[arg(long)]
    independent: bool,
    /// Leave out this topic.
    #[arg(long, value_name = "TOPIC")]
    leave_out: Vec<String>,
    /// Copy at most so many bytes in a second, as `50MiB`.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    max_rate: Option<u64>,
    /// Read all of it back.
    #[arg(long)]
    verify: bool,
}

/// Make a store, in the directory that --store names, of a backup.
///
/// That its files are those that were backed up is checked, every byte of them by `annals verify --backup` alone.
///
/// Example: annals restore --from /backup/tuesday --store /srv/shop-log
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Link nothing: the store shares no file with the backup.
    #[arg(long)]
    independent: bool,
    /// The store keeps its identity: only when the one that was backed up is gone.
    #[arg(long)]
    same_identity: bool,
    /// Copy at most so many bytes in a second, as `50MiB`.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    max_rate: Option<u64>,
}

pub(crate) fn run(options: &Options, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    with_store(arguments, |store| {
        for topic in options.leave_out.iter().filter(|topic| !is_internal(topic)) {
            // One that cannot be opened is what this is for.
            if let Err(unknown @ Error::UnknownTopic { .. }) = store.topic(topic) {
                return Err(unknown.into());
            }
        }
        let mut progress = Progress::new(Some(0), Unit::Bytes);
        let mut builder = store.backup_builder().leave_out(options.leave_out.iter().cloned());
        if let Some(parent) = &options.parent {
            builder = builder.parent(parent);
        }
        if options.independent {
            builder = builder.independent();
        }
        if let Some(rate) = options.max_rate {
            builder = builder.max_bytes_per_second(rate);
        }
        if options.verify {
            builder = builder.verify();
        }
        let report = builder.progress(|so_far: &BackupProgress| {
            progress.of(so_far.total_bytes);
            progress.at(so_far.bytes);
            if interrupt::is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let report = report.run(&options.to).map_err(interrupted)?;
        partitions(&report.partitions, screen)?;
        let object = || {
            Object::new("backup")
                .text("path", &report.path.to_string_lossy())
                .number("time", report.time)
                .number("partitions", report.partitions.len())
                .number("segments", report.segments)
                .number("bytes", report.bytes)
                .number("copied_bytes", report.copied_bytes)
                .list("deleted", List::of_texts(&report.deleted))
        };
        screen.either(
            object,
            format_args!(
                "Backed up {}, {}, {} bytes, of which {} were copied, to {}.",
                count(report.partitions.len(), "partition"),
                count(report.segments, "segment"),
                report.bytes,
                report.copied_bytes,
                report.path.display(),
            ),
        )
    })
}

/// The user's own wish is no failure of the library.
fn interrupted(error: Error) -> Failure {
    match error {
        Error::Cancelled { .. } if interrupt::is_asked() => Failure::Interrupted,
        other => other.into(),
    }
}

/// For programs alone: people have `topics describe`.
fn partitions(all: &[BackedUp], screen: &mut Screen) -> Outcome {
    if !screen.json {
        return Ok(());
    }
    all.iter().try_for_each(|one| {
        screen.object(
            &Object::new("backed_up")
                .text("topic", one.topic_partition.topic())
                .number("partition", one.topic_partition.partition())
                .number("start", one.start)
                .number("end", one.end),
        )
    })
}

pub(crate) fn restore(options: &Restore, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    let target = directory(arguments)?;
    let mut how = RestoreOptions::new();
    if options.independent {
        how = how.independent();
    }
    if options.same_identity {
        how = how.same_identity();
    }
    if let Some(rate) = options.max_rate {
        how = how.max_bytes_per_second(rate);
    }
    let mut progress = Progress::new(Some(0), Unit::Bytes);
    let each = |so_far: &BackupProgress| {
        progress.of(so_far.total_bytes);
        progress.at(so_far.bytes);
        if interrupt::is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let report = open_backup(&options.from)?.restore_with(target, how, each).map_err(interrupted)?;
    drop(progress);
    partitions(&report.partitions, screen)?;
    let object = || {
        Object::new("restored")
            .text("path", &report.path.to_string_lossy())
            .number("partitions", report.partitions.len())
            .number("bytes", report.bytes)
            .number("copied_bytes", report.copied_bytes)
    };
    screen.either(
        object,
        format_args!(
            "Restored {}, {} bytes, of which {} were copied, in {}.",
            count(report.partitions.len(), "partition"),
            report.bytes,
            report.copied_bytes,
            report.path.display(),
        ),
    )
}
