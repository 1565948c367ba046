//! `tx`: transactions that have no end.

use annals::stats::{ReaderTransactionState, ReaderTransactionStats};
use annals::{AbortOutcome, Error, Store};
use clap::{Args, Subcommand};

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};
use crate::open::{directory, require_store, with_all_topics, with_store};
use crate::show::{Escaped, List, Object, Screen, Table, count};

/// Show transactions that have no end, and abort what a process has left
///
/// Readers of committed records wait at the first record of a transaction that is Ongoing.
///
/// Examples:
///   annals tx list
///   annals tx abort import
#[derive(Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum Verb {
    List(Open),
    Abort(Abort),
}

/// List transactions of which some is written, and whose ends are not: name, producer, state, age, and where.
///
/// Works beside the process that writes, whose transactions are Ongoing, or PrepareCommit and PrepareAbort for a second after they are
/// decided. In a store that nobody has open these are what its last process has left: the next open for writing ends them, as the state says.
/// A name is written with the first decision under it; until then it is a dash, and --producer-id names the transaction.
///
/// Example: annals tx list
#[derive(Debug, Args)]
#[command(name = "list")]
pub(crate) struct Open {}

/// Abort a transaction that a process has left, in a store that nobody has open
///
/// To open the store to write ends all that was left, this one among them; this verb says what it was, and that it is over. Beside the process that
/// writes it is refused: that one can abort it, by `Store::abort_transaction` or by beginning another under the same name, and does so after its
/// timeout, a minute if nobody says otherwise.
///
/// Examples:
///   annals tx abort import
///   annals tx abort --producer-id 4130552771925463001
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Abort {
    /// Its name.
    #[arg(required_unless_present = "producer_id", conflicts_with = "producer_id")]
    name: Option<String>,
    /// The id that its batches bear: that of the list, for one without a name there.
    #[arg(long, value_name = "ID")]
    producer_id: Option<i64>,
}

pub(crate) fn run(verb: &Verb, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    match verb {
        Verb::List(Open {}) => with_all_topics(arguments, |store| list(&store.open_transactions()?, screen)),
        Verb::Abort(options) => match abort(options, arguments, screen) {
            Err(Failure::Store(error @ (Error::StoreLocked { .. } | Error::StoreInUse { .. }))) => {
                let instead = "that process ends it: when its timeout is over, where another is begun under its name, or by `Store::abort_transaction`";
                Err(Failure::Instead(Box::new(error), instead.to_owned()))
            }
            outcome => outcome,
        },
    }
}

fn list(open: &[ReaderTransactionStats], screen: &mut Screen) -> Outcome {
    if screen.json {
        return open.iter().try_for_each(|one| screen.object(&object("transaction", one)));
    }
    let mut table = Table::new(&[
        "NAME",
        ">PRODUCER-ID",
        ">EPOCH",
        "STATE",
        ">AGE-MS",
        "TOPIC",
        ">PARTITION",
        ">FIRST-OFFSET",
    ]);
    for one in open {
        for (place, first) in &one.partitions {
            table.row([
                shown(one),
                one.producer_id.to_string(),
                one.producer_epoch.to_string(),
                one.state.to_string(),
                one.age.as_millis().to_string(),
                place.topic().to_owned(),
                place.partition().to_string(),
                first.to_string(),
            ]);
        }
    }
    screen.table(&table)
}

fn shown(one: &ReaderTransactionStats) -> String {
    one.name.as_ref().map_or_else(|| "-".to_owned(), |name| Escaped(name.as_bytes()).to_string())
}

fn object(kind: &str, one: &ReaderTransactionStats) -> Object {
    let partitions = List::of(&one.partitions, |(place, first)| {
        let object = Object::inner().text("topic", place.topic()).number("partition", place.partition());
        object.number("first_offset", first)
    });
    Object::new(kind)
        .maybe_text("name", one.name.as_deref())
        .number("producer_id", one.producer_id)
        .number("producer_epoch", one.producer_epoch)
        .text("state", &one.state.to_string())
        .number("age_milliseconds", one.age.as_millis())
        .list("partitions", partitions)
}

fn abort(options: &Abort, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    let path = directory(arguments)?;
    require_store(&path)?;
    let Abort { name, producer_id } = options;
    let is_meant = |one: &&ReaderTransactionStats| match producer_id {
        Some(id) => one.producer_id == *id,
        None => one.name == *name,
    };
    let open = Store::open_read_only(&path)?.open_transactions()?;
    let meant: Vec<_> = open.iter().filter(is_meant).collect();
    if meant.is_empty() {
        return Err(Failure::Missing(
            "no such transaction is without an end: `annals tx list` prints those there are".to_owned(),
        ));
    }
    if meant.iter().any(|one| one.state == ReaderTransactionState::PrepareCommit) {
        let why = "it is committed, and the next open for writing puts its ends into the log";
        return Err(Failure::Conflict(why.to_owned()));
    }
    // The open has ended what was left, but what rests on a topic that cannot be opened.
    with_store(arguments, |store| {
        meant.iter().try_for_each(|one| {
            match store.abort_transaction(one.producer_id, one.producer_epoch)? {
                AbortOutcome::Aborted | AbortOutcome::Over => Ok(()),
                _ => {
                    let why = "nobody can decide it before a topic that it has written to can be opened: `annals verify` tells more";
                    Err(Failure::Conflict(why.to_owned()))
                }
            }
        })
    })?;
    for one in meant {
        let line = format!(
            "Aborted the transaction {} of producer {}, in {}.",
            shown(one),
            one.producer_id,
            count(one.partitions.len(), "partition")
        );
        screen.either(|| object("aborted", one), format_args!("{line}"))?;
    }
    Ok(())
}
