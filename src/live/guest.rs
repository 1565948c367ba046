//! A process that looks at what the owner of a store shows.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::io::{Deadline, Directory, File, OpenMode, Process, pause, tick};
use crate::live::ear::{Ear, Listener};
use crate::live::layout::{Kind, LIVE_FILE, Life, MAGIC, MOST_SLOTS, PIECE_BYTES, Stage, head, slots_in};
use crate::live::locks::Locks;
use crate::live::owner::is_absent;
use crate::live::page::{OWNER_BYTE, Page};
use crate::live::slot::{Slot, ring};
use crate::locks::{AtomicU64, Mutex, Ordering};

/// Who sleeps looks at least so often whether the owner still lives.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// How long it is waited for an owner that writes the page for the first time.
const LONGEST_OPENING: Duration = Duration::from_secs(10);

/// A look into the page.
#[derive(Debug)]
pub(crate) struct Guest {
    page: Page,
    known: Mutex<Known>,
    ear: Arc<Ear>,
    /// The life in which an owner was seen that is about to open the store, and until when it is waited for.
    opening: Mutex<Option<(u64, Deadline)>>,
    /// The life in which the owner was last seen to be gone; none has this number at the beginning.
    gone: AtomicU64,
    /// When the system was last asked whether the owner lives.
    asked: AtomicU64,
    process: Process,
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.process.is_current() {
            self.ear.stop();
        }
    }
}

/// Which slot is whose, as of one list of topics.
#[derive(Debug, Default)]
struct Known {
    catalog: u64,
    slots: HashMap<(u128, u32), usize>,
}

/// What becomes of the store, and in which life of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnerState {
    /// Nobody writes.
    Gone(u64),
    /// A process is about to, and has changed nothing.
    Opening(u64),
    /// A process does, and shows it.
    Here(u64),
    /// A process does, and shows nothing.
    Silent(u64),
}

/// No owner has opened the store such that others can look.
pub(crate) fn not_yet(root: &Directory) -> Error {
    let why = "no process has opened a store for live readers here, or not yet: attach again once one has";
    Error::io(&root.join(LIVE_FILE), "attach to", std::io::Error::new(std::io::ErrorKind::NotFound, why))
}

/// An owner has begun to open the store for the first time, and is not done.
pub(crate) fn still_opening(root: &Directory) -> Error {
    let why = "its owner has begun to open it for the first time, and is not done: attach again";
    Error::io(&root.join(LIVE_FILE), "attach to", std::io::Error::new(std::io::ErrorKind::TimedOut, why))
}

/// Whether an owner that was seen to live is writing the page, or has written it since that was looked at. It has one before it has the lock.
fn has_begun(file: &File, page: Option<&Page>) -> Result<bool> {
    match page {
        None => Ok(file.len()? >= PIECE_BYTES as u64),
        Some(page) => {
            Ok(page.stage() == Stage::Opening || page.head.load(head::MAGIC, Ordering::SeqCst) != 0)
        }
    }
}

impl Guest {
    /// Looks into the page of a store.
    pub(crate) fn attach(root: &Directory) -> Result<Self> {
        Self::attach_within(root, LONGEST_OPENING)
    }

    pub(super) fn attach_within(root: &Directory, most: Duration) -> Result<Self> {
        let refused = |why: &str| Error::invalid(format!("{}: {why}", root.join(LIVE_FILE).display()));
        if !root.shares_memory() {
            return Err(refused("here processes cannot share memory"));
        }
        let deadline = Deadline::after(most);
        loop {
            let file = match root.open(LIVE_FILE, OpenMode::ReadWrite) {
                Err(error) if is_absent(&error) => return Err(not_yet(root)),
                opened => opened?,
            };
            let page = match file.len()? < PIECE_BYTES as u64 {
                true => None,
                false => match Page::new(file.clone())? {
                    None => return Err(refused("here processes cannot share memory")),
                    page => page,
                },
            };
            match page.as_ref().map_or(0, |page| page.head.load(head::MAGIC, Ordering::SeqCst)) {
                MAGIC => {}
                0 if !file.is_byte_locked(OWNER_BYTE)? => return Err(not_yet(root)),
                // It begins just now, or it had no room for its page.
                0 if has_begun(&file, page.as_ref())? => {
                    if deadline.has_passed() {
                        return Err(still_opening(root));
                    }
                    pause(Duration::from_millis(1));
                    continue;
                }
                0 => return Err(Error::StoreInUse { path: root.path().to_path_buf(), pid: None }),
                _ => return Err(refused("another version of annals has written it")),
            }
            if let Some(page) = page {
                return Ok(Self {
                    page,
                    known: Mutex::default(),
                    ear: Arc::default(),
                    opening: Mutex::default(),
                    gone: AtomicU64::new(u64::MAX),
                    asked: AtomicU64::new(0),
                    process: Process::current(),
                });
            }
        }
    }

    /// The locks that this process takes.
    pub(crate) fn locks(&self) -> Locks {
        Locks::new(self.page.file.clone())
    }

    /// The process that had the store open last.
    pub(crate) fn pid(&self) -> Option<u32> {
        u32::try_from(self.page.head.load(head::PID, Ordering::Relaxed)).ok()
    }

