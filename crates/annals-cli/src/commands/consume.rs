//! `consume`: records to lines.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::{Duration, Instant};

use annals::stats::TopicStats;
use annals::{
    Consumer, ConsumerBuilder, Error, Isolation, Offset, OnDamage, PartitionView, Records, StoreReader,
    TopicPartition, TopicView,
};
use clap::{Args, ValueEnum};

use crate::arguments::{Arguments, once};
use crate::commands::figures::refuse_internal;
use crate::commands::printer::{Printer, Style};
use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::open::{Reading, directory, open_reader, with_reader, with_store};
use crate::show::{Screen, count};
use crate::times::{parse_length, parse_time};

/// Print records of topics
///
/// From the beginning to the end, partition after partition; with --group from what the group has committed, as a
/// member of it, and what was printed is committed.
///
/// Examples:
///   annals consume --topic orders --print-key --print-timestamp
///   annals consume --topic orders --offset -10 --json
///   annals consume --topic orders --follow
///   annals consume --topic orders --from-time -1h --key alice
#[derive(Debug, Clone, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Options {
    /// Where from.
    #[arg(long, short, value_name = "NAME", required = true)]
    topic: Vec<String>,
    /// These partitions alone.
    #[arg(long, short, value_name = "N", value_delimiter = ',', conflicts_with = "group")]
    partition: Vec<u32>,
    /// Do not stop at the end: print what comes, from now on if nothing says from where, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    /// With --follow: end when nothing has come for so long.
    #[arg(long, value_name = "LENGTH", value_parser = parse_length, requires = "follow", visible_alias = "timeout-ms")]
    timeout: Option<Duration>,
    /// As a member of this group.
    #[arg(long, short, value_name = "NAME", conflicts_with_all = ["offset", "from_beginning", "from_time"])]
    group: Option<String>,
    /// From the first record.
    #[arg(long, conflicts_with_all = ["offset", "from_time"])]
    from_beginning: bool,
    /// From this offset, `earliest`, `latest`, or the last N with -N.
    #[arg(long, short, value_name = "N", value_parser = parse_start, allow_hyphen_values = true)]
    offset: Option<Start>,
    /// From the first record of this time or later.
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "offset", allow_hyphen_values = true)]
    from_time: Option<i64>,
    /// Records of this key alone. A member of a group commits past all it reads, so it has none.
    #[arg(long, short, conflicts_with = "group")]
    key: Option<String>,
    /// Stop after so many records.
    #[arg(long, short, value_name = "N")]
    max_messages: Option<u64>,
    /// Whether records of transactions that are open or were aborted are printed.
    #[arg(long, value_enum, default_value_t = Level::ReadCommitted)]
    isolation_level: Level,
    /// Pass over batches that cannot be read.
    #[arg(long)]
    skip_damage: bool,
    #[command(flatten)]
    style: Style,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Earliest,
    Latest,
    At(Offset),
    Last(Offset),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Level {
    ReadCommitted,
    ReadUncommitted,
}

fn parse_start(text: &str) -> Result<Start, String> {
    match text {
        "earliest" | "beginning" => return Ok(Start::Earliest),
        "latest" | "end" => return Ok(Start::Latest),
        _ => {}
    }
    let number = text.parse::<Offset>().map_err(|_| "a number, earliest, latest, or -N".to_owned())?;
    // -0 is the last none.
    Ok(if text.starts_with('-') { Start::Last(number.saturating_neg()) } else { Start::At(number) })
}

pub(crate) fn run(options: &Options, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    let style = options.style.with_properties()?;
    if matches!(options.offset, Some(Start::At(_))) && options.partition.is_empty() {
        let words = "an offset is one of a partition: give --partition, too";
        return Err(Failure::Usage(words.to_owned()));
    }
    let options =
        &Options { topic: once(&options.topic), partition: once(&options.partition), ..options.clone() };
    if options.group.is_some() {
        options.topic.iter().try_for_each(|name| refuse_internal(name))?;
    }
    let mut printer = Printer::new(&style, screen);
    printer.left = options.max_messages.unwrap_or(u64::MAX);
    printer.key = options.key.as_ref().map(|key| key.clone().into_bytes());
    match &options.group {
        None if options.follow => follow(options, &open_reader(arguments, Reading::Long)?, &mut printer),
        None => with_reader(arguments, |store| read_partitions(options, store, &mut printer)),
        // Beside the process that writes, or before the next one comes: a member that stays is in nobody's way.
        Some(group)
            if options.follow
                && let Ok(store) = StoreReader::attach(directory(arguments)?) =>
        {
            for name in &options.topic {
                printer.note_times(name, &store.topic(name)?.config());
            }
            read_as_member(options, consumer(options, group, store.consumer_builder())?, &mut printer)?;
            skipped_of(options, |name| store.topic(name)?.stats()).and_then(tell_of_skipped)
        }
        Some(group) => with_store(arguments, |store| {
            for name in &options.topic {
                printer.note_times(name, &store.topic(name)?.config());
            }
            read_as_member(options, consumer(options, group, store.consumer_builder())?, &mut printer)?;
            skipped_of(options, |name| store.topic(name)?.stats()).and_then(tell_of_skipped)
        }),
    }
}

