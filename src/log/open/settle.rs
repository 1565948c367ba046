//! The first append after an open: setting right what the last life of the partition left.
//!
//! After a clean close the state file has to say that the partition is open again. After anything else the page cache is
//! not to be believed: a sync that failed may have left pages that read well and are not on the disk, and no later sync
//! will write them. So what lies after the durable mark is copied to a new file, synced, and given its name, before
//! anything is appended after it.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{
    AbortedTransaction, Mark, PartitionState, SegmentFile, SegmentSummary, segment_file_name,
};
use crate::io::{File, NEW, OpenMode, PublishFailure};
use crate::live::Kind;
use crate::log::log::Log;
use crate::log::open::prerequisites::Holding;
use crate::log::open::recovery::{Examine, Examined, LastClose, examine};
use crate::log::segment_list::SegmentList;
use crate::log::table::edit::Edit;
use crate::log::table::names;
use crate::log::write::append_times::AppendTimes;
use crate::log::write::writer::{Open, Phase, Writer};
use crate::segment::{ActiveSegment, LogFile, ReadMode, Scan, Segment, scan, summarize, with_aborted};
use crate::types::Offset;

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// The segments as they are after the settling, and where appending goes on.
struct Settled {
    sealed: Vec<SegmentSummary>,
    active: ActiveSegment,
    appended: AppendTimes,
}

/// The segment in which appending goes on.
struct Begun {
    active: ActiveSegment,
    appended: AppendTimes,
}

impl Log {
    /// Removes what can be made again from the other files of the partition: a disk is full, and something has to be written
    /// that frees more.
    pub(crate) fn give_up_indexes(&self) {
        let writer = self.writer.lock();
        let state = match &writer.phase {
            Phase::Open(open) => open.state.state(),
            Phase::Untouched(found) if self.poison.get().is_none() => found.state.state(),
            Phase::Untouched(_) | Phase::Followed(_) | Phase::Closed => return,
        };
        self.remove_indexes(state);
    }

    /// Makes the partition ready to be appended to. A failure that is definite, a full disk or a missing descriptor, leaves
    /// the next append to try again, from what the files are by then. After a failed sync nothing is tried again.
    #[inline]
    pub(in crate::log) fn settle(&self, writer: &mut Writer) -> Result<()> {
        if matches!(writer.phase, Phase::Open(_)) { Ok(()) } else { self.settle_first(writer) }
    }

    #[cold]
    fn settle_first(&self, writer: &mut Writer) -> Result<()> {
        // It stays where it is until all is done: of a partition that is poisoned here what was found is still told.
        let Phase::Untouched(found) = &mut writer.phase else { return Ok(()) };
        if self.poison.get().is_some() {
            return Ok(());
        }
        let mut settled = self.look_and_settle(found);
        if settled.as_ref().is_err_and(Error::is_disk_full) && self.poison.get().is_none() {
            // What frees space begins here, too.
            self.remove_indexes(found.state.state());
            settled = self.look_and_settle(found);
        }
        let Begun { active, appended } = settled?;
        if let Phase::Untouched(found) = std::mem::replace(&mut writer.phase, Phase::Closed) {
            let open = Open { active, appended, state: found.state };
            self.show_growth(&open, writer.uncommitted, writer.appended.bytes);
            writer.phase = Phase::Open(Box::new(open));
        }
        Ok(())
    }

    fn look_and_settle(&self, found: &mut Examined) -> Result<Begun> {
        self.prerequisites.meet(Holding::Locks)?;
        self.look_again(found)?;
        self.settle_found(found)
    }

    /// As many as can be: one that stays is no reason to leave the others.
    pub(in crate::log) fn remove_indexes(&self, state: &PartitionState) {
        self.remove_indexes_of(&state.sealed);
        self.give_up_snapshots(state);
    }

    /// The same of these segments alone.
    pub(in crate::log) fn remove_indexes_of(&self, sealed: &[SegmentSummary]) {
        let list = self.segment_list();
        for SegmentSummary { base, .. } in sealed {
            drop(names::remove_derived(&self.directory, *base));
            if let Some(segment) = list.floor(*base).filter(|segment| segment.base() == *base) {
                segment.let_go_of_key_file();
            }
        }
    }

    /// After a settling that failed half way: looks at the files again. They hold the same records.
    pub(in crate::log) fn look_again(&self, found: &mut Examined) -> Result<()> {
        if !found.is_half_settled {
            return Ok(());
        }
        let how = Examine {
            read_mode: self.options.read_mode,
            index_interval_bytes: self.config().segment.index_interval_bytes,
        };
        let again = examine(&self.directory, found.state.state().identity, &self.topic_partition, how)?;
        if again.end != found.end {
            let log = self.positional(found.state.state().mark.segment);
            let why = format!("it ended at offset {} when it was opened: reopen the store", found.end);
            return Err(self.poison_with(log.broken(0, again.end, why)));
        }
        // Names are given to those that are found now: readers have the same, and do not look for one under the name that it had.
        self.publish(again.segments.clone());
        *found = again;
        Ok(())
    }