    /// The number of the owner's life, and what it does there. Another one means that nothing seen before need hold any more.
    #[inline]
    pub(crate) fn life(&self) -> u64 {
        self.page.head.load(head::LIFE, Ordering::SeqCst)
    }

    /// The same, whatever the owner does there.
    pub(crate) fn number_of_life(&self) -> u64 {
        Life(self.life()).at(Stage::Closed).0
    }

    /// Until when those wait who need what an owner will show that is about to open the store now: all of them until the same moment.
    pub(crate) fn opening_until(&self, most: Duration) -> Option<Deadline> {
        let life = self.life();
        if Life(life).stage() != Stage::Opening {
            return None;
        }
        let mut opening = self.opening.lock();
        let known = opening.filter(|(seen, _)| *seen == life);
        let (_, until) = *opening.insert(known.unwrap_or_else(|| (life, Deadline::after(most))));
        Some(until)
    }

    /// Another number after each change of the list of topics.
    pub(crate) fn catalog(&self) -> u64 {
        self.page.head.load(head::CATALOG, Ordering::SeqCst)
    }

    /// Asks the system whether the owner lives. Its lock is looked at, not taken.
    pub(crate) fn owner(&self) -> Result<OwnerState> {
        loop {
            let life = self.life();
            let stage = Life(life).stage();
            let lives = stage != Stage::Closed && self.page.file.is_byte_locked(OWNER_BYTE)?;
            if life != self.life() {
                continue;
            }
            if !lives {
                self.gone.store(life, Ordering::SeqCst);
            }
            return Ok(match stage {
                _ if !lives => OwnerState::Gone(life),
                Stage::Closed => OwnerState::Gone(life),
                Stage::Opening => OwnerState::Opening(life),
                Stage::Open => OwnerState::Here(life),
                Stage::Silent => OwnerState::Silent(life),
            });
        }
    }

    /// Whether the owner is known to have died in that life: then what it shows last says nothing of what it has written. The system is asked
    /// once in some milliseconds, however many look.
    #[inline]
    pub(crate) fn misses_owner(&self, life: u64) -> bool {
        let now = tick().number();
        if self.asked.load(Ordering::Relaxed) != now {
            self.ask(now);
        }
        self.gone.load(Ordering::SeqCst) == life
    }

    #[cold]
    fn ask(&self, now: u64) {
        self.asked.store(now, Ordering::Relaxed);
        // Where it cannot be told, nothing is known of it; whoever needs to know asks again.
        drop(self.owner());
    }

    /// The slot of a partition, if it is shown.
    pub(crate) fn slot(&self, topic: u128, partition: u32) -> Result<Option<Slot>> {
        let mut known = self.known.lock();
        let catalog = self.catalog();
        let is_its = |slot: &Slot| {
            slot.read().is_some_and(|shown| {
                shown.kind != Kind::Free && shown.topic == topic && shown.partition == partition
            })
        };
        let cached = || known.slots.get(&(topic, partition)).and_then(|number| self.page.slot(*number));
        // One that is missing may have been shown since: while a store is opened they are shown one after the other.
        if known.catalog == catalog
            && let Some(slot) = cached().filter(is_its)
        {
            return Ok(Some(slot));
        }
        let slots = usize::try_from(self.page.head.load(head::SLOTS, Ordering::SeqCst)).unwrap_or(0);
        let slots = slots.min(MOST_SLOTS);
        while slots_in(self.page.pieces()) < slots {
            self.page.grow()?;
        }
        known.slots.clear();
        let there = (0..slots).filter_map(|number| Some((number, self.page.slot(number)?.read()?)));
        let taken = there.filter(|(_, shown)| shown.kind != Kind::Free);
        known.slots.extend(taken.map(|(number, shown)| ((shown.topic, shown.partition), number)));
        known.catalog = catalog;
        Ok(known.slots.get(&(topic, partition)).and_then(|number| self.page.slot(*number)))
    }

    /// The count to hand to [`sleep`](Self::sleep). Read it before looking for what may be there already.
    pub(crate) fn rung(&self) -> u32 {
        let bell = self.page.head.load(head::BELL, Ordering::SeqCst);
        u32::try_from(bell & u64::from(u32::MAX)).unwrap_or(0)
    }

    /// Sleeps until the bell is rung, if it was not since `seen`; a tenth of a second at the longest.
    pub(crate) fn sleep(&self, seen: u32, deadline: Deadline) {
        let most = deadline.left().min(LONGEST_SLEEP);
        self.page.head.wait(head::BELL, seen, most);
    }

    /// Has `listener` told when the bell is rung, on a thread that listens for all tasks of this process. It looks once more after this.
    pub(crate) fn listen(self: &Arc<Self>, listener: Weak<dyn Listener>) -> Result<()> {
        self.ear.listen(self, listener)
    }

    /// Asks the owner to take over before long what this process has done. It sees that when it wakes a reader next.
    pub(crate) fn wish(&self) {
        if self.page.head.is_ready() {
            self.page.head.store(head::WISH, 1, Ordering::SeqCst);
        }
    }

    /// Ends the sleep of whoever sleeps, in this process and in others.
    pub(crate) fn ring(&self) {
        if self.page.head.is_ready() {
            ring(&self.page.head);
        }
    }
}
