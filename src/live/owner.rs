//! The process that owns the store, and shows what it does.

use std::io::ErrorKind;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::{Directory, File, OpenMode, Process};
use crate::live::layout::{
    Growth, Kind, LIVE_FILE, Life, MAGIC, MOST_SLOTS, NOTHING, PIECE_BYTES, Shown, Stage, Synced, Table,
    head, slots_in,
};
use crate::live::locks::Locks;
use crate::live::page::{OWNER_BYTE, Page};
use crate::live::slot::{Slot, put, put_appended, put_growth, put_stable, ring};
use crate::locks::{AtomicBool, AtomicU64, Mutex, OnceLock, Ordering};

/// A partition at which a reader has waited is taken for followed at so many calls after that.
const FOLLOWED_FOR: u64 = 100_000;

/// Shows partitions to other processes, from the open of the store to its close.
#[derive(Debug)]
pub(crate) struct Owner {
    page: Page,
    life: Life,
    process: Process,
    /// The last generation that was given out. In one life none comes twice.
    generations: Arc<AtomicU64>,
    slots: Mutex<Slots>,
    is_closed: AtomicBool,
    pub(super) locks: Locks,
    wishes: OnceLock<Wishes>,
}

/// Who is told that another process wishes for something.
struct Wishes(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Wishes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wishes")
    }
}

#[derive(Debug)]
struct Slots {
    /// So many were given out or given back.
    used: usize,
    free: Vec<usize>,
}

/// The slot of one partition, as its owner has it. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct OwnSlot {
    owner: Arc<Owner>,
    topic: u128,
    partition: u32,
    number: usize,
    slot: Slot,
    sequence: AtomicU64,
    /// Set once: the slot is another's from there on, or that of another life.
    is_over: AtomicBool,
    /// So many times more it is taken for followed.
    followed: AtomicU64,
    /// Held over the one change that is made without the lock of the partition's writer.
    syncing: Mutex<()>,
}

/// Whether a store is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Show,
    Hide,
}

impl Owner {
    pub(super) fn begin(root: &Directory, wish: Wish) -> Result<Option<Self>> {
        let file = match root.open(LIVE_FILE, OpenMode::ReadWrite) {
            Err(error) if is_absent(&error) && wish == Wish::Hide => return Ok(None),
            Err(error) if is_absent(&error) => root.open(LIVE_FILE, OpenMode::CreateNew)?,
            opened => opened?,
        };
        let Some(page) = Self::map(file)? else { return Ok(None) };
        let life = Life(page.head.load(head::LIFE, Ordering::SeqCst)).next();
        if !page.head.is_ready() {
            return Ok(None);
        }
        // In this order: whoever sees the lock, and then the word, sees no stage of an earlier life.
        page.head.store(head::LIFE, life.at(Stage::Opening).0, Ordering::SeqCst);
        if !page.file.try_lock_byte(OWNER_BYTE)? {
            return Ok(None);
        }
        let generations = Arc::new(AtomicU64::new(life.first_generation()));
        let slots = Mutex::new(Slots { used: 0, free: Vec::new() });
        let is_closed = AtomicBool::new(false);
        let locks = Locks::new(page.file.clone());
        let (process, wishes) = (Process::current(), OnceLock::new());
        let owner = Self { page, life, process, generations, slots, is_closed, locks, wishes };
        owner.clear();
        if wish == Wish::Hide {
            owner.enter(Stage::Silent);
        }
        Ok(Some(owner))
    }

    /// Maps the file as far as it goes.
    fn map(file: File) -> Result<Option<Page>> {
        let pieces = usize::try_from(file.len()?).unwrap_or(usize::MAX) / PIECE_BYTES;
        let Some(page) = Page::new(file)? else { return Ok(None) };
        while page.pieces() < pieces && slots_in(page.pieces()) < MOST_SLOTS {
            page.grow()?;
        }
        Ok(Some(page))
    }

