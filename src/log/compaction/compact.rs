//! Compaction: of the records of one key, the last one stays.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::Result;
use crate::format::SegmentSummary;
use crate::io::Stopwatch;
use crate::locks::Ordering;
use crate::log::compaction::learn::Round;
use crate::log::compaction::markers::Markers;
use crate::log::compaction::plan::{RunLimits, Sealed, has_due, measure, runs};
use crate::log::compaction::rewrite::{Rewrite, Rewriter, Source};
use crate::log::compaction::room::{Lack, Reached, left_free_beside};
use crate::log::compaction::sieve::LastOfKey;
use crate::log::compaction::swap::Swap;
use crate::log::compaction::{CompactionConfig, CompactionReport, Dirt, Effort};
use crate::log::config::LogConfig;
use crate::log::log::Log;
use crate::log::producers::aborted::AbortedRange;
use crate::log::producers::table::ProducerTable;
use crate::log::retain::retention::{effective_times, millis};
use crate::log::segment_list::SegmentList;
use crate::log::table::edit::{Edit, NewHorizon};
use crate::log::write::accumulator::Take;
use crate::log::write::writer::Writer;
use crate::types::Offset;

/// A pass ends when so many tables without a segment were refused: they differ by little.
const MOST_TABLES: usize = 4;

/// The sealed part of a log at one moment.
pub(super) struct Snapshot {
    pub(super) sources: Vec<Source>,
    pub(super) dirt: Dirt,
    pub(super) cleaned_until: Offset,
    start: Offset,
    /// Transactions whose records nobody is to read.
    pub(super) aborted: AbortedRange,
    /// Whose last batches have to stay.
    producers: ProducerTable,
    /// Those of the log when it was decided how to compact.
    settings: Arc<LogConfig>,
}

/// What became of a run.
enum Cleaned {
    Done,
    /// Some of it left the log meanwhile, or the settings changed.
    Overtaken,
    /// What stays does not fit one segment.
    TooLarge,
    /// What stays does not fit the disk.
    NoRoom(Lack),
}

/// What a pass over a log came to.
struct Passed {
    /// How far the log is compacted.
    covered: Offset,
    /// Some of it had no room.
    lack: Option<Lack>,
}

impl CompactionReport {
    fn add(&mut self, before: &[Source], after: Option<&SegmentSummary>) {
        self.segments_before += before.len();
        self.segments_after += usize::from(after.is_some());
        self.bytes_before += before.iter().map(|source| source.summary.bytes).sum::<u64>();
        self.bytes_after += after.map_or(0, |after| after.bytes);
    }
}

impl Log {
    /// How much there is to compact. Changes nothing.
    pub(crate) fn dirt(&self, config: &CompactionConfig) -> Result<Dirt> {
        self.measure(&self.writer.lock(), config)
    }

    /// Keeps the last record of each key, and tombstones for a while after the first compaction that met them. Others
    /// append and read meanwhile. After an error every segment is as it was before or as it should be after. Where some of them have no
    /// room for what stays, the others are done first, and those again where that has made some.
    ///
    /// `ask` says how, and is asked again whenever the log was given other settings: nothing is put in the place of anything
    /// by settings that have been replaced. `None` ends it.
    pub(crate) fn compact(
        self: &Arc<Self>,
        ask: &dyn Fn() -> Option<CompactionConfig>,
    ) -> Result<CompactionReport> {
        self.check_process()?;
        let _rewriting = self.rewriting.lock();
        self.check_going_on()?;
        let watch = Stopwatch::start();
        let mut report = CompactionReport::new(self.topic_partition.clone());
        self.note_wanting(None);
        let passed = self.pass_over(ask, &mut report);
        // Whatever had no room is waited for.
        let lack = passed.or_else(|error| self.lack_of_table(error, 0).map(Some))?;
        report.cleaned_until = self.cleaned_until()?;
        self.note_compacted(&report, watch.elapsed());
        self.note_wanting(lack.as_ref());
        lack.map_or(Ok(report), |lack| Err(lack.error))
    }

    /// As many passes as it takes. What had no room, where that is known of segments.
    fn pass_over(
        self: &Arc<Self>,
        ask: &dyn Fn() -> Option<CompactionConfig>,
        report: &mut CompactionReport,
    ) -> Result<Option<Lack>> {
        let (mut is_prepared, mut through) = (false, None);
        loop {
            // In this order: settings that are replaced after the answer are noticed.
            let settings = self.config();
            let Some(config) = ask() else { return Ok(None) };
            if !std::mem::replace(&mut is_prepared, true) {
                self.prepare_to_compact(&config)?;
            }
            let Some(mut snapshot) = self.snapshot(&config, settings)? else { return Ok(None) };
            report.rounds += 1;
            // What is sealed while it is at work is the next one's: else it had no end where others send.
            let through = *through.get_or_insert(snapshot.dirt.until);
            snapshot.dirt.until = snapshot.dirt.until.min(through.max(snapshot.cleaned_until));
            let before = report.freed();
            let Passed { covered, lack } = self.run_round(&snapshot, &config, report)?;
            if lack.is_some() && report.freed() > before {
                continue;
            }
            // Other settings may do what these could not.
            let is_stuck =
                covered <= snapshot.cleaned_until && Arc::ptr_eq(&snapshot.settings, &self.config());
            if covered >= snapshot.dirt.until || is_stuck || lack.is_some() {
                return Ok(lack);
            }
        }
    }