/// What this process has passed over.
fn skipped_of(options: &Options, stats: impl Fn(&str) -> annals::Result<TopicStats>) -> Outcome<u64> {
    if !options.skip_damage {
        return Ok(0);
    }
    let of_topic = |name: &String| -> Outcome<u64> {
        let partitions = stats(name)?.partitions;
        Ok(partitions.iter().map(|one| one.skipped_offsets).sum::<u64>())
    };
    options.topic.iter().map(of_topic).sum()
}

/// What was passed over is no secret.
fn tell_of_skipped(skipped: u64) -> Outcome {
    if skipped == 0 {
        return Ok(());
    }
    Err(Failure::Found(format!("passed over {} that cannot be read", count(skipped, "offset"))))
}

fn isolation(options: &Options) -> Isolation {
    match options.isolation_level {
        Level::ReadCommitted => Isolation::ReadCommitted,
        Level::ReadUncommitted => Isolation::ReadUncommitted,
    }
}

fn consumer(options: &Options, group: &str, builder: ConsumerBuilder) -> Outcome<Consumer> {
    let damage = if options.skip_damage { OnDamage::Skip } else { OnDamage::Fail };
    let builder = builder.group(group).client_id("annals").max_poll_records(10_000);
    Ok(builder.isolation(isolation(options)).on_damage(damage).build()?)
}

/// One partition after the other, each to the end that it has now: what comes meanwhile is not waited for, nor printed.
fn read_partitions(options: &Options, store: &StoreReader, printer: &mut Printer<'_>) -> Outcome {
    let mut parts = Vec::new();
    for name in &options.topic {
        let topic = store.topic(name)?;
        printer.note_times(name, &topic.config());
        for partition in chosen(options, &topic)? {
            let end = partition.end();
            parts.push((partition, end));
        }
    }
    let mut skipped = 0;
    for (partition, end) in parts {
        if let Some(start) = start_of(options, &partition)? {
            skipped += read_partition(options, &partition, (start, Bound::Excluded(end)), printer)?;
        }
    }
    tell_of_skipped(skipped)
}

fn chosen(options: &Options, topic: &TopicView) -> Outcome<Vec<PartitionView>> {
    if options.partition.is_empty() {
        return Ok(topic.partitions());
    }
    Ok(options.partition.iter().map(|number| topic.partition(*number)).collect::<annals::Result<_>>()?)
}

/// All partitions at once, as records come.
fn follow(options: &Options, store: &StoreReader, printer: &mut Printer<'_>) -> Outcome {
    let damage = if options.skip_damage { OnDamage::Skip } else { OnDamage::Fail };
    let builder = store.consumer_builder().isolation(isolation(options)).on_damage(damage);
    let mut consumer = builder.max_poll_records(10_000).build()?;
    let mut starts = Vec::new();
    for name in &options.topic {
        let topic = store.topic(name)?;
        printer.note_times(name, &topic.config());
        for partition in chosen(options, &topic)? {
            let says_where =
                options.from_beginning || options.offset.is_some() || options.from_time.is_some();
            let start = if says_where { start_of(options, &partition)? } else { None };
            let place = partition.topic_partition().clone();
            let start = match start {
                Some(Bound::Included(offset)) => offset,
                Some(_) => partition.start(),
                // What is written of transactions that are open has come before.
                None if options.isolation_level == Level::ReadUncommitted => partition.end(),
                None => partition.stable(),
            };
            starts.push((place, start));
        }
    }
    consumer.assign(starts.iter().map(|(place, _)| place.clone()))?;
    for (place, start) in starts {
        consumer.seek(place, start)?;
    }
    let mut since = Instant::now();
    let mut looked = Instant::now();
    while printer.left > 0 && goes_on(options, since) {
        interrupt::check()?;
        printer.has_reader()?;
        if options.partition.is_empty() && looked.elapsed() >= Duration::from_secs(1) {
            take_new_partitions(options, store, &mut consumer)?;
            looked = Instant::now();
        }
        let records = consumer.poll(Duration::from_millis(100))?;
        if !records.is_empty() {
            printer.print(&records)?;
            printer.flush()?;
            since = Instant::now();
        }
    }
    skipped_of(options, |name| store.topic(name)?.stats()).and_then(tell_of_skipped)
}