    fn settle_found(&self, found: &mut Examined) -> Result<Begun> {
        let is_clean =
            matches!(found.last_close, LastClose::Clean(_)) && found.state.state().pending.is_empty();
        found.is_half_settled = !is_clean;
        let Settled { sealed, active, appended } = self.prepare(found)?;
        let producers_at = self.note_producers_found(found, &sealed, active.base())?;
        let mark = Mark { segment: active.base(), offset: active.next_offset(), position: active.bytes() };
        let mode = self.options.read_mode;
        let mut segments: Vec<_> =
            sealed.iter().map(|summary| Arc::new(Segment::sealed(&self.directory, *summary, mode))).collect();
        segments.push(Arc::clone(active.segment()));
        let state = &mut found.state;
        let list = SegmentList::new(state.state().log_start, segments);
        let edit = Edit::of(state)
            .open(sealed, mark, &found.leftovers.segments)
            .list(list)
            .producers_at(producers_at);
        self.edit(state, edit)?;
        self.raise_durable(active.next_offset());
        // What fails is tried again by the next removal: these files are in nobody's way. Those that somebody copies go when that ends.
        if !self.is_held() {
            let obsolete = state.state().obsolete.clone();
            state.forget_obsolete(&names::remove_segments(&self.directory, &obsolete).gone);
        }
        self.throw_away(&found.leftovers.cleaned);
        let half_written = found.leftovers.half_written.iter();
        if half_written.filter(|name| self.directory.remove_if_there(name).is_err()).count() > 0 {
            self.upkeeps.note_unfinished();
        }
        Ok(Begun { active, appended })
    }

    fn prepare(&self, found: &Examined) -> Result<Settled> {
        // Names that were found need not be on the disk, if whoever gave them did not come to sync them. What is written from
        // here on relies on them.
        let is_closed = matches!(found.last_close, LastClose::Clean(_));
        if !is_closed || !found.state.state().pending.is_empty() {
            self.sync_names()?;
        }
        self.finish_swaps(found)?;
        let config = self.config();
        let sealed = found.state.state().sealed.clone();
        match &found.last_close {
            // Never appended to: what a crash has left of a first append is nobody's.
            LastClose::Clean(closed) if !found.state.is_written() => {
                let mode = self.options.read_mode;
                let names = self.directory.names()?;
                let active = ActiveSegment::create(&self.directory, closed.base, config.segment, mode)?;
                // The state file, which will name it, is on the disk no earlier than it.
                names.sync().map_err(|error| self.poison_with(error))?;
                Ok(Settled { sealed, active, appended: AppendTimes::NONE })
            }
            LastClose::Clean(closed) => {
                let mode = self.options.read_mode;
                let active = ActiveSegment::reopen(&self.directory, *closed, config.segment, mode)?;
                if closed.aborted_entries > 0
                    && let Some(segment) = found.segments.floor(closed.base)
                {
                    let aborted = self.aborted_in(&found.segments, segment)?;
                    active.segment().set_aborted(aborted.to_vec());
                }
                Ok(Settled { sealed, active, appended: AppendTimes::of(closed) })
            }
            LastClose::Unclean(scans) => self.rescue(found, sealed, scans),
        }
    }

    /// Brings the segments after the sealed ones onto the disk.
    fn rescue(&self, found: &Examined, mut sealed: Vec<SegmentSummary>, scans: &[Scan]) -> Result<Settled> {
        let mark = found.state.state().mark;
        let Some((last, before)) = scans.split_last() else { return Err(self.closed()) };
        // Another segment follows these, so they were synced before that one came to be.
        for scan in before {
            sealed.push(self.cut(scan)?);
        }
        let config = self.config().segment;
        let mode = self.options.read_mode;
        let synced_bytes = if mark.segment == last.tally.base { mark.position } else { 0 };
        if synced_bytes == last.tally.bytes {
            self.cut(last)?;
            let active = ActiveSegment::resume(&self.directory, last.clone(), config, mode)?;
            return Ok(Settled { sealed, active, appended: self.found_times(last) });
        }
        let base = if synced_bytes == 0 { last.tally.base } else { mark.offset };
        let copied = self.copy_tail(last, synced_bytes, base)?;
        let appended = self.found_times(&copied);
        if base == last.tally.base {
            let active = ActiveSegment::resume(&self.directory, copied, config, mode);
            return Ok(Settled { sealed, active: active?, appended });
        }
        let (durable_part, active) = self.divide(found, last, copied)?;
        sealed.push(durable_part);
        Ok(Settled { sealed, active, appended })
    }

