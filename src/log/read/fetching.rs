//! A fetch as a whole: what it takes up, and what it leaves.

use crate::error::Result;
use crate::format::Decompressor;
use crate::io::undone_by_panic;
use crate::log::read::expand::OpenedBatch;
use crate::log::read::reader::{FetchLimits, Reader};
use crate::log::read::record_slice::{RecordBytes, RecordSlice};
use crate::segment::WeakBatch;
use crate::types::Offset;

/// What is left of a batch as it was stored, while nobody fetches.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) batch: WeakBatch,
    position: usize,
    remaining: i32,
}

impl Reader {
    /// Up to the limits' worth of records, none at the end. Batches still in memory are written first.
    pub(crate) fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<RecordSlice>> {
        let slices = self.whole(limits, Self::fetch_some);
        let slices = slices.map_err(|error| error.in_partition(&self.log.topic_partition));
        if slices.as_ref().is_ok_and(Vec::is_empty) {
            // Nothing more for now, perhaps for long.
            self.expanded = None;
            self.decompressor = Decompressor::default();
        }
        slices
    }

    /// The same of what is written: for who holds the partition, so that nothing can be in memory after it.
    pub(crate) fn fetch_held(&mut self, limits: FetchLimits) -> Result<Vec<RecordSlice>> {
        self.whole(limits, Self::fetch_written)
    }

    /// A fetch that panics, as a file system of the program's own may, has handed out nothing.
    fn whole(
        &mut self,
        limits: FetchLimits,
        fetch: impl FnOnce(&mut Self, FetchLimits) -> Result<Vec<RecordSlice>>,
    ) -> Result<Vec<RecordSlice>> {
        let (from, limits) = (self.position, limits.after(&mut self.has_panicked));
        let work = |reader: &mut &mut Self| {
            reader.take_up();
            let slices = fetch(reader, limits);
            reader.let_go();
            slices
        };
        undone_by_panic(self, work, |reader| {
            reader.has_panicked = true;
            reader.go_back(from);
        })
    }

    /// Goes on at `from`, where the fetch that is under way began: what it has read by now is not handed out.
    pub(super) fn go_back(&mut self, from: Offset) {
        self.position = from;
        self.passed = None;
        self.decompressor = Decompressor::default();
        (self.cursor, self.rest, self.parked) = (None, None, None);
    }

    /// Between two fetches a reader holds no map: what was removed meanwhile must not stay on the disk for its sake, nor
    /// count among the maps of the process.
    fn let_go(&mut self) {
        if let Some(cursor) = &mut self.cursor {
            cursor.let_go();
        }
        self.parked = match self.rest.take() {
            Some(rest) => match &rest.bytes {
                RecordBytes::Stored(batch) => Some(Parked {
                    batch: batch.downgrade(),
                    position: rest.position,
                    remaining: rest.remaining,
                }),
                RecordBytes::Expanded(_) => {
                    self.rest = Some(rest);
                    None
                }
            },
            None => None,
        };
    }

    fn take_up(&mut self) {
        let Some(Parked { batch, position, remaining }) = self.parked.take() else { return };
        match batch.upgrade() {
            Some(batch) => {
                let (header, bytes) = (*batch.header(), RecordBytes::Stored(batch));
                self.rest = Some(OpenedBatch { header, bytes, position, remaining });
            }
            // Found again by the position. The cursor stands behind it.
            None => self.cursor = None,
        }
    }
}
