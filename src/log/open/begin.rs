//! A log as it begins: with what was found on the disk, or with nothing where another process writes it.

use std::sync::Arc;

use crate::error::Result;
use crate::figures::Figures;
use crate::format::Identity;
use crate::io::{Clock, Directory, Process};
use crate::locks::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Mutex, OnceLock, RwLock};
use crate::log::compaction::Wanting;
use crate::log::config::{LogConfig, LogOptions};
use crate::log::follow::Follow;
use crate::log::keys::KeyUpkeep;
use crate::log::log::Log;
use crate::log::offsets::Offsets;
use crate::log::open::prerequisites::Prerequisites;
use crate::log::open::recovery::{Examine, examine};
use crate::log::open::report::RecoveryReport;
use crate::log::poison::{Poison, PoisoningLock};
use crate::log::producers::clearing::Clearing;
use crate::log::producers::table::ProducerTable;
use crate::log::segment_list::SegmentList;
use crate::log::signal::Watchers;
use crate::log::thinned::Thinned;
use crate::log::write::accumulator::Accumulator;
use crate::log::write::group_sync::Committer;
use crate::log::write::next_offset::NextOffset;
use crate::log::write::rules::AppendRules;
use crate::log::write::spares::Spares;
use crate::log::write::writer::Writer;
use crate::types::{NO_TIMESTAMP, Offset, Timestamp, TopicPartition};
use crate::upkeep::Agenda;

/// What a log is given by the layer above.
#[derive(Debug, Clone)]
pub(crate) struct LogContext {
    pub(crate) topic_partition: TopicPartition,
    pub(crate) directory: Directory,
    pub(crate) identity: Identity,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) agenda: Arc<Agenda>,
    pub(crate) options: LogOptions,
    /// Shared by all partitions of the store.
    pub(crate) spares: Arc<Spares>,
    pub(crate) figures: Arc<Figures>,
    pub(crate) clearing: Arc<Clearing>,
}

/// What a log begins with.
struct Begin {
    segments: SegmentList,
    offsets: Offsets,
    producers: ProducerTable,
    clock_seen: Timestamp,
    writer: Writer,
    follow: Option<Follow>,
}

impl Log {
    /// Looks at a partition and opens it. Changes no byte: what a crash left is set right by the first append.
    pub(crate) fn open(
        context: LogContext,
        config: impl Into<Arc<LogConfig>>,
    ) -> Result<(Arc<Self>, RecoveryReport)> {
        let config: Arc<LogConfig> = config.into();
        let how = Examine {
            read_mode: context.options.read_mode,
            index_interval_bytes: config.segment.index_interval_bytes,
        };
        let found = examine(&context.directory, context.identity, &context.topic_partition, how)
            .map_err(|error| error.in_partition(&context.topic_partition))?;
        let report = found.report.clone();
        // Of those that no snapshot knows nobody can tell when they have written: not long ago.
        let mut producers = found.producers.clone();
        let now = context.clock.now();
        producers.wrote_since(found.producers_from, now);
        let start = found.state.state().log_start;
        let begin = Begin {
            segments: found.segments.clone(),
            offsets: Offsets::new(
                start,
                found.durable,
                found.end,
                found.producers.first_undecided(start).unwrap_or(found.end),
            ),
            producers,
            clock_seen: clock_seen(found.last_append(), now),
            writer: Writer::new(found, &config),
            follow: None,
        };
        let log = Arc::new(Self::begin(context, config, begin));
        log.keep_keys();
        Ok((log, report))
    }

    /// A log that another process writes. Touches no file: the first look does.
    pub(crate) fn attach(
        context: LogContext,
        config: impl Into<Arc<LogConfig>>,
        follow: Follow,
    ) -> Arc<Self> {
        let config: Arc<LogConfig> = config.into();
        let begin = Begin {
            segments: SegmentList::default(),
            offsets: Offsets::new(0, 0, 0, 0),
            producers: ProducerTable::default(),
            clock_seen: NO_TIMESTAMP,
            writer: Writer::idle(&config),
            follow: Some(follow),
        };
        Arc::new(Self::begin(context, config, begin))
    }

    fn begin(context: LogContext, config: Arc<LogConfig>, begin: Begin) -> Self {
        let LogContext {
            topic_partition, directory, clock, agenda, options, spares, clearing, figures, ..
        } = context;
        let Begin { segments, offsets, producers, clock_seen, writer, follow } = begin;
        let watchers = Arc::new(Watchers::default());
        let poison = Poison::new(topic_partition.clone(), Arc::clone(&watchers), Arc::clone(&figures));
        let next_offset = NextOffset::new(offsets.end());
        let given_out = next_offset.shown();
        let accumulator = Accumulator::new(next_offset, AppendRules::new(&config), Arc::clone(&spares));
        Self {
            topic_partition,
            directory,
            clock,
            agenda,
            options,
            rewriting: Mutex::new(()),
            wanting: Wanting::default(),
            untrimmed: Wanting::default(),
            removing: Mutex::new(()),
            making_room: Mutex::new(()),
            accumulator: Mutex::new(accumulator),
            given_out,
            spares,
            figures,
            clearing,
            segments: RwLock::new(Arc::new(segments)),
            offsets,
            kept_from: AtomicI64::new(Offset::MAX),
            needed_from: AtomicI64::new(Offset::MAX),
            arriving_from: AtomicI64::new(Offset::MAX),
            producers: Mutex::new(producers),
            clock_at_roll: AtomicI64::new(clock_seen),
            committer: Committer::default(),
            linger: Mutex::new(None),
            clock_seen: AtomicI64::new(clock_seen),
            first_time: Mutex::default(),
            reclaimed_bytes: AtomicU64::new(0),
            skipped_offsets: AtomicU64::new(0),
            rewrites: AtomicU64::new(0),
            thinned: Thinned::default(),
            upkeeps: Arc::default(),
            keys: KeyUpkeep::default(),
            holds: AtomicUsize::new(0),
            held_back: Mutex::default(),
            ending: AtomicBool::new(false),
            retired: OnceLock::new(),
            watchers,
            shown: OnceLock::new(),
            prerequisites: Prerequisites::default(),
            follow,
            process: Process::current(),
            writer: PoisoningLock::new(writer, &poison),
            poison,
            config: RwLock::new(config),
        }
    }
}

/// What the clock counts as having shown before the first look at ages: what it did at the last append that is known, or now, if that is
/// earlier. A clock that a device sets only when it has been on for a while leaps behind the open, whatever is known from before.
fn clock_seen(last_append: Timestamp, now: Timestamp) -> Timestamp {
    let now = now.max(0);
    if last_append < 0 { now } else { last_append.min(now) }
}