    /// Makes two segments of the last one: what was synced before the crash, and `copied`, the rest of it in a file of its
    /// own. Readers get the two before the old file is cut: until then their list says that all of it is there.
    fn divide(&self, found: &Examined, last: &Scan, copied: Scan) -> Result<(SegmentSummary, ActiveSegment)> {
        let (base, until) = (last.tally.base, copied.tally.base);
        let config = self.config().segment;
        let durable_part = self.rescan(base, until, &last.aborted)?;
        let active = ActiveSegment::resume(&self.directory, copied, config, self.options.read_mode)?;
        let readable = Arc::new(Segment::scanned(self.positional(base), &durable_part));
        let list = found.segments.replaced(base..=base, Some(readable));
        self.publish(list.with(Arc::clone(active.segment())));
        self.show_table(Kind::AsFound);
        Ok((self.cut(&durable_part)?, active))
    }

    fn found_times(&self, scan: &Scan) -> AppendTimes {
        if scan.tally.bytes == 0 {
            return AppendTimes::NONE;
        }
        AppendTimes::found(scan.tally.first_timestamp, self.clock.now())
    }

    /// Gives rewritten segments, which the state file lists already, their names: those that have them not.
    pub(in crate::log) fn finish_swaps(&self, found: &Examined) -> Result<()> {
        let unnamed =
            found.segments.iter().filter(|segment| found.leftovers.pending.contains(&segment.base()));
        let unnamed: Vec<_> = unnamed.map(|segment| (segment.base(), segment.log())).collect();
        // The want of a descriptor leaves the names as they are.
        unnamed.iter().try_for_each(|(_, log)| log.hold())?;
        let names = self.directory.names()?;
        names::finish_swaps(&names, unnamed).map_err(|error| self.poison_with(error))
    }

    /// Cuts a segment after its last good batch, durably.
    fn cut(&self, scan: &Scan) -> Result<SegmentSummary> {
        let name = segment_file_name(scan.tally.base, SegmentFile::Log);
        let file = self.directory.open(&name, OpenMode::ReadWrite)?;
        file.set_len(scan.tally.bytes)?;
        file.sync().map_err(|error| self.poison_with(error))?;
        let mut index = scan.index.clone();
        index.note_time();
        let summary = with_aborted(&self.directory, summarize(&scan.tally, &index), &scan.aborted);
        Ok(self.found_times(scan).on(summary))
    }

    /// Scans a part of what was scanned before, in which `aborted` were found.
    fn rescan(&self, base: Offset, until: Offset, aborted: &[AbortedTransaction]) -> Result<Scan> {
        let interval_bytes = self.config().segment.index_interval_bytes;
        let mut scan = scan(&self.positional(base), base, interval_bytes, until, &mut |_, _| None)?;
        let part = base..scan.tally.next_offset;
        scan.aborted = aborted.iter().filter(|entry| part.contains(&entry.last)).copied().collect();
        Ok(scan)
    }

    fn positional(&self, base: Offset) -> LogFile {
        let name = segment_file_name(base, SegmentFile::Log);
        LogFile::lazy(self.directory.clone(), name, ReadMode::Positional)
    }

    /// Copies what lies behind `from` in the segment of `scan` into the segment `base`, durably, and reads it back.
    fn copy_tail(&self, scan: &Scan, from: u64, base: Offset) -> Result<Scan> {
        let source = segment_file_name(scan.tally.base, SegmentFile::Log);
        let source = self.directory.open(&source, OpenMode::Read)?;
        let name = segment_file_name(base, SegmentFile::Log);
        let copy = self.directory.begin(&name)?;
        let copied = copy_range(&source, &copy, from..scan.tally.bytes).and_then(|()| copy.sync());
        if copied.is_err() {
            // On a disk that is full half a copy would keep the room from whoever frees it.
            drop(self.directory.remove_if_there(&format!("{name}{NEW}")));
        }
        copied?;
        self.directory.publish(&name).map_err(|failure| match failure {
            PublishFailure::Refused(error) => error,
            PublishFailure::Unknown(error) => self.poison_with(error),
        })?;
        let copied = self.rescan(base, Offset::MAX, &scan.aborted)?;
        if copied.tally.next_offset != scan.tally.next_offset {
            let log = self.positional(base);
            // The page cache had them until now.
            let why = format!(
                "the records up to offset {} that were there at the open are not on the disk, a sync of them must have \
                 failed: reopen the store",
                scan.tally.next_offset
            );
            return Err(self.poison_with(log.broken(copied.tally.bytes, copied.tally.next_offset, why)));
        }
        Ok(copied)
    }
}

fn copy_range(source: &File, target: &File, range: std::ops::Range<u64>) -> Result<()> {
    let mut position = range.start;
    while position < range.end {
        let want = usize::try_from(range.end - position).unwrap_or(CHUNK).min(CHUNK);
        let bytes = source.read(position, want)?;
        target.write_at(&bytes, position - range.start)?;
        if bytes.is_empty() {
            break;
        }
        position += bytes.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
