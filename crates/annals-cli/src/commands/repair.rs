//! `repair`: what cannot be read goes, after it was copied away.

use std::path::PathBuf;

use annals::report::Repair;
use annals::{Offset, Store};
use clap::Args;

use crate::arguments::Arguments;
use crate::commands::verify::{damage_object, line_of};
use crate::failure::{Failure, Outcome};
use crate::open::{directory, newer_is_left_alone, require_files};
use crate::show::{Object, Screen, count};

/// Take out of a store, which is not open anywhere, what cannot be read. What goes is copied away first.
///
/// Look first, with `annals verify`. A store in which that finds nothing stays as it is.
///
/// Example: annals repair --copies /srv/taken-out
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where to copy what is taken out; outside the store.
    #[arg(long, value_name = "DIR")]
    copies: PathBuf,
}

pub(crate) fn run(options: &Options, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    let path = directory(arguments)?;
    require_files(&path)?;
    let report = Store::builder(&path).repair(&options.copies)?;
    if report.partitions == 0 && !report.refused.is_empty() {
        newer_is_left_alone(&path)?;
    }
    for repair in &report.repairs {
        if screen.json {
            screen.object(&object(repair))?;
            continue;
        }
        let bytes = repair.position.end.saturating_sub(repair.position.start);
        screen.line(format_args!(
            "{} from byte {}: {}",
            repair.path.display(),
            repair.position.start,
            repair.reason
        ))?;
        match (repair.lost.is_empty(), repair.lost.end) {
            (true, _) => screen.line("  no record is lost")?,
            (false, Offset::MAX) => {
                screen.line(format_args!("  lost: offsets from {} on", repair.lost.start))?
            }
            (false, end) => screen.line(format_args!("  lost: offsets {}..{end}", repair.lost.start))?,
        }
        if let Some(copy) = &repair.copy {
            screen.line(format_args!("  {bytes} bytes are in {}", copy.display()))?;
        }
    }
    for index in &report.rebuilt_indexes {
        let object = || Object::new("rebuilt_index").text("path", &index.to_string_lossy());
        screen.either(object, format_args!("{}: indexes rebuilt", index.display()))?;
    }
    for refused in &report.refused {
        screen.either(|| damage_object("refused", refused), line_of("left as it is", refused))?;
    }
    let (partitions, repairs, refused) = (report.partitions, report.repairs.len(), report.refused.len());
    let object = || {
        let object = Object::new("repaired").number("partitions", partitions);
        object.number("repairs", repairs).number("refused", refused)
    };
    screen
        .either(object, format_args!("{}, {}", count(partitions, "partition"), count(repairs, "repair")))?;
    if refused > 0 {
        return Err(Failure::Found(format!("{} left as it was", count(refused, "file"))));
    }
    Ok(())
}

fn object(repair: &Repair) -> Object {
    let is_lost = !repair.lost.is_empty();
    Object::new("repair")
        .text("path", &repair.path.to_string_lossy())
        .number("from", repair.position.start)
        .number("to", repair.position.end)
        .maybe_number("lost_from", is_lost.then_some(repair.lost.start))
        .maybe_number("lost_to", Some(repair.lost.end).filter(|end| is_lost && *end != Offset::MAX))
        .text("reason", &repair.reason)
        .maybe_text("copy", repair.copy.as_ref().map(|path| path.to_string_lossy()).as_deref())
}
