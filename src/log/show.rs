//! What other processes are shown of a log, by the one that owns it.

use std::sync::Arc;

use crate::error::Error;
use crate::format::EndMarker;
use crate::live::{Growth, Kind, OwnSlot, Synced, Table};
use crate::log::log::Log;
use crate::log::write::writer::{Open, Phase, Writer};

impl Log {
    /// Whether other processes are shown it.
    pub(crate) fn is_shown(&self) -> bool {
        self.shown.get().is_some()
    }

    /// Shows it to other processes from here on. One that is shown, or is no more, has no need of the slot.
    pub(crate) fn show(&self, slot: OwnSlot) {
        let writer = self.writer.lock();
        if self.is_shown() || matches!(writer.phase, Phase::Closed) {
            return;
        }
        let slot = Arc::new(slot);
        slot.begin(&self.table(Kind::AsFound, &slot, writer.uncommitted), self.synced_to());
        if let Phase::Open(open) = &writer.phase {
            slot.show(&self.table(Kind::Growing, &slot, writer.uncommitted));
            slot.grow(&self.growth(open, writer.uncommitted), writer.appended.bytes);
        }
        self.watchers.show(&slot);
        drop(self.shown.set(slot));
    }

    /// The table of segments, or what readers see of it, is another one. Under the writer's lock, before a file is touched that
    /// the old one names.
    pub(in crate::log) fn show_table(&self, kind: Kind) {
        if let Some(slot) = self.shown.get() {
            // An edit ends no transaction.
            let uncommitted = self.producers.lock().uncommitted(self.start());
            slot.show(&self.table(kind, slot, uncommitted));
        }
    }

    fn table(&self, kind: Kind, slot: &OwnSlot, uncommitted: Option<i64>) -> Table {
        let list = self.segment_list();
        let last = list.iter().last();
        let base = last.map_or(0, |segment| segment.base());
        // Counts are for figures alone: those of the segment as they were shown last.
        let (records, first_timestamp) = slot.counted(base);
        let growth = Growth {
            end: self.end(),
            stable: uncommitted.unwrap_or(self.end()),
            bytes: last.map_or(0, |segment| segment.bytes()),
            records,
            first_timestamp,
            max_timestamp: last.map_or(-1, |segment| segment.max_timestamp()),
        };
        Table { kind, start: list.start(), base, growth }
    }

    /// Something was appended: so many bytes since the store was opened. Under the writer's lock.
    #[inline]
    pub(in crate::log) fn show_growth(&self, open: &Open, uncommitted: Option<i64>, appended_bytes: u64) {
        if let Some(slot) = self.shown.get() {
            slot.grow(&self.growth(open, uncommitted), appended_bytes);
        }
    }

    /// The same of a batch, perhaps with the end of a transaction.
    #[inline]
    pub(in crate::log) fn show_batch(
        &self,
        open: &Open,
        (uncommitted, appended_bytes): (Option<i64>, u64),
        ends: Option<&EndMarker>,
    ) {
        self.show_growth(open, uncommitted, appended_bytes);
        if ends.is_some() {
            self.show_durable();
        }
    }

    #[inline]
    fn growth(&self, open: &Open, uncommitted: Option<i64>) -> Growth {
        let end = self.end();
        Growth {
            end,
            stable: uncommitted.unwrap_or(end),
            bytes: open.active.bytes(),
            records: open.active.record_count(),
            first_timestamp: open.active.first_timestamp().unwrap_or(-1),
            max_timestamp: open.active.max_timestamp(),
        }
    }

    /// A sync has got further, or a transaction has come to its end.
    pub(in crate::log) fn show_durable(&self) {
        if let Some(slot) = self.shown.get() {
            slot.sync(self.synced_to());
        }
    }

    fn synced_to(&self) -> Synced {
        Synced { durable: self.durable(), kept: self.kept() }
    }

    /// Nothing more is shown of it: `reason` is why nobody uses it any more. Under the writer's lock.
    pub(in crate::log) fn show_no_more(&self, _writer: &Writer, reason: &Error) {
        if let Some(slot) = self.shown.get() {
            match reason {
                Error::UnknownTopic { .. } => slot.end(),
                // The files stay, and what was shown last is true of them.
                _ => slot.leave(),
            }
        }
    }
}
