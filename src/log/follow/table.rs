//! The list of segments, made of what the owner shows and of the files that it names.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{PartitionState, SegmentFile, SegmentSummary, cleaned_log_name, segment_file_name};
use crate::io::{Directory, Guard, OpenMode};
use crate::live::{Guest, Shown, Slot};
use crate::locks::{AtomicU64, Ordering};
use crate::log::follow::follow::{Basis, Follow, Known, Look};
use crate::log::follow::growing::Growing;
use crate::log::log::Log;
use crate::log::open::recovery::{Examine, Examined, check_identity, examine};
use crate::log::segment_list::SegmentList;
use crate::log::table::state_file::StateFile;
use crate::log::write::writer::Phase;
use crate::segment::{ReadMode, Segment};
use crate::types::Offset;

/// The sealed segments that were seen, by their bases: those that are as they were are taken over with what is known of them.
pub(super) type Sealed = HashMap<Offset, (SegmentSummary, Arc<Segment>)>;

/// The table of a log that another process appends to, as far as it was seen.
#[derive(Debug)]
pub(in crate::log) struct FollowedTable {
    pub(in crate::log) state: PartitionState,
    pub(in crate::log) shown: Shown,
}

/// A directory whose files are opened as long as the slot shows this generation.
fn while_shown(directory: &Directory, slot: &Slot, known: &mut Known, generation: u64) -> Directory {
    let number = Arc::new(AtomicU64::new(generation));
    known.numbers.push(Arc::clone(&number));
    let slot = slot.clone();
    directory.guarded(Guard::new(move || slot.generation() == number.load(Ordering::SeqCst)))
}

/// The same as long as no owner comes.
fn while_left(directory: &Directory, guest: &Arc<Guest>, life: u64) -> Directory {
    let guest = Arc::clone(guest);
    directory.guarded(Guard::new(move || guest.life() == life))
}

impl Log {
    /// Makes a list of the owner's table.
    pub(super) fn take_table(
        &self,
        follow: &Follow,
        known: &mut Known,
        (life, slot, shown): (u64, Slot, Shown),
    ) -> Result<Look> {
        let generation = shown.generation;
        if !known.is_of(life) {
            // Another life may show the partition in another slot: what was opened under the old one is opened anew.
            known.forget();
        }
        let directory = while_shown(&self.directory, &slot, known, generation);
        let made = self.make_list(follow, known, (&directory, life, &shown));
        if slot.generation() != generation {
            return Ok(Look::Again);
        }
        let Some(Made { state, list, sealed, growing }) = made? else { return Ok(Look::Again) };
        known.sealed = sealed;
        if let Some(growing) = growing {
            known.growing = Some(growing);
        }
        if let Some(growing) = &known.growing {
            growing.segment.may_be_read_to(shown.growth.bytes);
        }
        self.writer.lock().phase = Phase::Followed(Box::new(FollowedTable { state, shown }));
        self.accept(known, list, (Basis::Table { life, generation }, Some(generation)));
        self.follow_growth(known, shown);
        Ok(Look::Done)
    }

    /// `None` when the state file is of another moment than what is shown.
    fn make_list(
        &self,
        follow: &Follow,
        known: &Known,
        (directory, life, shown): (&Directory, u64, &Shown),
    ) -> Result<Option<Made>> {
        let file = StateFile::read(directory)?;
        check_identity(directory, &file, follow.identity)?;
        let state = file.state().clone();
        if state.closed.is_some() || state.mark.segment != shown.base || state.log_start < shown.start {
            return Ok(None);
        }
        let mut sealed = Sealed::new();
        for summary in &state.sealed {
            let segment = match known.sealed.get(&summary.base) {
                Some((before, segment)) if before == summary && !state.pending.contains(&summary.base) => {
                    Arc::clone(segment)
                }
                _ if state.pending.contains(&summary.base) => self.under_two_names(directory, summary)?,
                _ => Arc::new(Segment::sealed(directory, *summary, self.options.read_mode)),
            };
            sealed.insert(summary.base, (*summary, segment));
        }
        let is_the_same = |growing: &Growing| growing.segment.base() == shown.base && known.is_of(life);
        let bases = state.sealed.iter().filter_map(|summary| sealed.get(&summary.base));
        let mut segments: Vec<_> = bases.map(|(_, segment)| Arc::clone(segment)).collect();
        let kept = known.growing.as_ref().filter(|growing| is_the_same(growing));
        let (last, growing) = match kept {
            Some(growing) => (Arc::clone(&growing.segment), None),
            None => {
                let file =
                    directory.open(&segment_file_name(shown.base, SegmentFile::Log), OpenMode::Read)?;
                let interval_bytes = self.config().segment.index_interval_bytes;
                let segment = Arc::new(Segment::followed(directory, file, shown.base, interval_bytes));
                (Arc::clone(&segment), Some(Growing::new(segment, state.clone(), segments.clone())))
            }
        };
        segments.push(last);
        let list = SegmentList::new(state.log_start, segments);
        // A segment under two names is looked at anew as soon as it has one.
        sealed.retain(|base, _| !state.pending.contains(base));
        Ok(Some(Made { state, list, sealed, growing }))
    }

