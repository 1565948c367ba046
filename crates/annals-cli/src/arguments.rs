//! What may be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::commands::{
    adopt, backup, compact, completions, consume, delete_records, dump, erase, groups, lines, mirror, plan,
    produce, queue, repair, retention, stats, top, topics, tx, verify,
};

/// See, feed, mend and watch a store of annals, an embedded event log with Kafka's model and Kafka's files.
///
/// Exit status: 0 done; 1 something was found; 2 wrong options; 3 not there; 4 in the way; 5 another process has the store;
/// 6 damaged; 7 refused by the system; 8 disk full; 9 a newer version's; 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "annals", version, max_term_width = 100, propagate_version = true)]
pub(crate) struct Arguments {
    /// The store's directory.
    #[arg(
        long,
        short = 's',
        global = true,
        help_heading = "Options of every verb",
        env = "ANNALS_STORE",
        value_name = "DIR"
    )]
    pub(crate) store: Option<PathBuf>,

    /// Print JSON, one object a line, for programs.
    #[arg(long, global = true, help_heading = "Options of every verb")]
    pub(crate) json: bool,

    /// When to use colour.
    #[arg(long, global = true, help_heading = "Options of every verb", value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

/// What is named twice is meant once.
pub(crate) fn once<T: Clone + PartialEq>(named: &[T]) -> Vec<T> {
    let mut once: Vec<T> = Vec::with_capacity(named.len());
    for one in named {
        if !once.contains(one) {
            once.push(one.clone());
        }
    }
    once
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    #[command(subcommand)]
    Topics(topics::Verb),
    Produce(Box<produce::Options>),
    Consume(Box<consume::Options>),
    #[command(subcommand)]
    Groups(groups::Verb),
    #[command(subcommand)]
    Queue(queue::Verb),
    #[command(subcommand)]
    Tx(tx::Verb),
    Stats(stats::Options),
    Top(top::Options),
    Plan(plan::Options),
    Dump(dump::Options),
    Verify(verify::Options),
    Repair(repair::Options),
    Compact(compact::Options),
    Retention(retention::Options),
    Erase(erase::Options),
    DeleteRecords(delete_records::Options),
    Backup(backup::Options),
    Restore(backup::Restore),
    Export(lines::Export),
    Import(lines::Import),
    Adopt(adopt::Options),
    Mirror(mirror::Options),
    Completions(completions::Options),
    /// Print the manual page, for `man`.
    ///
    /// Example: annals manual > /usr/local/share/man/man1/annals.1
    Manual,
}