    /// Whatever stood in the page is of an earlier life.
    fn clear(&self) {
        let head = &self.page.head;
        let slots = slots_in(self.page.pieces());
        for number in 0..slots {
            if let Some(slot) = self.page.slot(number) {
                self.clear_slot(&slot, &AtomicU64::new(slot.sequence()));
            }
        }
        head.store(head::MAGIC, MAGIC, Ordering::SeqCst);
        head.store(head::PID, u64::from(self.process.id()), Ordering::SeqCst);
        head.store(head::CATALOG, self.next_generation(), Ordering::SeqCst);
        head.store(head::SLOTS, slots as u64, Ordering::SeqCst);
    }

    fn clear_slot(&self, slot: &Slot, sequence: &AtomicU64) {
        let growth =
            Growth { end: 0, stable: 0, bytes: 0, records: 0, first_timestamp: -1, max_timestamp: -1 };
        let generation = self.next_generation();
        let free = Shown {
            topic: 0,
            partition: 0,
            kind: Kind::Free,
            generation,
            start: 0,
            base: 0,
            growth,
            appended_bytes: 0,
            synced: NOTHING,
        };
        slot.change(sequence, |words| {
            put(words, &free);
            put_appended(words, 0);
            slot.reset_synced(NOTHING);
        });
    }

    fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn enter(&self, stage: Stage) {
        if self.page.head.is_ready() {
            self.page.head.store(head::LIFE, self.life.at(stage).0, Ordering::SeqCst);
            ring(&self.page.head);
        }
    }

    /// All partitions are there: others may look.
    pub(crate) fn opened(&self) {
        if Life(self.page.head.load(head::LIFE, Ordering::SeqCst)).stage() == Stage::Opening {
            self.enter(Stage::Open);
        }
    }

    /// Has `told` called, under the lock of a partition's writer, once another process has wished for something.
    pub(crate) fn on_wish(&self, told: impl Fn() + Send + Sync + 'static) {
        drop(self.wishes.set(Wishes(Box::new(told))));
    }

    fn look_for_a_wish(&self) {
        if self.page.head.is_ready() && self.page.head.load(head::WISH, Ordering::SeqCst) != 0 {
            self.page.head.store(head::WISH, 0, Ordering::SeqCst);
            self.wishes.get().into_iter().for_each(|wishes| wishes.0());
        }
    }

    /// The list of topics is another one, durably.
    pub(crate) fn catalog_changed(&self) {
        if self.page.head.is_ready() {
            self.page.head.store(head::CATALOG, self.next_generation(), Ordering::SeqCst);
            ring(&self.page.head);
        }
    }

    /// A slot for one more partition. `None` where there is no room for it: then it is not shown.
    pub(crate) fn slot(self: &Arc<Self>, topic: u128, partition: u32) -> Option<OwnSlot> {
        if Life(self.page.head.load(head::LIFE, Ordering::SeqCst)).stage() == Stage::Silent {
            return None;
        }
        let mut slots = self.slots.lock();
        let number = match slots.free.pop() {
            Some(number) => number,
            None => {
                let number = slots.used;
                if number >= slots_in(self.page.pieces()) {
                    self.grow()?;
                }
                slots.used += 1;
                number
            }
        };
        let slot = self.page.slot(number)?;
        let sequence = AtomicU64::new(slot.sequence());
        Some(OwnSlot {
            owner: Arc::clone(self),
            topic,
            partition,
            number,
            slot,
            sequence,
            is_over: AtomicBool::new(false),
            followed: AtomicU64::new(0),
            syncing: Mutex::new(()),
        })
    }

    /// The file grows first, then the new slots are cleared, then readers are told of them.
    fn grow(&self) -> Option<()> {
        let before = slots_in(self.page.pieces());
        if before >= MOST_SLOTS || self.page.grow().is_err() {
            return None;
        }
        let slots = slots_in(self.page.pieces());
        for slot in (before..slots).filter_map(|number| self.page.slot(number)) {
            self.clear_slot(&slot, &AtomicU64::new(slot.sequence()));
        }
        self.page.head.store(head::SLOTS, slots as u64, Ordering::SeqCst);
        Some(())
    }
}

