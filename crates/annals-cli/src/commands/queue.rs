//! `queue`: messages that wait, and those that were given up.

use annals::stats::{QueueStats, ReaderQueueStats};
use annals::{DeadLetter, DeadLetters, Error, Store};
use clap::{Args, Subcommand};

use crate::arguments::Arguments;
use crate::commands::queue_take::{self, Take};
use crate::failure::{Failure, Outcome};
use crate::open::{with_all_topics, with_store};
use crate::show::{Escaped, Object, Screen, Table, count};

/// Show queues, take messages of them, show their dead letters, and send these back.
///
/// `queue list` and `take` work beside a service that has the store open. The others take letters, which locks them: they open the store to
/// write, and nobody else may have it open. Beside a service, `consume --topic TOPIC.GROUP.dead --print-headers` prints its letters.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    List(List),
    Take(Box<Take>),
    DeadLetters(Letters),
    Redrive(Letters),
}

/// List all queues: how many messages are not done, how many of these were handed out before, and how old the oldest is.
///
/// Which are with a worker just now, and which have a delay, is in the memory of the process that works on them.
///
/// Example: annals queue list
#[derive(Debug, Args)]
pub(crate) struct List {}

/// Show messages that a queue has given up, or send them back to where they came from.
///
/// Look with `queue dead-letters`, send back with `queue redrive`: a message comes back as a new record at the end of its partition, and its
/// deliveries are counted anew.
///
/// Examples:
///   annals queue dead-letters --topic mails --group postman
///   annals queue redrive --topic mails --group postman --max-messages 10
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Letters {
    /// The topic of the queue.
    #[arg(long, short, value_name = "NAME")]
    topic: String,
    /// The group whose queue it is.
    #[arg(long, short, value_name = "NAME")]
    group: String,
    /// At most so many, the oldest first.
    #[arg(long, short, value_name = "N", default_value_t = 100)]
    max_messages: usize,
}

pub(crate) fn run(verb: &Verb, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    match verb {
        Verb::Take(options) => queue_take::run(options, arguments, screen),
        Verb::List(List {}) => with_all_topics(arguments, |store| list(&store.stats()?.queues, screen)),
        Verb::DeadLetters(options) => {
            let Letters { topic, group, max_messages } = options;
            let outcome = with_store(arguments, |store| {
                show(&open_letters(store, options)?.take(*max_messages)?, screen)
            });
            or_instead(outcome, || {
                format!(
                    "beside it, `annals consume --topic {topic}.{group}.dead --print-headers` prints all letters, those that were sent back or discarded, too"
                )
            })
        }
        Verb::Redrive(options) => {
            let outcome = with_store(arguments, |store| redrive(store, options, screen));
            or_instead(outcome, || {
                "that process can send letters back, with `Store::dead_letters`; the command can once it has closed the store"
                    .to_owned()
            })
        }
    }
}

/// Says what works beside a process that has the store.
fn or_instead(outcome: Outcome, instead: impl FnOnce() -> String) -> Outcome {
    match outcome {
        Err(Failure::Store(error @ (Error::StoreLocked { .. } | Error::StoreInUse { .. }))) => {
            Err(Failure::Instead(Box::new(error), instead()))
        }
        outcome => outcome,
    }
}

fn redrive(store: &Store, options: &Letters, screen: &mut Screen) -> Outcome {
    let sent = open_letters(store, options)?.redrive(options.max_messages)?;
    let object = || {
        let object = Object::new("redriven").text("topic", &options.topic);
        object.text("group", &options.group).number("messages", sent)
    };
    screen.either(object, format_args!("Sent {} back to {}.", count(sent, "message"), options.topic))
}

fn open_letters(store: &Store, options: &Letters) -> Outcome<DeadLetters> {
    let Letters { topic, group, .. } = options;
    let letters = store.dead_letters(topic, group)?;
    let is_of = |queue: &QueueStats| {
        queue.group == *group && (queue.topic == *topic || queue.letters_of.as_ref() == Some(topic))
    };
    if store.stats()?.queues.iter().any(is_of) {
        return Ok(letters);
    }
    Err(Failure::Missing(format!(
        "group {group:?} has no queue on topic {topic:?}: `annals queue list` prints those there are"
    )))
}

fn list(queues: &[ReaderQueueStats], screen: &mut Screen) -> Outcome {
    let mut table = Table::new(&["TOPIC", "GROUP", "LETTERS-OF", ">UNFINISHED", ">HANDED-OUT", ">OLDEST-MS"]);
    for queue in queues {
        let age = queue.oldest_age.map(|age| age.as_millis());
        if screen.json {
            screen.object(
                &Object::new("queue")
                    .text("topic", &queue.topic)
                    .text("group", &queue.group)
                    .maybe_text("letters_of", queue.letters_of.as_deref())
                    .number("unfinished", queue.unfinished)
                    .number("handed_out", queue.handed_out)
                    .maybe_number("age_milliseconds", age),
            )?;
        }
        table.row([
            queue.topic.clone(),
            queue.group.clone(),
            queue.letters_of.clone().unwrap_or_default(),
            queue.unfinished.to_string(),
            queue.handed_out.to_string(),
            age.map_or_else(String::new, |age| age.to_string()),
        ]);
    }
    if screen.json { Ok(()) } else { screen.table(&table) }
}

/// Letters that are dropped stay where they are.
fn show(letters: &[DeadLetter], screen: &mut Screen) -> Outcome {
    let mut table = Table::new(&["TOPIC", ">PARTITION", ">OFFSET", ">DELIVERIES", "KEY", "REASON"]);
    for letter in letters {
        let record = letter.record();
        if screen.json {
            screen.object(
                &Object::new("dead_letter")
                    .text("topic", &letter.topic)
                    .number("partition", letter.partition)
                    .number("offset", letter.offset)
                    .text("group", &letter.group)
                    .number("delivery_count", letter.delivery_count)
                    .text("reason", &letter.reason)
                    .bytes("key", record.key.as_deref())
                    .bytes("value", record.value.as_deref()),
            )?;
        }
        table.row([
            letter.topic.clone(),
            letter.partition.to_string(),
            letter.offset.to_string(),
            letter.delivery_count.to_string(),
            record.key.as_deref().map_or_else(String::new, |key| Escaped(key).to_string()),
            Escaped(letter.reason.as_bytes()).to_string(),
        ]);
    }
    if screen.json { Ok(()) } else { screen.table(&table) }
}
