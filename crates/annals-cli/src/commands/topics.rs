//! `topics`: the list, and changes of it.

use annals::{Error, Store, StoreReader, TopicConfig, TopicView};
use clap::{Args, Subcommand};

use crate::arguments::{Arguments, once};
use crate::commands::figures::{is_internal, partition_object, partition_row, partition_table, topic_object};
use crate::failure::{Failure, Outcome};
use crate::open::{all_are_seen, unseen, with_all_topics, with_made_store, with_reader, with_store};
use crate::show::{Object, Screen};

/// List, describe, create, alter and delete topics.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    List(List),
    Describe(Describe),
    Create(Create),
    Alter(Alter),
    Delete(Delete),
}

/// Print the names of all topics.
///
/// Example: annals topics list --exclude-internal
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Leave out those that the store keeps for itself.
    #[arg(long)]
    exclude_internal: bool,
}

/// Show settings, offsets and sizes.
///
/// Example: annals topics describe --topic orders
#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// The topics; all when none is given.
    #[arg(long, short, value_name = "NAME")]
    topic: Vec<String>,
    /// Leave out those that the store keeps for itself.
    #[arg(long)]
    exclude_internal: bool,
}

/// Create a topic, and the store if there is none.
///
/// Example: annals topics create --topic orders --partitions 3 --config retention.ms=7d
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its name.
    #[arg(long, short, value_name = "NAME")]
    topic: String,
    /// How many partitions.
    #[arg(long, default_value_t = 1, value_name = "N")]
    partitions: u32,
    /// A setting by Kafka's name.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    config: Vec<(String, String)>,
    /// Do nothing when there is a topic of that name.
    #[arg(long)]
    if_not_exists: bool,
}

/// Change settings of a topic, or add partitions.
///
/// Example: annals topics alter --topic orders --config retention.ms=30d --delete-config retention.bytes
#[derive(Debug, Args)]
pub(crate) struct Alter {
    /// Its name.
    #[arg(long, short, value_name = "NAME")]
    topic: String,
    /// How many partitions there are to be; equal keys go elsewhere from then on.
    #[arg(long, value_name = "N")]
    partitions: Option<u32>,
    /// A setting by Kafka's name.
    #[arg(long, visible_alias = "add-config", value_name = "KEY=VALUE", value_parser = setting)]
    config: Vec<(String, String)>,
    /// A setting that is to have its default again.
    #[arg(long, value_name = "KEY")]
    delete_config: Vec<String>,
}

/// Delete a topic, its records, and what groups have committed for it.
///
/// Example: annals topics delete --topic orders
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Its name, or several, which are deleted one after the other.
    #[arg(long, short, value_name = "NAME", required = true)]
    topic: Vec<String>,
    /// Do nothing when there is none.
    #[arg(long)]
    if_exists: bool,
}

/// `KEY=VALUE`.
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a setting is KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Settings by their names.
pub(crate) fn config(settings: &[(String, String)]) -> TopicConfig {
    settings.iter().fold(TopicConfig::new(), |config, (key, value)| config.set(key, value))
}

pub(crate) fn run(verb: &Verb, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    match verb {
        Verb::List(options) => with_all_topics(arguments, |store| list(options, store, screen)),
        Verb::Describe(options) => with_reader(arguments, |store| describe(options, store, screen)),
        Verb::Create(options) => {
            with_made_store(arguments, screen, |store, screen| create(options, store, screen))
        }
        Verb::Alter(options) => with_store(arguments, |store| alter(options, store, screen)),
        Verb::Delete(options) => with_store(arguments, |store| delete(options, store, screen)),
    }
}

fn list(options: &List, store: &StoreReader, screen: &mut Screen) -> Outcome {
    for topic in store.topics() {
        if options.exclude_internal && is_internal(topic.name()) || unseen(&topic).is_some() {
            continue;
        }
        screen.either(|| topic_object(&topic), topic.name())?;
    }
    Ok(())
}