fn goes_on(options: &Options, since: Instant) -> bool {
    options.timeout.is_none_or(|timeout| since.elapsed() < timeout)
}

/// Partitions that were added since, from their first record. The others go on where they are.
fn take_new_partitions(options: &Options, store: &StoreReader, consumer: &mut Consumer) -> Outcome {
    let known = consumer.assignment();
    let mut new = Vec::new();
    for name in &options.topic {
        let partitions = store.topic(name)?.partitions();
        new.extend(partitions.into_iter().filter(|one| !known.contains(one.topic_partition())));
    }
    if new.is_empty() {
        return Ok(());
    }
    consumer.assign(known.into_iter().chain(new.iter().map(|one| one.topic_partition().clone())))?;
    for partition in new {
        consumer.seek(partition.topic_partition().clone(), partition.start())?;
    }
    Ok(())
}

/// Says how many offsets it passed over.
fn read_partition(
    options: &Options,
    partition: &PartitionView,
    range: (Bound<Offset>, Bound<Offset>),
    printer: &mut Printer<'_>,
) -> Outcome<u64> {
    // Who has named an offset is told when it is gone. Others go on at the first record that is left.
    let names_offset = matches!(options.offset, Some(Start::At(_)));
    let open =
        |from: Bound<Offset>| Ok::<_, Error>(partition.read((from, range.1))?.isolation(isolation(options)));
    let mut reader = match open(range.0) {
        Err(error) if !names_offset && is_gone(&error) => open(Bound::Unbounded)?,
        opened => opened?,
    };
    let mut skipped = 0;
    while printer.left > 0 {
        interrupt::check()?;
        match reader.fetch() {
            Err(error) if !names_offset && is_gone(&error) => reader = open(Bound::Unbounded)?,
            Ok(records) if records.is_empty() => break,
            Ok(records) => drop(printer.print(&records)?),
            Err(Error::Corrupt { resume_at: Some(next), .. }) if options.skip_damage => {
                skipped += u64::try_from(next.saturating_sub(reader.position())).unwrap_or(0);
                reader.seek(next);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(skipped)
}

/// Whether the records there were deleted.
fn is_gone(error: &Error) -> bool {
    matches!(error, Error::OffsetOutOfRange { requested, start, .. } if requested < start)
}

/// `None` where there is nothing to read. The beginning has no number: what goes there meanwhile is nobody's fault.
fn start_of(options: &Options, partition: &PartitionView) -> Outcome<Option<Bound<Offset>>> {
    if let Some(time) = options.from_time {
        return Ok(partition.offset_for_time(time)?.map(|found| Bound::Included(found.offset)));
    }
    Ok(match options.offset.unwrap_or(Start::Earliest) {
        Start::Earliest => Some(Bound::Unbounded),
        Start::Latest => None,
        Start::At(offset) => Some(Bound::Included(offset)),
        Start::Last(count) => {
            let (start, first) = (partition.start(), partition.end().saturating_sub(count));
            Some(if first <= start { Bound::Unbounded } else { Bound::Included(first) })
        }
    })
}

/// What was printed is committed after the output took it.
fn read_as_member(options: &Options, mut consumer: Consumer, printer: &mut Printer<'_>) -> Outcome {
    consumer.subscribe(options.topic.iter().map(String::as_str))?;
    let mut outcome = Ok(());
    let wait = if options.follow { Duration::from_millis(100) } else { Duration::ZERO };
    let mut since = Instant::now();
    while outcome.is_ok() && printer.left > 0 && goes_on(options, since) {
        interrupt::check()?;
        printer.has_reader()?;
        let records = consumer.poll(wait)?;
        if records.is_empty() && options.follow {
            continue;
        }
        if records.is_empty() {
            break;
        }
        since = Instant::now();
        outcome = printer.print(&records).and_then(|all| {
            printer.flush()?;
            if all {
                consumer.commit()?
            } else {
                commit_up_to(&mut consumer, &records, printer.printed_up_to())?
            }
            Ok(())
        });
    }
    consumer.close().map_err(Failure::from).and(outcome)
}

/// Commits what was looked at of these records, and no more.
fn commit_up_to(
    consumer: &mut Consumer,
    records: &Records,
    last: Option<(TopicPartition, Offset)>,
) -> Outcome {
    let mut offsets = BTreeMap::new();
    for record in records {
        offsets.insert(record.topic_partition().clone(), record.offset() + 1);
        if last
            .as_ref()
            .is_some_and(|(place, offset)| place == record.topic_partition() && *offset == record.offset())
        {
            break;
        }
    }
    Ok(consumer.commit_offsets(offsets)?)
}
