//! The verbs, one a file.

pub(crate) mod adopt;
pub(crate) mod backup;
pub(crate) mod compact;
pub(crate) mod completions;
pub(crate) mod consume;
pub(crate) mod delete_records;
pub(crate) mod dump;
mod dump_objects;
pub(crate) mod erase;
mod figures;
pub(crate) mod groups;
mod input;
mod line;
pub(crate) mod lines;
mod look;
pub(crate) mod mirror;
mod new_file;
mod partition_dirs;
pub(crate) mod plan;
mod printer;
pub(crate) mod produce;
pub(crate) mod queue;
mod queue_take;
pub(crate) mod repair;
mod reset;
pub(crate) mod retention;
mod single;
pub(crate) mod stats;
pub(crate) mod top;
pub(crate) mod topics;
pub(crate) mod tx;
pub(crate) mod verify;

use crate::arguments::{Arguments, Verb};
use crate::failure::Outcome;
use crate::show::Screen;

/// Does what was asked for.
pub(crate) fn run(arguments: &Arguments, screen: &mut Screen) -> Outcome {
    match &arguments.verb {
        Verb::Topics(verb) => topics::run(verb, arguments, screen),
        Verb::Produce(options) => produce::run(options, arguments, screen),
        Verb::Consume(options) => consume::run(options, arguments, screen),
        Verb::Groups(verb) => groups::run(verb, arguments, screen),
        Verb::Queue(verb) => queue::run(verb, arguments, screen),
        Verb::Tx(verb) => tx::run(verb, arguments, screen),
        Verb::Stats(options) => stats::run(options, arguments, screen),
        Verb::Top(options) => top::run(options, arguments, screen),
        Verb::Plan(options) => plan::run(options, arguments, screen),
        Verb::Dump(options) => dump::run(options, screen),
        Verb::Verify(options) => verify::run(options, arguments, screen),
        Verb::Repair(options) => repair::run(options, arguments, screen),
        Verb::Compact(options) => compact::run(options, arguments, screen),
        Verb::Retention(options) => retention::run(options, arguments, screen),
        Verb::Erase(options) => erase::run(options, arguments, screen),
        Verb::DeleteRecords(options) => delete_records::run(options, arguments, screen),
        Verb::Backup(options) => backup::run(options, arguments, screen),
        Verb::Restore(options) => backup::restore(options, arguments, screen),
        Verb::Export(options) => lines::export(options, arguments, screen),
        Verb::Import(options) => lines::import(options, arguments, screen),
        Verb::Adopt(options) => adopt::run(options, arguments, screen),
        Verb::Mirror(options) => mirror::run(options, arguments),
        Verb::Completions(options) => completions::run(options, screen),
        Verb::Manual => completions::manual(screen),
    }
}
