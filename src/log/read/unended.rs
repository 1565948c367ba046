//! Transactions that have no end in the log, as its batches tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Result;
use crate::format::BatchHeader;
use crate::log::log::Log;
use crate::log::producers::table::Fate;
use crate::log::segment_list::SegmentList;
use crate::types::{Offset, Timestamp};

/// A transaction without an end in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unended {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    /// Of its first record.
    pub(crate) first: Offset,
    /// Of that, too.
    pub(crate) timestamp: Timestamp,
    pub(crate) fate: Fate,
}

impl Log {
    /// All of them. Reads the headers from the first of them to the end: a process that only reads has no other way to know.
    pub(crate) fn unended(self: &Arc<Self>) -> Result<Vec<Unended>> {
        self.look_through(|list| {
            let from = self.stable().min(self.finished());
            let mut open = BTreeMap::new();
            let ends = list.iter().skip(1).map(|next| next.base()).chain([Offset::MAX]);
            for (segment, _) in list.iter().zip(ends).filter(|(_, end)| *end > from) {
                let mut cursor = segment.seek(from)?;
                while let Some(header) = cursor.peek()? {
                    cursor.check_next(&header)?;
                    cursor.step_over(&header);
                    if header.last_offset() >= from {
                        self.note_unended(&mut open, &header);
                    }
                }
            }
            Ok(open.into_values().collect())
        })
    }

    fn note_unended(&self, open: &mut BTreeMap<i64, Unended>, header: &BatchHeader) {
        let BatchHeader { producer_id, producer_epoch, .. } = *header;
        if !header.attributes.is_transactional() {
            return;
        }
        if header.attributes.is_control() {
            open.remove(&producer_id);
            return;
        }
        open.entry(producer_id).or_insert_with(|| Unended {
            producer_id,
            producer_epoch,
            first: header.base_offset,
            timestamp: header.base_timestamp,
            fate: self.fate(producer_id, header.base_offset).unwrap_or(Fate::Open),
        });
    }

    /// Has `look` see the segments as they are now; again where some were removed or replaced on the way.
    pub(super) fn look_through<T>(
        self: &Arc<Self>,
        mut look: impl FnMut(&SegmentList) -> Result<T>,
    ) -> Result<T> {
        self.check_open()?;
        // Of what is written: what is in memory has no part in it.
        self.write_for((0, 0))?;
        let mut tries = 0;
        loop {
            let list = self.segment_list();
            self.catch_up_all(&list);
            match look(&list) {
                Err(_) if self.look().is_ok() && self.is_another(&list) => {}
                Err(error) => {
                    let again = self.look_anew(error, &mut tries);
                    self.check_open()?;
                    again?;
                }
                Ok(found) => {
                    self.check_open()?;
                    return Ok(found);
                }
            }
        }
    }

    /// Whether what was met in `list` may not be met again. What this process adds to it is in nobody's way; another one may have it
    /// look different in more ways.
    fn is_another(&self, list: &Arc<SegmentList>) -> bool {
        let now = self.segment_list();
        if self.follow.is_some() { !Arc::ptr_eq(list, &now) } else { list.has_lost(&now) }
    }
}