    fn prepare_to_compact(self: &Arc<Self>, config: &CompactionConfig) -> Result<()> {
        self.check_poison()?;
        let mut writer = self.writer.lock();
        match config.effort {
            Effort::Now => {
                self.write_with(&mut writer, Take::All);
                let open = self.opened(&mut writer)?;
                let min_lag = millis(config.min_lag);
                let is_young = min_lag > 0 && config.now.saturating_sub(open.appended.last) < min_lag;
                if open.active.bytes() > 0 && !is_young {
                    self.roll_to(open, open.active.next_offset())?;
                }
            }
            Effort::WhenDue => {}
        }
        Ok(())
    }

    /// The sealed segments, unless there is nothing to do.
    fn snapshot(&self, config: &CompactionConfig, settings: Arc<LogConfig>) -> Result<Option<Snapshot>> {
        loop {
            let mut writer = self.writer.lock();
            if !self.measure(&writer, config)?.is_due {
                return Ok(None);
            }
            let open = self.opened(&mut writer)?;
            let edit = Edit::of(&open.state).all_named();
            self.edit(&mut open.state, edit)?;
            let state = open.state.state();
            let (sealed, cleaned_until) = (state.sealed.clone(), state.cleaned_until);
            let dirt = self.measure(&writer, config)?;
            let (list, start) = (self.segment_list(), self.start());
            let producers = self.producers.lock().clone();
            drop(writer);
            // Senders do not wait for this: where indexes are gone the whole log is read.
            let aborted = match self.aborted_below(&list, dirt.until) {
                Err(_) if list.has_lost(&self.segment_list()) => {
                    self.check_going_on()?;
                    continue;
                }
                aborted => aborted?,
            };
            let sources = sealed.into_iter().zip(list.iter());
            let sources =
                sources.map(|(summary, segment)| Source { summary, segment: Arc::clone(segment) }).collect();
            let settings = Arc::clone(&settings);
            return Ok(Some(Snapshot { sources, dirt, cleaned_until, start, settings, aborted, producers }));
        }
    }

    fn aborted_below(&self, list: &SegmentList, until: Offset) -> Result<AbortedRange> {
        self.make_aborted(list)?;
        AbortedRange::gather(0, until, list.iter().map(|one| self.aborted_in(list, one)))
    }

    fn measure(&self, writer: &Writer, config: &CompactionConfig) -> Result<Dirt> {
        let facts = self.facts(writer)?;
        let state = writer.phase.state().ok_or_else(|| self.closed())?;
        let times = effective_times(&facts, config.now);
        let limit = self.finished().min(self.kept_from.load(Ordering::Acquire)).min(self.needed_from());
        let (segments, cleaned_until) = (&state.sealed, state.cleaned_until);
        let sealed = Sealed { segments, times: &times, cleaned_until, limit };
        Ok(measure(&sealed, config))
    }

    fn cleaned_until(&self) -> Result<Offset> {
        let writer = self.writer.lock();
        let state = writer.phase.state().ok_or_else(|| self.closed())?;
        Ok(state.cleaned_until)
    }

