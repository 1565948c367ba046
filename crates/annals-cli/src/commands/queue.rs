//! `queue`: messages that wait, and those that were given up.

use annals::DeadLetter;
use annals::stats::QueueStats;
use clap::{Args, Subcommand};

use crate::arguments::Arguments;
use crate::failure::Outcome;
use crate::open::{Access, with_store};
use crate::show::{Escaped, Object, Screen, Table, count};

/// Show queues and their dead letters, and send these back.
///
/// A queue's locks and delays are in the memory of the process that works on it: the store is opened to write.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    List(List),
    DeadLetters(Letters),
    Redrive(Letters),
}

/// List all queues: what waits in them, and how old it is.
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
    with_store(arguments, Access::Write, |store| match verb {
        Verb::List(List {}) => list(&store.stats()?.queues, screen),
        Verb::DeadLetters(options) => {
            let mut letters = store.dead_letters(&options.topic, &options.group)?;
            show(&letters.take(options.max_messages)?, screen)
        }
        Verb::Redrive(options) => {
            let sent = store.dead_letters(&options.topic, &options.group)?.redrive(options.max_messages)?;
            let object = || {
                let object = Object::new("redriven").text("topic", &options.topic);
                object.text("group", &options.group).number("messages", sent)
            };
            screen.either(object, format_args!("Sent {} back to {}.", count(sent, "message"), options.topic))
        }
    })
}

fn list(queues: &[QueueStats], screen: &mut Screen) -> Outcome {
    let mut table = Table::new(&["TOPIC", "GROUP", ">WAITING", ">OLDEST-MS"]);
    for queue in queues {
        let age = queue.oldest_age.map(|age| age.as_millis());
        if screen.json {
            screen.object(
                &Object::new("queue")
                    .text("topic", &queue.topic)
                    .text("group", &queue.group)
                    .number("waiting", queue.waiting)
                    .maybe_number("age_milliseconds", age),
            )?;
        }
        table.row([
            queue.topic.clone(),
            queue.group.clone(),
            queue.waiting.to_string(),
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
