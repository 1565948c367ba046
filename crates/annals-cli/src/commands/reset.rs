//! `groups reset`: other offsets than those that a group has committed.

use std::time::Duration;

use annals::{Durability, Offset, Store, Timestamp, TopicPartition};
use clap::{ArgGroup, Args};

use crate::arguments::{Arguments, once};
use crate::commands::figures::refuse_internal;
use crate::commands::look::Look;
use crate::failure::{Failure, Outcome};
use crate::open::{with_reader, with_store};
use crate::show::{Object, Screen, Table};
use crate::times::{now, parse_length, parse_time};

/// Commit other offsets for a group, which must have no members. Shows them; commits them only with --execute.
///
/// Offsets beyond a partition's range become its start or its end.
///
/// Examples:
///   annals groups reset --group billing --topic orders --to-earliest
///   annals groups reset --group billing --topic orders:0,2 --to-datetime 2026-01-31T06:00:00Z --execute
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(group = ArgGroup::new("target").required(true))]
#[command(group = ArgGroup::new("scope").required(true).multiple(true))]
pub(crate) struct Reset {
    /// The group; one that has committed nothing may be set, too.
    #[arg(long, short, value_name = "NAME")]
    group: String,
    /// A topic, or some of its partitions.
    #[arg(long, short, value_name = "NAME[:N,N…]", group = "scope")]
    topic: Vec<String>,
    /// All partitions that the group has committed for.
    #[arg(long, group = "scope", conflicts_with = "topic")]
    all_topics: bool,
    /// To the first record.
    #[arg(long, group = "target")]
    to_earliest: bool,
    /// To the end.
    #[arg(long, group = "target")]
    to_latest: bool,
    /// To what is committed: shows where the group is. To the end where that is nothing, as Kafka.
    #[arg(long, group = "target")]
    to_current: bool,
    /// To this offset.
    #[arg(long, group = "target", value_name = "N")]
    to_offset: Option<Offset>,
    /// So many records on; back with a minus.
    #[arg(long, group = "target", value_name = "N", allow_hyphen_values = true)]
    shift_by: Option<Offset>,
    /// To the first record of this time or later.
    #[arg(long, group = "target", value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true)]
    to_datetime: Option<Timestamp>,
    /// To the first record that is no older.
    #[arg(long, group = "target", value_name = "LENGTH", value_parser = parse_length)]
    by_duration: Option<Duration>,
    /// Do it.
    #[arg(long)]
    execute: bool,
    /// Show what would be done; that is what happens without --execute.
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
}

/// Where a group is to be in a partition.
struct Move {
    partition: TopicPartition,
    committed: Option<Offset>,
    to: Offset,
}

pub(crate) fn run(options: &Reset, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    let decide = |store: &dyn Look| -> Outcome<Vec<Move>> {
        let partitions = partitions(options, store)?;
        partitions.into_iter().map(|partition| decide(options, store, partition)).collect()
    };
    if !options.execute {
        return with_reader(arguments, |store| show(options, &decide(store)?, screen));
    }
    with_store(arguments, |store| {
        let moves = decide(store)?;
        execute(options, store, &moves)?;
        show(options, &moves, screen)
    })
}

fn partitions(options: &Reset, store: &dyn Look) -> Outcome<Vec<TopicPartition>> {
    let mut found = Vec::new();
    if options.all_topics {
        found.extend(store.committed_by(&options.group).into_keys());
        if found.is_empty() {
            return Err(crate::commands::groups::missing(&options.group));
        }
    }
    for named in &options.topic {
        refuse_internal(named.split_once(':').map_or(named.as_str(), |(name, _)| name))?;
        match named.split_once(':') {
            None => {
                let count = store.partition_count(named)?;
                found.extend((0..count).map(|number| TopicPartition::new(named.as_str(), number)));
            }
            Some((name, numbers)) => {
                for number in numbers.split(',') {
                    let wrong = |_| Failure::Usage(format!("{named:?}: {number:?} is no partition"));
                    found.push(TopicPartition::new(name, number.parse().map_err(wrong)?));
                }
            }
        }
    }
    Ok(once(&found))
}

fn decide(options: &Reset, store: &dyn Look, partition: TopicPartition) -> Outcome<Move> {
    let committed = store.committed_by(&options.group).get(&partition).map(|one| one.offset);
    let of_committed = || {
        let words = format!("group {:?} has committed nothing for {partition}", options.group);
        committed.ok_or(Failure::Missing(words))
    };
    let time = options.to_datetime.or_else(|| {
        let ago = options.by_duration?;
        Some(now().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)))
    });
    let (start, end) = store.range_of(&partition)?;
    let wanted = if let Some(time) = time {
        store.offset_at(&partition, time.max(0))?.unwrap_or(end)
    } else if let Some(offset) = options.to_offset {
        offset
    } else if let Some(shift) = options.shift_by {
        of_committed()?.saturating_add(shift)
    } else if options.to_earliest {
        start
    } else if options.to_latest {
        end
    } else {
        committed.unwrap_or(end)
    };
    Ok(Move { committed, to: wanted.clamp(start, end), partition })
}

/// All of them or none.
fn execute(options: &Reset, store: &Store, moves: &[Move]) -> Outcome {
    let builder = store.consumer_builder().group(&options.group).commit_durability(Durability::Disk);
    let mut consumer = builder.build()?;
    let place = |one: &Move| one.partition.clone();
    consumer.assign(moves.iter().map(place))?;
    consumer.commit_offsets(moves.iter().map(|one| (place(one), one.to)))?;
    Ok(consumer.close()?)
}

fn show(options: &Reset, moves: &[Move], screen: &mut Screen) -> Outcome {
    let mut table = Table::new(&["GROUP", "TOPIC", ">PARTITION", ">CURRENT-OFFSET", ">NEW-OFFSET"]);
    for Move { partition, committed, to } in moves {
        if screen.json {
            screen.object(
                &Object::new("new_offset")
                    .text("group", &options.group)
                    .text("topic", partition.topic())
                    .number("partition", partition.partition())
                    .maybe_number("committed", *committed)
                    .number("new_offset", to)
                    .truth("executed", options.execute),
            )?;
        }
        table.row([
            options.group.clone(),
            partition.topic().to_owned(),
            partition.partition().to_string(),
            committed.map_or_else(String::new, |offset| offset.to_string()),
            to.to_string(),
        ]);
    }
    if screen.json {
        return Ok(());
    }
    screen.table(&table)?;
    if options.execute { Ok(()) } else { screen.line("Nothing was changed: --execute commits these.") }
}
