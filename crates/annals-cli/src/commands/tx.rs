//! `tx`: transactions.

use clap::{Args, Subcommand};

use crate::arguments::Arguments;
use crate::commands::figures::{transaction_object, transaction_table};
use crate::failure::Outcome;
use crate::open::{Access, with_store};
use crate::show::Screen;

/// Look at transactions that are not decided.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    List(List),
}

/// List transactions of which some is written and nothing is decided.
///
/// Opening a store decides what a process left behind, so that there are none in a store that is not in use.
///
/// Example: annals tx list
#[derive(Debug, Args)]
pub(crate) struct List {}

pub(crate) fn run(verb: &Verb, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    let Verb::List(List {}) = verb;
    with_store(arguments, Access::Read, |store| {
        let open = store.stats()?.open_transactions;
        if screen.json {
            return open.iter().try_for_each(|one| screen.object(&transaction_object(one)));
        }
        screen.table(&transaction_table(&open))
    })
}
