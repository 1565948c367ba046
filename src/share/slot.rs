//! The state of one queue in one partition, and the lock on it.

use crate::error::Result;
use crate::format::DeliveryState;
use crate::locks::Mutex;
use crate::log::Reader;
use crate::share::runs::Span;
use crate::share::share_partition::SharePartition;
use crate::share::state_log::{Accounts, Found, SlotName};
use crate::types::{Offset, Timestamp};

/// The state of one queue in one partition. It is there as long as the queue is, whoever works on it.
///
/// Its lock comes before those of the partition that stores the states, and of the topic's partitions. It is held while a
/// change is written, so that memory and file agree on the order; never while anything is synced.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: SlotName,
    pub(super) snapshot_key: Vec<u8>,
    pub(super) update_key: Vec<u8>,
    pub(super) inner: Mutex<SlotInner>,
}

#[derive(Debug)]
pub(super) struct SlotInner {
    pub(super) state: SharePartition,
    pub(super) accounts: Accounts,
    /// Stands where nothing was handed out yet; made by the first look.
    pub(super) reader: Option<Reader>,
    /// Which opening of the queue has looked through it.
    pub(super) prepared_for: u64,
    pub(super) counters: Counters,
}

/// What has happened since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counters {
    pub(super) delivered: u64,
    pub(super) acknowledged: u64,
    pub(super) released: u64,
    pub(super) buried: u64,
    pub(super) lost: u64,
}

impl SlotInner {
    /// They are done, as was written.
    pub(super) fn acknowledge(&mut self, spans: &[Span]) {
        for span in spans {
            self.state.finish(span.first, span.last, DeliveryState::Acknowledged);
            self.counters.acknowledged += span.len();
        }
    }

    /// Nobody knows what was written of them.
    pub(super) fn set_aside(&mut self, spans: &[Span]) {
        self.accounts.is_frozen = true;
        spans.iter().for_each(|span| self.state.set_aside(span));
    }
}

impl Slot {
    /// A state that is not stored yet.
    pub(super) fn new(name: SlotName, start: Offset, now: Timestamp) -> Result<Self> {
        Self::with(name, SharePartition::new(start), Accounts::new(now))
    }

    pub(super) fn found(name: SlotName, found: Found) -> Result<Self> {
        let accounts = Accounts::found(&found);
        Self::with(name, found.state, accounts)
    }

    fn with(name: SlotName, state: SharePartition, accounts: Accounts) -> Result<Self> {
        let (snapshot_key, update_key) = name.keys()?;
        let counters = Counters::default();
        let inner = SlotInner { state, accounts, reader: None, prepared_for: 0, counters };
        Ok(Self { name, snapshot_key, update_key, inner: Mutex::new(inner) })
    }
}
