//! `queue take`: messages to lines, answered once they are printed.

use std::time::Duration;

use annals::{Durability, Message, Messages, QueueBuilder, StoreReader, TopicConfig};
use clap::Args;

use crate::arguments::Arguments;
use crate::commands::figures::refuse_internal;
use crate::commands::printer::{Printer, Style};
use crate::failure::{Outcome, both};
use crate::interrupt;
use crate::open::{directory, require_store, with_store};
use crate::show::Screen;

/// Take messages of a queue, print them, and say that they are done
///
/// It takes what there is to be taken now, and waits for nothing. What was printed is answered after the output took it: a broken pipe or a
/// kill has messages come again, and loses none. It works beside the process that has the store, but where that one has workers of the
/// same queue.
///
/// Examples:
///   annals queue take --topic mails --group postman --max-messages 1 --print-key
///   annals queue take --topic mails --group postman --put-back
///   annals queue take --topic mails --group postman --reject 'no such address'
#[derive(Debug, Clone, Args)]
#[command(name = "take", verbatim_doc_comment)]
pub(crate) struct Take {
    /// The topic of the queue.
    #[arg(long, short, value_name = "NAME")]
    topic: String,
    /// The group whose queue it is. One that has none yet gets one, from the first record on.
    #[arg(long, short, value_name = "NAME")]
    group: String,
    /// At most so many.
    #[arg(long, short, value_name = "N", default_value_t = 100)]
    max_messages: usize,
    /// Look only: they are handed out again, and this time does not count.
    #[arg(long, conflicts_with = "reject")]
    put_back: bool,
    /// Give them up for this reason: they go to the dead letters.
    #[arg(long, value_name = "REASON")]
    reject: Option<String>,
    #[command(flatten)]
    style: Style,
}

/// So many are out at a time, and answered together.
const MOST_OUT: usize = 100;

pub(super) fn run(options: &Take, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    let Take { topic, group, .. } = options;
    refuse_internal(topic)?;
    let style = options.style.with_properties()?;
    let mut printer = Printer::new(&style, screen);
    let mut work = |builder: QueueBuilder, config: &TopicConfig| {
        printer.note_times(topic, config);
        work(options, builder, &mut printer)
    };
    let path = directory(arguments)?;
    require_store(&path)?;
    match StoreReader::attach(&path) {
        Ok(store) if store.owner().is_some() => {
            work(store.queue_builder(topic, group), &store.topic(topic)?.config())
        }
        _ => with_store(arguments, |store| {
            work(store.queue_builder(topic, group), &store.topic(topic)?.config())
        }),
    }
}

fn work(options: &Take, builder: QueueBuilder, printer: &mut Printer<'_>) -> Outcome {
    // How often is too often is for those who work on the queue to say: nothing is given up here that nobody has rejected.
    let mut worker = builder.delivery_limit(u16::MAX).durability(Durability::Disk).build()?;
    let mut seen: Vec<Messages> = Vec::new();
    let mut left = options.max_messages;
    let mut outcome = Ok(());
    while left > 0 && outcome.is_ok() {
        outcome = interrupt::check();
        let messages = worker.take(left.min(MOST_OUT), Duration::ZERO)?;
        if messages.is_empty() {
            break;
        }
        left -= messages.len();
        outcome = outcome.and_then(|()| print(&messages, printer));
        match &options.reject {
            _ if outcome.is_err() || options.put_back => seen.push(messages),
            Some(reason) => messages.into_iter().try_for_each(|message| message.reject(reason))?,
            None => messages.ack()?,
        }
    }
    // Not before all were taken: they would be taken again.
    let back = seen.into_iter().try_for_each(Messages::put_back);
    both(outcome, back.map_err(Into::into))
}

fn print(messages: &[Message], printer: &mut Printer<'_>) -> Outcome {
    messages.iter().try_for_each(|message| printer.message(message))?;
    printer.flush()
}