    /// One pass over the log: learns the last offset of as many keys as the memory holds, from where the pass before ended,
    /// then rewrites everything below. Of what has no room, as much is tried as takes none: in vain it writes a group once, and a segment;
    /// what nothing stays of goes behind these all the same.
    fn run_round(
        &self,
        at: &Snapshot,
        config: &CompactionConfig,
        report: &mut CompactionReport,
    ) -> Result<Passed> {
        let Round { map, covered } = self.learn(at, config)?;
        let (markers, is_behind_uncleaned) = (Markers::default(), Cell::new(false));
        let sieve = LastOfKey {
            map: &map,
            covered,
            until: at.dirt.until,
            aborted: &at.aborted,
            producers: &at.producers,
            markers: &markers,
            is_behind_uncleaned: &is_behind_uncleaned,
            start: at.start,
            now: config.now,
            horizon: config.now.saturating_add(millis(config.delete_retention)),
        };
        let mut rewriter = Rewriter::new(self, &sieve);
        let segments: Vec<_> = at
            .sources
            .iter()
            .map(|source| source.summary)
            .take_while(|segment| segment.base < covered)
            .collect();
        let mut horizons = Vec::new();
        // Where the first one begins that stays as it was.
        let mut uncleaned: Option<Offset> = None;
        let (mut lack, mut tables_left): (Option<Lack>, _) = (None, MOST_TABLES);
        let mut ranges = VecDeque::from(runs(&segments, &self.run_limits()));
        while let Some(range) = ranges.pop_front() {
            let run = at.sources.get(range.clone()).unwrap_or_default();
            // Without anything new only tombstones can go.
            if covered == at.cleaned_until && !run.iter().any(|source| has_due(&source.summary, config.now)) {
                markers.skip();
                continue;
            }
            match self.clean_run(&mut rewriter, run, at, (report, &mut horizons))? {
                Cleaned::Done => {}
                // The oldest ones leave, and nothing of them is left. Each of them comes in the way once.
                Cleaned::Overtaken if self.has_left(run) => {
                    let rest = range.start + self.gone_of(run)..range.end;
                    if !rest.is_empty() {
                        ranges.push_front(rest);
                    }
                }
                // Each of them fits where it was, or stays as it is.
                Cleaned::TooLarge if run.len() > 1 => {
                    // The first try has come to some of their markers: they would pass for alone now.
                    markers.skip();
                    range.rev().for_each(|at| ranges.push_front(at..at + 1));
                }
                // Each of them takes less, and what nothing is left of takes none.
                Cleaned::NoRoom(lacks) if run.len() > 1 => {
                    if lacks.reached != Reached::Look {
                        markers.skip();
                    }
                    range.rev().for_each(|at| ranges.push_front(at..at + 1));
                }
                Cleaned::NoRoom(lacks) => {
                    uncleaned = uncleaned.or(run.first().map(|source| source.summary.base));
                    is_behind_uncleaned.set(true);
                    markers.skip();
                    match lacks.reached {
                        Reached::Table if tables_left == 1 => ranges.clear(),
                        Reached::Table => tables_left -= 1,
                        // What nothing is left of takes no room for a segment.
                        Reached::Written => rewriter.write_no_more(&lacks.error),
                        Reached::Look => {}
                    }
                    lack = Some(Lack::both(lack, lacks));
                }
                Cleaned::Overtaken | Cleaned::TooLarge => {
                    uncleaned = uncleaned.or(run.first().map(|source| source.summary.base));
                    // What it holds may be what a later tombstone, or a later marker, is about.
                    is_behind_uncleaned.set(true);
                    markers.skip();
                }
            }
        }
        // What was not cleaned needs, when it is, every key that has come since.
        let covered = uncleaned.map_or(covered, |base| covered.min(base).max(at.cleaned_until));
        Ok(Passed { covered, lack: self.end_round(covered, &horizons, lack)? })
    }

    /// Notes what a pass came to. What had no room then.
    fn end_round(
        &self,
        covered: Offset,
        horizons: &[NewHorizon],
        lack: Option<Lack>,
    ) -> Result<Option<Lack>> {
        Ok(match self.note_cleaned(covered, horizons) {
            Ok(()) => lack,
            Err(error) => Some(Lack::both(lack, self.lack_of_table(error, 0)?)),
        })
    }

    /// Puts what stays of a run in its place.
    fn clean_run(
        &self,
        rewriter: &mut Rewriter<'_>,
        run: &[Source],
        at: &Snapshot,
        (report, horizons): (&mut CompactionReport, &mut Vec<NewHorizon>),
    ) -> Result<Cleaned> {
        let rewritten = match rewriter.rewrite(run) {
            Err(_) if self.has_left(run) => return Ok(Cleaned::Overtaken),
            rewritten => rewritten?,
        };
        match rewritten {
            Rewrite::TooLarge => return Ok(Cleaned::TooLarge),
            Rewrite::NoRoom(lack) => return Ok(Cleaned::NoRoom(lack)),
            Rewrite::Unchanged { delete_horizon } => {
                let noted = |source: &Source| NewHorizon { of: source.summary, delete_horizon };
                horizons.extend(run.iter().map(noted));
            }
            Rewrite::Changed(replacement) => {
                let after = replacement.new.as_ref().map(|new| new.summary);
                match self.swap(run, replacement.new, Some(&at.settings)) {
                    Ok(Swap::Done) => {}
                    Ok(Swap::Overtaken) => return Ok(Cleaned::Overtaken),
                    Err(error) => {
                        let left_free = left_free_beside(run.iter().map(|source| source.summary.bytes).sum());
                        let beside = after.map_or(0, |after| after.bytes.saturating_add(left_free));
                        return self.lack_of_table(error, beside).map(Cleaned::NoRoom);
                    }
                }
                report.removed_records += replacement.removed_records;
                report.add(run, after.as_ref());
            }
        }
        Ok(Cleaned::Done)
    }

    fn run_limits(&self) -> RunLimits {
        let config = self.config().segment;
        let (max_bytes, max_index_bytes) = (u64::from(config.max_bytes), u64::from(config.max_index_bytes));
        RunLimits { max_bytes, max_index_bytes }
    }
}
