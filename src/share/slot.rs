//! The state of one queue in one partition, and the lock on it.

use crate::error::Result;
use crate::format::{DeliveryState, StateBatch};
use crate::locks::Mutex;
use crate::log::Reader;
use crate::share::burial::Reasons;
use crate::share::doubts::Share;
use crate::share::gone::Known;
use crate::share::pace::Pace;
use crate::share::refused::Causes;
use crate::share::runs::length;
use crate::share::share_partition::SharePartition;
use crate::share::state_log::{Accounts, Found, SlotName};
use crate::share::suspects::{Entered, Suspects};
use crate::share::unsettled::Unsettled;
use crate::types::{Offset, Timestamp};

/// Working memory for so many batches stays with a state.
const KEPT_BATCHES: usize = 128;

/// The state of one queue in one partition. It is there as long as the queue is, whoever works on it.
///
/// Its lock comes before those of the partition that stores the states, and of the topic's partitions. It is held while a
/// change is written, so that memory and file agree on the order; never while anything is synced, but for what gives a message up, and
/// for transactions that would put a snapshot off for too long.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: SlotName,
    pub(super) snapshot_key: Vec<u8>,
    pub(super) update_key: Vec<u8>,
    /// The file of its queue's steps.
    pub(super) steps: String,
    inner: Mutex<SlotInner>,
}

#[derive(Debug)]
pub(super) struct SlotInner {
    pub(super) state: SharePartition,
    pub(super) accounts: Accounts,
    pub(super) unsettled: Unsettled,
    /// What is stored goes on beyond the end of the partition.
    pub(super) is_cut: bool,
    /// What is stored says that there is none: nothing is written of it any more.
    pub(super) is_forgotten: bool,
    /// Stands where nothing was handed out yet; made by the first look.
    pub(super) reader: Option<Reader>,
    /// Stands after the last record that was read again, as long as there are such.
    pub(super) again: Option<Reader>,
    /// Which opening of the queue has looked through it.
    pub(super) prepared_for: u64,
    /// It is known what of it may have ended an earlier life. That is found once, before anything is handed out: later it would be what this life has
    /// tried.
    pub(super) is_searched: bool,
    /// Which of its records are known to be there.
    pub(super) known: Known,
    /// Of an owner elsewhere, at the last look.
    pub(super) seen_life: Option<u64>,
    /// What of it was out by the last word to other states of the process.
    pub(super) shown: Option<Share>,
    pub(super) counters: Counters,
    pub(super) causes: Causes,
    pub(super) reasons: Reasons,
    /// Working memory of whoever has the lock.
    pub(super) batches: Vec<StateBatch>,
    pub(super) encoded: Vec<u8>,
}

/// What has happened since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counters {
    pub(super) delivered: u64,
    pub(super) acknowledged: u64,
    pub(super) pace: Pace,
    pub(super) released: u64,
    pub(super) buried: u64,
    pub(super) lost: u64,
}

impl SlotInner {
    /// They are done, as was written.
    pub(super) fn acknowledge(&mut self, batches: &[StateBatch], now: Timestamp) {
        for batch in batches {
            self.state.finish(batch.first, batch.last, DeliveryState::Acknowledged);
            let messages = length(batch.first, batch.last);
            self.counters.acknowledged += messages;
            self.counters.pace.note(now, messages);
        }
    }

    /// Gives working memory back, if it is not much.
    pub(super) fn keep(&mut self, batches: Vec<StateBatch>) {
        if batches.capacity() <= KEPT_BATCHES {
            self.batches = batches;
        }
    }

    /// Nobody knows what was written of them.
    pub(super) fn set_aside(&mut self, batches: &[StateBatch]) {
        self.accounts.is_frozen = true;
        batches.iter().for_each(|batch| self.state.set_aside(batch.first, batch.last));
    }
}

impl Slot {
    /// A state that is not stored yet.
    pub(super) fn new(name: SlotName, start: Offset, now: Timestamp) -> Result<Self> {
        Self::with(name, SharePartition::new(start), (Accounts::new(now), Unsettled::default()))
    }

    pub(super) fn found(name: SlotName, found: Found) -> Result<Self> {
        let accounts = Accounts::found(&found);
        Self::with(name, found.state, (accounts, found.unsettled))
    }

    fn with(
        name: SlotName,
        state: SharePartition,
        (accounts, unsettled): (Accounts, Unsettled),
    ) -> Result<Self> {
        let (snapshot_key, update_key) = name.keys()?;
        let counters = Counters::default();
        let inner = SlotInner {
            state,
            accounts,
            unsettled,
            is_cut: false,
            is_forgotten: false,
            reader: None,
            again: None,
            prepared_for: 0,
            is_searched: false,
            known: Known::default(),
            seen_life: None,
            shown: None,
            counters,
            causes: Causes::default(),
            reasons: Reasons::default(),
            batches: Vec::new(),
            encoded: Vec::new(),
        };
        let steps = name.steps();
        Ok(Self { name, snapshot_key, update_key, steps, inner: Mutex::new(inner) })
    }

    /// Locks it. What is out of it, or is no more, is told to the other states when the lock is let go: there is no other way to it.
    pub(super) fn enter<'a>(&'a self, suspects: &'a Suspects) -> Entered<'a> {
        Entered::new(self.inner.lock(), self, suspects)
    }

    /// The same, where nobody has it.
    pub(super) fn try_enter<'a>(&'a self, suspects: &'a Suspects) -> Option<Entered<'a>> {
        self.inner.try_lock().map(|inner| Entered::new(inner, self, suspects))
    }

    /// What is stored of it goes on beyond the end of the partition: nothing is out yet.
    pub(super) fn note_cut(&self) {
        self.inner.lock().is_cut = true;
    }
}

/// Adds that some records come to be in a state; to the last batch, where they are its neighbours and alike.
pub(super) fn push(
    batches: &mut Vec<StateBatch>,
    (first, last): (Offset, Offset),
    (state, count): (DeliveryState, i16),
) {
    match batches.last_mut() {
        _ if last < first => {}
        Some(before) if before.last + 1 == first && (before.state, before.count) == (state, count) => {
            before.last = last;
        }
        _ => batches.push(StateBatch { first, last, state, count }),
    }
}