impl Owner {
    /// Nothing is shown any more, and the slots of all partitions were given back.
    pub(crate) fn close(&self) {
        if self.process.may_unlock() && !self.is_closed.swap(true, Ordering::SeqCst) {
            self.enter(Stage::Closed);
            // Closing the file is not enough: a process that is being started has a copy of the descriptor.
            drop(self.page.file.unlock_byte(OWNER_BYTE));
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}

pub(super) fn is_absent(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound)
}

impl OwnSlot {
    /// Shows where names, lengths or the beginning of the log are others than before. Under the lock of the partition's writer.
    pub(crate) fn show(&self, table: &Table) {
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        let Table { kind, start, base, growth } = *table;
        let generation = self.owner.next_generation();
        let (topic, partition) = (self.topic, self.partition);
        // An edit of the table is no append, and no sync.
        let (appended_bytes, synced) = (0, NOTHING);
        let shown = Shown { topic, partition, kind, generation, start, base, growth, appended_bytes, synced };
        self.slot.change(&self.sequence, |words| put(words, &shown));
    }

    /// The same for the first time.
    pub(crate) fn begin(&self, table: &Table, synced: Synced) {
        self.slot.reset_synced(synced);
        self.show(table);
    }

    /// Records, and the time of the first, as they were shown last of the segment that begins at `base`.
    pub(crate) fn counted(&self, base: i64) -> (u64, i64) {
        let shown = self.slot.read().filter(|shown| shown.base == base && shown.kind != Kind::Free);
        shown.map_or((0, -1), |shown| (shown.growth.records, shown.growth.first_timestamp))
    }

    /// Shows what an append has changed. Under the lock of the partition's writer.
    #[inline]
    pub(crate) fn grow(&self, growth: &Growth, appended_bytes: u64) {
        if !self.is_over.load(Ordering::Relaxed) {
            self.slot.change(&self.sequence, |words| {
                put_growth(words, growth);
                put_appended(words, appended_bytes);
            });
        }
    }

    /// Shows that a transaction was decided. Under the lock of the partition's writer.
    pub(crate) fn move_stable(&self, stable: i64) {
        if !self.is_over.load(Ordering::Relaxed) {
            self.slot.change(&self.sequence, |words| put_stable(words, stable));
        }
    }

    /// Shows how far a sync has got, or that a transaction has come to its end.
    pub(crate) fn sync(&self, synced: Synced) {
        let syncing = self.syncing.lock();
        if !self.is_over.load(Ordering::Relaxed) {
            self.slot.put_synced(synced);
        }
        drop(syncing);
        // Who commits elsewhere need not wait for records.
        self.owner.look_for_a_wish();
    }

    /// Wakes readers elsewhere that wait for the partition.
    #[inline]
    pub(crate) fn ring_if_wanted(&self) {
        if self.slot.is_wanted() && !self.is_over.load(Ordering::Relaxed) {
            self.followed.store(FOLLOWED_FOR, Ordering::Relaxed);
            self.slot.ring_if_wanted();
            self.owner.look_for_a_wish();
        }
    }

    /// Whether a reader elsewhere has waited not so many calls ago.
    #[inline]
    pub(crate) fn is_followed(&self) -> bool {
        let left = self.followed.load(Ordering::Relaxed);
        if left > 0 {
            // Another thread may take one at the same time: about so many is as good.
            self.followed.store(left - 1, Ordering::Relaxed);
        }
        left > 0
    }

    /// What a process that dies in the middle of a change leaves.
    #[cfg(test)]
    pub(super) fn begin_a_change(&self) {
        self.slot.begin_a_change(&self.sequence);
    }

    /// Whether a reader elsewhere waits.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.slot.is_wanted() && !self.is_over.load(Ordering::Relaxed)
    }

    /// What is shown stays as it is, and the slot is left to the next life of the store. Under the lock of the partition's writer.
    pub(crate) fn leave(&self) {
        let _syncing = self.syncing.lock();
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// The partition is shown no more: it was deleted. Under the lock of its writer.
    pub(crate) fn end(&self) {
        if !self.owner.process.may_unlock() {
            // Another thread may have held the lock when a child was made.
            return;
        }
        let _syncing = self.syncing.lock();
        if self.is_over.swap(true, Ordering::SeqCst) {
            return;
        }
        self.owner.clear_slot(&self.slot, &self.sequence);
        self.slot.ring_if_wanted();
        self.owner.slots.lock().free.push(self.number);
    }
}

impl Drop for OwnSlot {
    fn drop(&mut self) {
        self.end();
    }
}