fn describe(options: &Describe, store: &StoreReader, screen: &mut Screen) -> Outcome {
    let mut topics = chosen(store, &options.topic)?;
    topics.retain(|topic| !(options.exclude_internal && is_internal(topic.name())));
    let mut is_first = true;
    for topic in &topics {
        let stats = match topic.stats() {
            // It is named at the end, where all were asked for.
            Err(_) if options.topic.is_empty() => continue,
            stats => stats?,
        };
        if screen.json {
            screen.object(&topic_object(topic))?;
            stats.partitions.iter().try_for_each(|one| screen.object(&partition_object(one)))?;
            continue;
        }
        if !std::mem::take(&mut is_first) {
            screen.line("")?;
        }
        let config = topic.config();
        let values = config.values().iter().map(|(key, value)| format!("{key}={value}"));
        let values = values.collect::<Vec<_>>().join(",");
        screen.line(format_args!(
            "Topic: {}  TopicId: {:032x}  PartitionCount: {}  Configs: {}",
            topic.name(),
            topic.id(),
            topic.partition_count(),
            if values.is_empty() { "-" } else { &values },
        ))?;
        let mut table = partition_table();
        stats.partitions.iter().for_each(|one| table.row(partition_row(one)));
        screen.table(&table)?;
    }
    if options.topic.is_empty() { all_are_seen(store) } else { Ok(()) }
}

/// The topics of these names, or all.
fn chosen(store: &StoreReader, names: &[String]) -> Outcome<Vec<TopicView>> {
    if names.is_empty() {
        return Ok(store.topics());
    }
    Ok(once(names).iter().map(|name| store.topic(name)).collect::<annals::Result<_>>()?)
}

fn done(action: &str, words: &str, name: &str, screen: &mut Screen) -> Outcome {
    let object = || Object::new("done").text("action", action).text("name", name);
    screen.either(object, format_args!("{words} topic {name}."))
}

fn create(options: &Create, store: &Store, screen: &mut Screen) -> Outcome {
    let name = &options.topic;
    match store.create_topic(name, config(&options.config).partitions(options.partitions)) {
        Err(Error::TopicExists { existing, .. }) if options.if_not_exists && existing == *name => {
            nothing_done(name, screen)
        }
        outcome => {
            outcome?;
            done("create", "Created", name, screen)
        }
    }
}

/// For programs, which count on an object; people were told by the option that they gave.
fn nothing_done(name: &str, screen: &mut Screen) -> Outcome {
    if !screen.json {
        return Ok(());
    }
    screen.object(&Object::new("done").text("action", "nothing").text("name", name))
}

fn alter(options: &Alter, store: &Store, screen: &mut Screen) -> Outcome {
    let (name, settings) = (&options.topic, &options.config);
    if options.partitions.is_none() && settings.is_empty() && options.delete_config.is_empty() {
        let words = "nothing to change: give --partitions, --config or --delete-config";
        return Err(Failure::Usage(words.to_owned()));
    }
    // All of it or nothing: what is no growth is refused before settings are changed.
    if let Some(partitions) = options.partitions
        && partitions <= store.topic(name)?.partition_count()
    {
        store.add_partitions(name, partitions)?;
    }
    if !settings.is_empty() || !options.delete_config.is_empty() {
        let unset = |changes: TopicConfig, key: &String| changes.unset(key);
        store.alter_topic(name, options.delete_config.iter().fold(config(settings), unset))?;
    }
    if let Some(partitions) = options.partitions {
        store.add_partitions(name, partitions)?;
    }
    done("alter", "Altered", name, screen)
}

fn delete(options: &Delete, store: &Store, screen: &mut Screen) -> Outcome {
    once(&options.topic).iter().try_for_each(|name| match store.delete_topic(name) {
        Err(Error::UnknownTopic { .. }) if options.if_exists => nothing_done(name, screen),
        outcome => {
            outcome?;
            done("delete", "Deleted", name, screen)
        }
    })
}

/// `KEY=VALUE`, blanks and all.
pub(crate) fn setting_as_it_is(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a property is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
