//! `verify`: every byte of a store that is not open.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use annals::Store;
use annals::report::{Damage, TornTail, VerifyReport};
use clap::Args;

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::open::{directory, newer_is_left_alone, open_backup, require_files};
use crate::progress::{Progress, Unit};
use crate::show::{Object, Screen, count};

/// Check every batch, checksum and record of a store that is not open anywhere, or of a backup. Changes nothing.
///
/// Example: annals verify --backup /backup/tuesday
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A backup; without it the store.
    #[arg(long, value_name = "DIR")]
    backup: Option<PathBuf>,
}

pub(crate) fn run(options: &Options, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    let path = match &options.backup {
        Some(path) => path.clone(),
        None => directory(arguments)?,
    };
    let mut progress = Progress::new(bytes_of_logs(&path), Unit::Bytes);
    let each = |so_far: &VerifyReport| {
        progress.at(so_far.bytes);
        match so_far.findings.len() {
            0 => {}
            findings => progress.say(count(findings, "finding")),
        }
        if interrupt::is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let found = if options.backup.is_some() {
        open_backup(&path)?.verify(each)?
    } else {
        require_files(&path)?;
        Store::builder(&path).verify(each)?
    };
    drop(progress);
    if found.partitions == 0 && !found.is_sound() && options.backup.is_none() {
        newer_is_left_alone(&path)?;
    }
    let is_complete = !interrupt::is_asked();
    for damage in &found.findings {
        screen.either(|| damage_object("damage", damage), line_of("damage", damage))?;
    }
    for torn in &found.torn {
        let line =
            format!("torn tail: {} bytes of {} from byte {}", torn.bytes, torn.path.display(), torn.position);
        screen.either(|| torn_object(torn), line)?;
    }
    for index in &found.stale_indexes {
        let object = || Object::new("stale_index").text("path", &index.to_string_lossy());
        screen.either(object, format_args!("indexes to be rebuilt: {}", index.display()))?;
    }
    summary(&found, is_complete, screen)?;
    match (found.is_sound(), is_complete) {
        (true, true) => Ok(()),
        (_, false) => Err(Failure::Interrupted),
        (false, true) => Err(Failure::Found("it is damaged".to_owned())),
    }
}

/// The bytes of all `.log` files; `None` when they cannot be listed, which the check itself will say better.
fn bytes_of_logs(path: &Path) -> Option<u64> {
    let mut bytes = 0;
    for partition in std::fs::read_dir(path).ok()?.flatten() {
        for file in std::fs::read_dir(partition.path()).into_iter().flatten().flatten() {
            if file.path().extension().is_some_and(|extension| extension == "log") {
                bytes += file.metadata().map_or(0, |facts| facts.len());
            }
        }
    }
    Some(bytes)
}

fn summary(found: &VerifyReport, is_complete: bool, screen: &mut Screen) -> Outcome {
    let VerifyReport { partitions, segments, batches, records, bytes, .. } = found;
    let object = || {
        Object::new("verified")
            .number("partitions", partitions)
            .number("segments", segments)
            .number("batches", batches)
            .number("records", records)
            .number("bytes", bytes)
            .number("findings", found.findings.len())
            .truth("sound", found.is_sound())
            .truth("complete", is_complete)
    };
    let words = match (found.is_sound(), is_complete) {
        (true, true) => "sound",
        (true, false) => "sound so far",
        (false, _) => "damaged",
    };
    screen.either(
        object,
        format_args!(
            "{}, {}, {}, {}, {bytes} bytes: {words}",
            count(partitions, "partition"),
            count(segments, "segment"),
            count(batches, "batch"),
            count(records, "record"),
        ),
    )
}

pub(super) fn line_of(kind: &str, damage: &Damage) -> String {
    let offset = damage.offset.map(|offset| format!(", offset {offset}")).unwrap_or_default();
    format!("{kind}: {} at byte {}{offset}: {}", damage.path.display(), damage.position, damage.reason)
}

pub(super) fn damage_object(kind: &str, damage: &Damage) -> Object {
    Object::new(kind)
        .text("path", &damage.path.to_string_lossy())
        .number("position", damage.position)
        .maybe_number("offset", damage.offset)
        .text("reason", &damage.reason)
}

fn torn_object(torn: &TornTail) -> Object {
    Object::new("torn")
        .text("path", &torn.path.to_string_lossy())
        .number("position", torn.position)
        .number("bytes", torn.bytes)
        .text("reason", &torn.reason)
}