    /// A rewritten segment that is given its name just now: its file is held, whatever it is called.
    fn under_two_names(&self, directory: &Directory, summary: &SegmentSummary) -> Result<Arc<Segment>> {
        let names = [cleaned_log_name(summary.base), segment_file_name(summary.base, SegmentFile::Log)];
        let [temporary, final_name] = names;
        let file = match directory.open(&temporary, OpenMode::Read) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                directory.open(&final_name, OpenMode::Read)?
            }
            opened => opened?,
        };
        Ok(Arc::new(Segment::sealed_in(directory, *summary, file, self.options.read_mode)))
    }

    /// Looks at the files as their owner has found them, and has left them until now.
    pub(super) fn take_found_files(
        &self,
        follow: &Follow,
        known: &mut Known,
        (life, slot, shown): (u64, Slot, Shown),
    ) -> Result<Look> {
        let generation = shown.generation;
        let directory = while_shown(&self.directory, &slot, known, generation);
        let found = self.examine_files(follow, &directory);
        if slot.generation() != generation {
            return Ok(Look::Again);
        }
        let found = found?;
        if found.end != shown.growth.end {
            return Ok(Look::Again);
        }
        self.accept_files(known, found, (Basis::Files { life, generation }, Some(generation)));
        self.follow_growth(known, shown);
        Ok(Look::Done)
    }

    /// The same as the last owner has left them. What was shown counts for nothing: there may be more in the files.
    pub(super) fn take_left_files(&self, follow: &Follow, known: &mut Known, life: u64) -> Result<Look> {
        let directory = while_left(&self.directory, &follow.guest, life);
        let found = self.examine_files(follow, &directory);
        if follow.guest.life() != life {
            return Ok(Look::Again);
        }
        let found = found?;
        let (start, durable, end) = (found.state.state().log_start, found.durable, found.end);
        let open = found.producers.open_transactions();
        let unfinished = found.producers.unfinished_from(start);
        let stable = unfinished.map_or(end, |first| {
            // What was shown is not taken back while somebody finds out about the rest.
            if end < self.end() { first } else { self.stable().max(first) }
        });
        self.accept_files(known, found, (Basis::LeftFiles { life }, None));
        known.numbers.clear();
        known.slot = None;
        known.unjudged = open;
        follow.left.write().begin(start, end);
        // A power cut may take it back, however it is judged.
        follow.kept.store(durable.min(unfinished.unwrap_or(end)), Ordering::Release);
        self.offsets.follow((start, durable.clamp(start, end), end, stable));
        Ok(Look::Done)
    }

    /// None of them is mapped: the one that was closed last is the one that grows next.
    fn examine_files(&self, follow: &Follow, directory: &Directory) -> Result<Examined> {
        let how = Examine {
            read_mode: ReadMode::Positional,
            index_interval_bytes: self.config().segment.index_interval_bytes,
        };
        examine(directory, follow.identity, &self.topic_partition, how)
    }

    fn accept_files(&self, known: &mut Known, found: Examined, basis: (Basis, Option<u64>)) {
        let list = found.segments.clone();
        known.sealed.clear();
        known.growing = None;
        known.shown = None;
        self.writer.lock().phase = Phase::Untouched(Box::new(found));
        self.accept(known, list, basis);
    }

    /// Gives readers the list. Segments that it does not have are not looked for by their names any more, and the others under
    /// `number`: both before anybody can take the list.
    fn accept(&self, known: &mut Known, list: SegmentList, (basis, number): (Basis, Option<u64>)) {
        let list = Arc::new(list);
        let before = self.segment_list();
        let takes_out = before.has_lost(&list);
        if takes_out {
            self.rewrites.fetch_add(1, Ordering::AcqRel);
        }
        before.missing_in(&list).for_each(|segment| segment.leave());
        if let Some(number) = number {
            Self::renumber(known, number);
        }
        let thinned = before.thinned_in(&list);
        *self.segments.write() = list;
        if takes_out {
            self.rewrites.fetch_add(1, Ordering::AcqRel);
        }
        thinned.into_iter().for_each(|place| self.thinned.note(place));
        known.basis = basis;
        self.watchers.raise();
    }
}

/// What a table was made into.
struct Made {
    state: PartitionState,
    list: SegmentList,
    sealed: Sealed,
    /// `None` where it is the one that is known.
    growing: Option<Growing>,
}
