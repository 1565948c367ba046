//! The segment that another process appends to. It is read positionally: its owner may cut it after what is shown, and a map of
//! what was cut ends the process.

use std::sync::Arc;

use crate::error::Result;
use crate::format::PartitionState;
use crate::live::{Shown, Synced};
use crate::locks::Ordering;
use crate::log::follow::follow::{Basis, Known};
use crate::log::log::Log;
use crate::log::open::known_producers::{KnownProducers, producers_behind};
use crate::log::segment_list::SegmentList;
use crate::log::write::writer::{Phase, Writer};
use crate::segment::Segment;
use crate::types::Offset;

/// It, and how far this process has walked through it for what its owner has in memory.
#[derive(Debug)]
pub(super) struct Growing {
    pub(super) segment: Arc<Segment>,
    /// Where the walk for the index stands.
    indexed: Place,
    /// The same for what records are found by, once somebody has looked for some.
    keys: Place,
    /// The same for the ends of transactions, once somebody has asked for them.
    producers: Option<(KnownProducers, Place)>,
    /// The table when it began to be followed. A later one may name a snapshot of producers from behind some of it.
    state: PartitionState,
    sealed: Vec<Arc<Segment>>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    position: u64,
    expected: Offset,
}

impl Growing {
    pub(super) fn new(segment: Arc<Segment>, state: PartitionState, sealed: Vec<Arc<Segment>>) -> Self {
        let indexed = Place { position: 0, expected: segment.base() };
        Self { segment, indexed, keys: indexed, producers: None, state, sealed }
    }

    /// Notes the batches that came since the last walk. Where one cannot be read, whoever needs it finds out.
    fn index(&mut self) {
        let mut cursor = self.segment.walk_on(self.indexed.position, self.indexed.expected);
        while let Ok(Some(header)) = cursor.peek() {
            self.segment.note(&header, cursor.position());
            cursor.step_over(&header);
        }
        self.indexed = Place { position: cursor.position(), expected: cursor.expected() };
    }

    /// Where a batch cannot be read its walk begins again next time.
    fn index_keys(&mut self, limit: usize) -> Result<()> {
        let Place { position, expected } = self.keys;
        let (position, expected) = self.segment.follow_keys((position, expected), limit)?;
        self.keys = Place { position, expected };
        Ok(())
    }

    fn find_aborted(&mut self) -> Result<()> {
        let Some((producers, place)) = &mut self.producers else { return Ok(()) };
        let mut cursor = self.segment.walk_on(place.position, place.expected);
        while let Some(batch) = cursor.next_batch()? {
            if let Some(aborted) = producers.take(batch.header(), batch.body()) {
                self.segment.note_aborted(aborted);
            }
            *place = Place { position: cursor.position(), expected: cursor.expected() };
        }
        Ok(())
    }
}

impl Log {
    /// Takes over how far an owner has appended.
    pub(super) fn follow_growth(&self, known: &mut Known, shown: Shown) {
        if known.shown == Some(shown) {
            return;
        }
        if let Some(growing) = known.growing.as_ref().filter(|growing| growing.segment.base() == shown.base) {
            // Before readers are let further.
            growing.segment.may_be_read_to(shown.growth.bytes);
        }
        known.shown = Some(shown);
        let end = shown.growth.end;
        let left = self.follow.as_ref().map(|follow| follow.left.read().stable(&shown.growth));
        let stable = left.unwrap_or(shown.growth.stable).min(end);
        let Synced { durable, kept } = shown.synced;
        self.follow.iter().for_each(|follow| follow.kept.store(kept, Ordering::Release));
        self.offsets.follow((shown.start, durable.clamp(shown.start, end), end, stable));
    }

    /// What figures are made of is what is shown now.
    pub(in crate::log) fn note_shown(&self, writer: &mut Writer) {
        // Not the other way round: a look takes the writer's lock.
        let shown = self.follow.as_ref().and_then(|follow| follow.known.try_lock()?.shown);
        if let (Phase::Followed(table), Some(shown)) = (&mut writer.phase, shown)
            && table.shown.base == shown.base
        {
            table.shown = shown;
        }
    }

    /// Has the index of a segment reach to what may be read of it: the owner has it in memory, and this process walks for it.
    #[inline]
    pub(in crate::log) fn catch_up(&self, segment: &Arc<Segment>) {
        if self.follow.is_some() {
            self.index_growing(segment);
        }
    }

    #[cold]
    fn index_growing(&self, segment: &Arc<Segment>) {
        let Some(follow) = &self.follow else { return };
        if let Some(growing) =
            follow.known.lock().growing.as_mut().filter(|it| Arc::ptr_eq(&it.segment, segment))
        {
            growing.index();
        }
    }

    /// The same for all that a list has.
    pub(in crate::log) fn catch_up_all(&self, list: &SegmentList) {
        if let Some(last) = list.iter().last().filter(|_| self.follow.is_some()) {
            self.index_growing(last);
        }
    }

    /// The same for what its records are found by.
    #[inline]
    pub(in crate::log) fn catch_up_keys(&self, segment: &Arc<Segment>) -> Result<()> {
        let Some(follow) = &self.follow else { return Ok(()) };
        let mut known = follow.known.lock();
        match known.growing.as_mut().filter(|it| Arc::ptr_eq(&it.segment, segment)) {
            Some(growing) => growing.index_keys(self.options.max_expanded_bytes),
            None => Ok(()),
        }
    }

    /// The same for the transactions that were aborted in it.
    pub(in crate::log) fn catch_up_aborted(&self, segment: &Arc<Segment>) -> Result<()> {
        let Some(follow) = &self.follow else { return Ok(()) };
        let mut known = follow.known.lock();
        let Some(growing) = known.growing.as_mut().filter(|it| Arc::ptr_eq(&it.segment, segment)) else {
            return Ok(());
        };
        if growing.producers.is_none() {
            let place = Place { position: 0, expected: segment.base() };
            match producers_behind(&self.directory, &growing.state, &growing.sealed) {
                Ok(behind) => growing.producers = Some((behind, place)),
                Err(error) => {
                    // What that table names may be gone by now: begun anew with the one of the next look.
                    known.basis = Basis::Nothing;
                    return Err(error);
                }
            }
        }
        growing.find_aborted()
    }
}
