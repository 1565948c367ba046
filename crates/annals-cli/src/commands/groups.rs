//! `groups`: who reads, how far they are, and setting that anew.

use annals::stats::GroupStats;
use annals::{Error, Store, StoreReader};
use clap::{Args, Subcommand};

use crate::arguments::Arguments;
use crate::commands::figures::{group_object, group_partition_object, unseen, unseen_object};
use crate::commands::reset::{self, Reset};
use crate::failure::{Failure, Outcome};
use crate::open::{with_all_topics, with_store};
use crate::show::{Escaped, Object, Screen, Table};

/// List, describe, reset and delete consumer groups.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    List(List),
    Describe(Describe),
    Reset(Reset),
    Delete(Delete),
}

/// Print the names of all groups that have members or have committed offsets.
///
/// Example: annals groups list
#[derive(Debug, Args)]
pub(crate) struct List {}

/// Show members, committed offsets and lag.
///
/// Example: annals groups describe --group billing
#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// The groups; all when none is given.
    #[arg(long, short, value_name = "NAME")]
    group: Vec<String>,
}

/// Forget what a group has committed.
///
/// Example: annals groups delete --group billing
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The group.
    #[arg(long, short, value_name = "NAME")]
    group: String,
}

pub(crate) fn run(verb: &Verb, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    match verb {
        Verb::List(List {}) => with_all_topics(arguments, |store| list(store, screen)),
        Verb::Describe(options) => with_all_topics(arguments, |store| describe(options, store, screen)),
        Verb::Reset(options) => reset::run(options, arguments, screen),
        Verb::Delete(options) => with_store(arguments, |store| delete(options, store, screen)),
    }
}

fn list(store: &StoreReader, screen: &mut Screen) -> Outcome {
    if screen.json {
        return store.stats()?.groups.iter().try_for_each(|group| screen.object(&group_object(group, store)));
    }
    let is_terminal = screen.is_terminal;
    store.groups().iter().try_for_each(|name| match is_terminal {
        true => screen.line(Escaped(name.as_bytes())),
        false => screen.line(name),
    })
}

pub(crate) fn missing(group: &str) -> Failure {
    Failure::Missing(format!("group {group:?} has no members and has committed nothing"))
}

fn describe(options: &Describe, store: &StoreReader, screen: &mut Screen) -> Outcome {
    let mut groups = store.stats()?.groups;
    if let Some(name) = options.group.iter().find(|name| groups.iter().all(|group| group.group != **name)) {
        return Err(missing(name));
    }
    groups.retain(|group| options.group.is_empty() || options.group.contains(&group.group));
    if screen.json {
        return groups.iter().try_for_each(|group| objects(group, store, screen));
    }
    let mut table = group_table();
    groups.iter().for_each(|group| rows(group, store, &mut table));
    screen.table(&table)
}

fn objects(group: &GroupStats, store: &StoreReader, screen: &mut Screen) -> Outcome {
    screen.object(&group_object(group, store))?;
    let committed = store.committed(&group.group);
    for lag in &group.partitions {
        let metadata = committed.get(&lag.topic_partition).map_or("", |one| &one.metadata);
        screen.object(&group_partition_object(&group.group, lag, metadata))?;
    }
    let unseen = unseen(group, store);
    unseen.iter().try_for_each(|(place, one)| screen.object(&unseen_object(&group.group, place, one)))
}

/// Kafka's columns.
pub(crate) fn group_table() -> Table {
    Table::new(&["GROUP", "TOPIC", ">PARTITION", ">CURRENT-OFFSET", ">LOG-END-OFFSET", ">LAG", "CONSUMER-ID"])
}

pub(crate) fn rows(group: &GroupStats, store: &StoreReader, table: &mut Table) {
    for lag in &group.partitions {
        table.row([
            group.group.clone(),
            lag.topic_partition.topic().to_owned(),
            lag.topic_partition.partition().to_string(),
            lag.committed.map_or_else(String::new, |offset| offset.to_string()),
            lag.end.to_string(),
            lag.lag.to_string(),
            lag.member.clone().unwrap_or_default(),
        ]);
    }
    for (place, committed) in unseen(group, store) {
        let (topic, number) = (place.topic().to_owned(), place.partition().to_string());
        let offset = committed.offset.to_string();
        // Neither end, nor lag, nor member.
        let unknown = String::new;
        table.row([group.group.clone(), topic, number, offset, unknown(), unknown(), unknown()]);
    }
}

fn delete(options: &Delete, store: &Store, screen: &mut Screen) -> Outcome {
    let name = &options.group;
    if !store.groups().contains(name) {
        return Err(missing(name));
    }
    match store.delete_group(name) {
        Err(error @ Error::InvalidArgument { .. }) => return Err(Failure::Conflict(error.to_string())),
        outcome => outcome?,
    }
    let object = || Object::new("done").text("action", "delete").text("name", name);
    screen.either(object, format_args!("Deleted group {name}."))
}
