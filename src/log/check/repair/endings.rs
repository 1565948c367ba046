//! Ends of transactions that stood in what a repair takes out. Without one a transaction would end with the next of its producer, whichever
//! way that went: what was aborted would show, and what was committed would not.
//!
//! | what is left | tells |
//! |---|---|
//! | a later batch of the producer, in a higher epoch; a snapshot of producers that does not know it open | that it has ended |
//! | the index of aborted transactions of the segment | that it was aborted, and where; or that it was committed |
//!
//! What is known is written again, in the place of what is lost. Where nobody knows it counts as aborted, and is told to be lost.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{AbortedTransaction, BatchHeader, EndMarker, Ending, SegmentFile, segment_file_name};
use crate::io::{Directory, File, OpenMode};
use crate::log::check::repair::rewrite::Found;
use crate::log::producers::table::{OpenTransaction, ProducerTable};
use crate::segment::{Dropped, aborted_of};
use crate::types::Offset;

/// A transaction whose end is lost.
#[derive(Debug)]
pub(super) struct LostEnd {
    pub(super) transaction: OpenTransaction,
    /// How it has ended, where anything tells.
    pub(super) ending: Option<Ending>,
    /// The marker that is put into its place, and the number of the segment that it is for; none where it may be open still.
    pub(super) marker: Option<(usize, Marker)>,
}

impl LostEnd {
    /// The offsets of records that nobody who reads committed ones is handed any more.
    pub(super) fn lost(&self) -> Range<Offset> {
        let OpenTransaction { first, last, .. } = self.transaction;
        if self.ending.is_some() { first..first } else { first..last.saturating_add(1) }
    }
}

impl fmt::Display for LostEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OpenTransaction { producer_id, first, .. } = self.transaction;
        write!(
            f,
            "the end of the transaction of producer {producer_id} from offset {first} on may stand in what is lost: "
        )?;
        f.write_str(match (self.ending, &self.marker) {
            (Some(Ending::Commit), _) => "it was committed, which is written again",
            (Some(Ending::Abort), _) => "it was aborted, which is written again",
            (None, Some(_)) => "nothing shows how it ended, and it counts as aborted",
            (None, None) => "it counts as aborted, unless the open finds that it was committed",
        })
    }
}

/// A batch that says how a transaction has ended.
#[derive(Debug, Clone)]
pub(super) struct Marker {
    pub(super) header: BatchHeader,
    pub(super) batch: Vec<u8>,
}

/// What was known of producers when everything below an offset was written.
pub(super) type Snapshot = (Offset, ProducerTable);

/// Offsets of a segment that are lost.
struct Loss {
    segment: usize,
    offsets: Range<Offset>,
    /// The leader epoch of the batch before it.
    leader_epoch: i32,
    /// The transactions that were aborted in the segment, if its index tells.
    aborted: Option<Arc<Vec<AbortedTransaction>>>,
    /// Offsets that markers have.
    taken: BTreeSet<Offset>,
}

impl Loss {
    fn aborted(&self, open: &OpenTransaction) -> Option<Offset> {
        let is_it = |entry: &&AbortedTransaction| {
            entry.producer_id == open.producer_id
                && entry.first <= open.first
                && self.offsets.contains(&entry.last)
        };
        self.aborted.iter().flat_map(|aborted| aborted.iter()).find(is_it).map(|entry| entry.last)
    }

    /// An offset for a marker of which nobody knows where it was.
    fn free(&self) -> Option<Offset> {
        let entries = self.aborted.iter().flat_map(|aborted| aborted.iter());
        let known: BTreeSet<_> = entries.map(|entry| entry.last).collect();
        self.offsets.clone().find(|offset| !self.taken.contains(offset) && !known.contains(offset))
    }
}

struct Search<'a> {
    directory: &'a Directory,
    /// What the log tells, with what is put into it.
    table: ProducerTable,
    leader_epoch: i32,
    losses: Vec<Loss>,
    ends: Vec<LostEnd>,
}

/// All of them, in segments in the order of their offsets; of those of which nothing is left everything was dropped. `nowhere` is lost behind
/// all of them.
pub(super) fn lost_ends(
    directory: &Directory,
    found: &[Found],
    (closed, nowhere): (Option<&Snapshot>, Option<Range<Offset>>),
) -> Result<Vec<LostEnd>> {
    if nowhere.is_none() && found.iter().all(|one| one.salvage.dropped.is_empty()) {
        return Ok(Vec::new());
    }
    let (table, losses, ends) = (ProducerTable::default(), Vec::new(), Vec::new());
    let mut search = Search { directory, table, leader_epoch: 0, losses, ends };
    for (number, one) in found.iter().enumerate() {
        search.walk(number, one)?;
    }
    let (segment, leader_epoch) = (found.len(), search.leader_epoch);
    let nowhere =
        nowhere.map(|offsets| Loss { segment, offsets, leader_epoch, aborted: None, taken: BTreeSet::new() });
    search.losses.extend(nowhere);
    search.come_to_the_end(closed)?;
    Ok(search.ends)
}

