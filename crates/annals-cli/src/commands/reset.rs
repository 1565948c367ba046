//! `groups reset`: other offsets than those that a group has committed.

use std::time::Duration;

use annals::{Durability, Offset, Partition, Store, Timestamp};
use clap::{ArgGroup, Args};

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};
use crate::open::{Access, with_store};
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
    /// To what is committed: shows where the group is.
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
    partition: Partition,
    committed: Option<Offset>,
    to: Offset,
}

pub(crate) fn run(options: &Reset, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    let access = if options.execute { Access::Write } else { Access::Read };
    with_store(arguments, access, |store| {
        let moves = partitions(options, store)?
            .into_iter()
            .map(|partition| decide(options, store, partition))
            .collect::<Outcome<Vec<_>>>()?;
        if options.execute {
            execute(options, store, &moves)?;
        }
        show(options, &moves, screen)
    })
}

fn partitions(options: &Reset, store: &Store) -> Outcome<Vec<Partition>> {
    let mut found = Vec::new();
    if options.all_topics {
        for place in store.committed(&options.group).keys() {
            found.push(store.topic(place.topic())?.partition(place.partition())?);
        }
        if found.is_empty() {
            return Err(crate::commands::groups::missing(&options.group));
        }
    }
    for named in &options.topic {
        match named.split_once(':') {
            None => found.extend(store.topic(named)?.partitions()),
            Some((name, numbers)) => {
                let topic = store.topic(name)?;
                for number in numbers.split(',') {
                    let wrong = |_| Failure::Usage(format!("{named:?}: {number:?} is no partition"));
                    found.push(topic.partition(number.parse().map_err(wrong)?)?);
                }
            }
        }
    }
    Ok(found)
}

fn decide(options: &Reset, store: &Store, partition: Partition) -> Outcome<Move> {
    let committed = store.committed(&options.group).get(partition.topic_partition()).map(|one| one.offset);
    let of_committed = || {
        let place = partition.topic_partition();
        let words = format!("group {:?} has committed nothing for {place}", options.group);
        committed.ok_or(Failure::Missing(words))
    };
    let time = options.to_datetime.or_else(|| {
        let ago = options.by_duration?;
        Some(now().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)))
    });
    let (start, end) = (partition.start(), partition.end());
    let wanted = if let Some(time) = time {
        partition.offset_for_time(time.max(0))?.map_or(end, |found| found.offset)
    } else if let Some(offset) = options.to_offset {
        offset
    } else if let Some(shift) = options.shift_by {
        of_committed()?.saturating_add(shift)
    } else if options.to_earliest {
        start
    } else if options.to_latest {
        end
    } else {
        of_committed()?
    };
    Ok(Move { committed, to: wanted.clamp(start, end), partition })
}

/// All of them or none.
fn execute(options: &Reset, store: &Store, moves: &[Move]) -> Outcome {
    let builder = store.consumer_builder().group(&options.group).commit_durability(Durability::Disk);
    let mut consumer = builder.build()?;
    let place = |one: &Move| one.partition.topic_partition().clone();
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
                    .number("partition", partition.number())
                    .maybe_number("committed", *committed)
                    .number("new_offset", to)
                    .truth("executed", options.execute),
            )?;
        }
        table.row([
            options.group.clone(),
            partition.topic().to_owned(),
            partition.number().to_string(),
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
