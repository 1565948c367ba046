//! What a reader does about a batch that cannot be read.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::figures::Event;
use crate::format::{BatchHeader, Malformed};
use crate::locks::Ordering;
use crate::log::read::reader::Reader;
use crate::segment::Segment;
use crate::types::Offset;

/// What a reader does about a damaged batch.
///
/// ```no_run
/// use annals::{OnDamage, Store};
/// let store = Store::open("shop-log")?;
/// let salvage = store.consumer_builder().on_damage(OnDamage::Skip).build()?;
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnDamage {
    /// Returns the error, now and at every later attempt. Other offsets stay readable: seek past the batch.
    #[default]
    Fail,
    /// Continues after the damaged batch, or where the index shows the next one.
    Skip,
}

impl Reader {
    /// Goes on at `next` if the policy is to skip.
    pub(super) fn pass_over(&mut self, error: Error, next: Offset) -> Result<()> {
        self.rest = None;
        // What is only larger than this store expands is no damage, and is not passed over.
        if self.on_damage == OnDamage::Fail || !error.is_corruption() {
            // The cursor may stand behind the batch already; the next fetch must meet it again.
            self.cursor = None;
            return Err(error.resuming_at(next));
        }
        self.skip_to(next);
        Ok(())
    }

    /// Goes on at `next`, and counts what is passed over.
    fn skip_to(&mut self, next: Offset) {
        let skipped = next.saturating_sub(self.position);
        self.log.skipped_offsets.fetch_add(u64::try_from(skipped).unwrap_or(0), Ordering::Relaxed);
        self.log.figures.skipped_offsets.add(u64::try_from(skipped).unwrap_or(0));
        if skipped > 0 {
            let partition = || self.log.topic_partition.clone();
            self.log.figures.events.note(|| Event::Skipped {
                partition: partition(),
                from: self.position,
                to: next,
            });
        }
        self.position = self.position.max(next);
    }

    /// A header that cannot be believed hides where the next batch begins: the index may know, or the next segment does.
    pub(super) fn pass_over_stretch(&mut self, error: Error) -> Result<()> {
        let Error::Corrupt { position, .. } = &error else { return Err(error) };
        let position = *position;
        self.cursor = None;
        let Some(segment) = self.list.floor(self.position).map(Arc::clone) else { return Err(error) };
        if self.on_damage == OnDamage::Fail {
            return Err(match self.behind(&segment, position) {
                Ok(next) => error.resuming_at(next),
                Err(_) => error,
            });
        }
        // What is blamed may lie in front of the place that cannot be read: it must not lead to the same place for ever.
        let passed = self.passed.filter(|(base, _)| *base == segment.base());
        let from = passed.map_or(position, |(_, passed)| passed.max(position));
        if let Some(cursor) = segment.seek_behind(from)? {
            self.passed = Some((segment.base(), cursor.position()));
            self.skip_to(cursor.expected());
            self.cursor = Some(cursor);
        } else {
            self.skip_to(self.end_of(&segment));
        }
        Ok(())
    }

    /// The first offset above the reader's position of which it is known, in spite of the damage at `position`, where its batch
    /// is.
    fn behind(&self, segment: &Arc<Segment>, mut position: u64) -> Result<Offset> {
        while let Some(cursor) = segment.seek_behind(position)? {
            if cursor.expected() > self.position {
                return Ok(cursor.expected());
            }
            // Its own entry led to the damage.
            position = cursor.position();
        }
        Ok(self.end_of(segment))
    }

    /// Where the segment after this one begins. Nothing is known to follow in the last one: what is there now cannot be read,
    /// what comes can.
    fn end_of(&self, segment: &Segment) -> Offset {
        self.list.after(segment.base()).map_or_else(|| self.limit(), |next| next.base())
    }

    pub(super) fn damaged(&self, header: &BatchHeader, malformed: Malformed) -> Error {
        let position = self
            .cursor
            .as_ref()
            .map_or(0, |cursor| cursor.position().saturating_sub(header.total_len() as u64));
        match self.list.floor(header.base_offset) {
            Some(segment) => segment.log().damaged(position, header.base_offset, malformed),
            None => self.log.out_of_range(header.base_offset),
        }
    }
}