impl Search<'_> {
    fn walk(&mut self, segment: usize, Found { source, salvage, .. }: &Found) -> Result<()> {
        let aborted = match &source.summary {
            Some(summary) if !salvage.dropped.is_empty() => aborted_of(self.directory, summary)?,
            _ => None,
        };
        let mut lost = salvage.dropped.iter().filter(|dropped| !dropped.offsets.is_empty()).peekable();
        let loss = |dropped: &Dropped, leader_epoch: i32| {
            let (offsets, aborted) = (dropped.offsets.clone(), aborted.clone());
            Loss { segment, offsets, leader_epoch, aborted, taken: BTreeSet::new() }
        };
        let mut file = None;
        for kept in &salvage.kept {
            while let Some(dropped) = lost.next_if(|dropped| dropped.range.start < kept.position) {
                self.losses.push(loss(dropped, self.leader_epoch));
            }
            let header = &kept.header;
            self.leader_epoch = header.leader_epoch;
            if header.producer_id < 0 {
                continue;
            }
            let body = match header.attributes.is_control() {
                true => self.body(&mut file, source.base, (kept.position, header))?,
                false => Vec::new(),
            };
            if let Some(open) = self.must_have_ended(header) {
                self.put_end(&open, (header.base_offset, header.producer_epoch))?;
            }
            self.table.replay(header, &body);
        }
        self.losses.extend(lost.map(|dropped| loss(dropped, self.leader_epoch)));
        Ok(())
    }

    fn body(
        &self,
        file: &mut Option<File>,
        base: Offset,
        (position, header): (u64, &BatchHeader),
    ) -> Result<Vec<u8>> {
        let file = match file {
            Some(file) => file,
            None => {
                let name = segment_file_name(base, SegmentFile::Log);
                file.insert(self.directory.open(&name, OpenMode::Read)?)
            }
        };
        let start = position + BatchHeader::LEN as u64;
        file.read(start, header.total_len().saturating_sub(BatchHeader::LEN))
    }

    /// The transaction that a batch finds open and that is over: the batch is of a higher epoch, or a marker of one behind that in which a marker
    /// would end it; or the index of a segment has its end in what is lost. Kafka's own logs may keep to one epoch.
    fn must_have_ended(&self, header: &BatchHeader) -> Option<OpenTransaction> {
        let open = self.table.open_of(header.producer_id)?;
        let its = i32::from(open.producer_epoch) + i32::from(header.attributes.is_control());
        let mut since = self.losses.iter().rev().take_while(|loss| loss.offsets.start > open.last);
        let is_over =
            i32::from(header.producer_epoch) > its || since.any(|loss| loss.aborted(&open).is_some());
        is_over.then_some(open)
    }

    /// Ends a transaction in what was lost behind it and before that offset, in no later epoch than that one. False where nothing was.
    fn put_end(&mut self, open: &OpenTransaction, before: (Offset, i16)) -> Result<bool> {
        let (offset, latest) = before;
        let Some((number, ending)) = self.how_it_ended(open, offset) else { return Ok(false) };
        self.end(open, latest, (number, ending))?;
        Ok(true)
    }

    /// In which loss a transaction has ended that must have, and how.
    fn how_it_ended(&self, open: &OpenTransaction, before: Offset) -> Option<(usize, Option<Ending>)> {
        let is_behind = |loss: &Loss| loss.offsets.start > open.last && loss.offsets.start < before;
        let behind = || self.losses.iter().enumerate().filter(|(_, loss)| is_behind(loss));
        if let Some((number, _)) = behind().find(|(_, loss)| loss.aborted(open).is_some()) {
            return Some((number, Some(Ending::Abort)));
        }
        let (number, _) = behind().find(|(_, loss)| loss.free().is_some())?;
        let is_known = behind().all(|(_, loss)| loss.aborted.is_some());
        Some((number, is_known.then_some(Ending::Commit)))
    }

    fn end(
        &mut self,
        open: &OpenTransaction,
        latest: i16,
        (number, ending): (usize, Option<Ending>),
    ) -> Result<()> {
        let Some(loss) = self.losses.get_mut(number) else { return Ok(()) };
        let Some(at) = loss.aborted(open).or_else(|| loss.free()) else { return Ok(()) };
        self.table.decide(open.producer_id, ending.unwrap_or(Ending::Abort));
        let Some(marker) = self.table.marker(open.producer_id) else { return Ok(()) };
        let marker = EndMarker { producer_epoch: marker.producer_epoch.min(latest), ..marker };
        let wrong = |malformed: crate::format::Malformed| Error::invalid(malformed.to_string());
        let mut batch = marker.encode(at, open.timestamp).map_err(wrong)?;
        let header =
            BatchHeader { leader_epoch: loss.leader_epoch, ..BatchHeader::decode(&batch).map_err(wrong)? };
        header.encode_into(&mut batch).map_err(wrong)?;
        loss.taken.insert(at);
        self.table.replay(&header, batch.get(BatchHeader::LEN..).unwrap_or_default());
        let marker = Some((loss.segment, Marker { header, batch }));
        self.ends.push(LostEnd { transaction: *open, ending, marker });
        Ok(())
    }

    /// What the log leaves open may have ended in what is lost. A snapshot that does not know it open says that it has.
    fn come_to_the_end(&mut self, closed: Option<&Snapshot>) -> Result<()> {
        for open in self.table.open_transactions() {
            let behind = || self.losses.iter().filter(|loss| loss.offsets.start > open.last);
            if behind().next().is_none() {
                continue;
            }
            let is_open_in = |table: &ProducerTable| {
                table.open_of(open.producer_id).is_some_and(|known| known.first <= open.last)
            };
            let is_before = |at: Offset| behind().any(|loss| loss.offsets.start < at);
            let ended_by =
                closed.filter(|(at, table)| is_before(*at) && !is_open_in(table)).map(|(at, _)| *at);
            let was_aborted = behind().any(|loss| loss.aborted(&open).is_some());
            let is_open_still = closed
                .is_some_and(|(at, table)| is_open_in(table) && behind().all(|loss| loss.offsets.end <= *at));
            let is_ended = (ended_by.is_some() || was_aborted)
                && self.put_end(&open, (ended_by.unwrap_or(Offset::MAX), i16::MAX))?;
            if !is_ended && !is_open_still {
                self.ends.push(LostEnd { transaction: open, ending: None, marker: None });
            }
        }
        Ok(())
    }
}
