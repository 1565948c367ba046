//! What the owner of a log shows, and looking for it.

use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::Identity;
use crate::io::{Deadline, pause};
use crate::live::{Guest, Kind, OwnerState, Shown, Slot};
use crate::locks::{AtomicI64, AtomicU64, Mutex, Ordering, RwLock};
use crate::log::config::LogConfig;
use crate::log::follow::growing::Growing;
use crate::log::follow::left::{Judge, Left};
use crate::log::follow::table::Sealed;
use crate::log::log::Log;
use crate::log::producers::table::OpenTransaction;

/// Looks at the list of topics again: a partition that is not shown may be of a topic that was deleted.
pub(crate) type FollowedTopics = Box<dyn Fn() -> Result<()> + Send + Sync>;

/// How a log that another process writes is looked at.
pub(crate) struct Follow {
    pub(super) guest: Arc<Guest>,
    pub(super) identity: Identity,
    pub(super) topics: FollowedTopics,
    pub(super) judge: Judge,
    /// What was found out of transactions that owners have left open.
    pub(super) left: RwLock<Left>,
    /// What lies below is synced, and of no transaction without its end in the log, as far as was seen.
    pub(in crate::log) kept: AtomicI64,
    /// Held over a look, I/O included; readers that have what they need do not take it.
    pub(super) known: Mutex<Known>,
    /// Where the owner stands in the middle of a change of what it shows, and until when that is waited for.
    standing: Mutex<Option<(Standstill, Deadline)>>,
}

/// As long as this is the same, nothing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standstill {
    life: u64,
    catalog: u64,
    /// Of the slot, where it was found.
    sequence: Option<u64>,
}

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) basis: Basis,
    pub(super) slot: Option<Slot>,
    pub(super) shown: Option<Shown>,
    pub(super) sealed: Sealed,
    pub(super) growing: Option<Growing>,
    /// What the last owner has left open, as long as nobody has judged it.
    pub(super) unjudged: Vec<OpenTransaction>,
    /// What the files were opened under: each number is compared with the one that is shown.
    pub(super) numbers: Vec<Arc<AtomicU64>>,
}

impl Known {
    /// Whether the list was made of the table in that life.
    pub(super) fn is_of(&self, life: u64) -> bool {
        matches!(self.basis, Basis::Table { life: seen, .. } if seen == life)
    }

    /// Takes over nothing of what was opened so far.
    pub(super) fn forget(&mut self) {
        self.sealed.clear();
        self.growing = None;
        self.numbers.clear();
    }
}

/// What the list of segments was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::log) enum Basis {
    /// There is none yet.
    #[default]
    Nothing,
    /// The table that the owner has in this generation.
    Table { life: u64, generation: u64 },
    /// The files as the owner found them, in this generation.
    Files { life: u64, generation: u64 },
    /// The files as the last owner has left them.
    LeftFiles { life: u64 },
}

/// What a reader that waits compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::log) struct News {
    /// The owner's life and its list of topics.
    list: (u64, u64),
    shown: Option<Shown>,
    basis: Basis,
}

/// How a look ended.
#[derive(Debug)]
pub(super) enum Look {
    Done,
    /// Something changed meanwhile.
    Again,
}

/// So often one call reads again what is not there, having looked again each time.
const MOST_LOOKS_ANEW: u32 = 10;

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Follow {
    pub(crate) fn new(guest: Arc<Guest>, identity: Identity, topics: FollowedTopics, judge: Judge) -> Self {
        let (left, known, standing) = (RwLock::default(), Mutex::default(), Mutex::default());
        let kept = AtomicI64::new(0);
        Self { guest, identity, topics, judge, left, kept, known, standing }
    }

    /// Until when those wait who cannot see what the owner shows now: all of them until the same moment, as long as nothing goes on.
    pub(super) fn standing_until(&self, most: Duration) -> Deadline {
        let sequence = self.known.lock().slot.as_ref().map(Slot::sequence);
        let now = Standstill { life: self.guest.life(), catalog: self.guest.catalog(), sequence };
        let mut standing = self.standing.lock();
        let known = standing.filter(|(seen, _)| *seen == now);
        let (_, until) = *standing.insert(known.unwrap_or_else(|| (now, Deadline::after(most))));
        until
    }

    pub(crate) fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }
}

impl Log {
    /// Sees what the owner shows now. A log of this process has nothing to look for.
    #[inline]
    pub(crate) fn look(&self) -> Result<()> {
        self.check_process()?;
        match &self.follow {
            None => Ok(()),
            Some(follow) => self.look_and_judge(follow),
        }
    }

    pub(super) fn look_once(&self, follow: &Follow, known: &mut Known) -> Result<Look> {
        let life = follow.guest.life();
        match known.basis {
            Basis::Table { life: seen, generation } | Basis::Files { life: seen, generation }
                if seen == life && !follow.guest.misses_owner(life) =>
            {
                let shown = known.slot.as_ref().and_then(Slot::read);
                if let Some(shown) = shown.filter(|shown| shown.generation == generation) {
                    self.follow_growth(known, shown);
                    return Ok(Look::Done);
                }
            }
            Basis::LeftFiles { life: seen } if seen == life => return Ok(Look::Done),
            _ => {}
        }
        match follow.guest.owner()? {
            OwnerState::Gone(life) => self.take_left_files(follow, known, life),
            OwnerState::Silent(_) => {
                Err(Error::StoreInUse { path: self.directory.path().to_path_buf(), pid: follow.guest.pid() })
            }
            OwnerState::Opening(life) => self.look_at_slot(follow, known, (life, true)),
            OwnerState::Here(life) => self.look_at_slot(follow, known, (life, false)),
        }
    }

    fn look_at_slot(
        &self,
        follow: &Follow,
        known: &mut Known,
        (life, is_opening): (u64, bool),
    ) -> Result<Look> {
        let Some(slot) = follow.guest.slot(follow.identity.topic, follow.identity.partition)? else {
            return Ok(Look::Again);
        };
        let Some(shown) = slot.read() else { return Ok(Look::Again) };
        if (shown.topic, shown.partition) != (follow.identity.topic, follow.identity.partition) {
            return Ok(Look::Again);
        }
        if is_opening && follow.left.read().stable(&shown.growth) < shown.growth.end {
            // It has not decided yet, and an earlier owner may have shown more.
            return Ok(Look::Again);
        }
        known.slot = Some(slot.clone());
        match shown.kind {
            Kind::Free => Ok(Look::Again),
            Kind::AsFound => self.take_found_files(follow, known, (life, slot, shown)),
            Kind::Growing => self.take_table(follow, known, (life, slot, shown)),
        }
    }

    /// Its owner may have given the topic other settings.
    pub(crate) fn follow_config(&self, config: &Arc<LogConfig>) {
        *self.config.write() = Arc::clone(config);
    }

    /// As if its owner had shown it so, and nothing else.
    #[cfg(all(test, not(annals_shuttle)))]
    pub(crate) fn show_kept(&self, kept: crate::types::Offset) {
        self.follow.iter().for_each(|follow| follow.kept.store(kept, std::sync::atomic::Ordering::Release));
    }

    /// A file that the list names is not there: its name may be another file's by now. The files are looked for again, as the owner
    /// shows them. Ok where the caller is to read again; `tries` counts how often it did.
    pub(in crate::log) fn look_anew(&self, error: Error, tries: &mut u32) -> Result<()> {
        let is_not_there = matches!(&error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound);
        let Some(follow) = self.follow.as_ref().filter(|_| is_not_there && *tries < MOST_LOOKS_ANEW) else {
            return Err(error);
        };
        *tries += 1;
        if *tries > 1 {
            // Whoever changes the files may be in the middle of it.
            pause(Duration::from_millis(u64::from(*tries)));
        }
        follow.known.lock().basis = Basis::Nothing;
        self.look()
    }

    /// What is shown now. Another answer means that there may be more to read.
    pub(in crate::log) fn news(&self) -> News {
        let Some(follow) = &self.follow else { return News::default() };
        let known = follow.known.lock();
        // What stays in the middle of a change is no news: its writer goes on, or is found to be dead.
        let shown = known.slot.as_ref().and_then(Slot::read);
        News { list: (follow.guest.life(), follow.guest.catalog()), shown, basis: known.basis }
    }

    /// A reader is about to wait for more. What it looks at next it has not missed.
    pub(in crate::log) fn want(&self) {
        if let Some(follow) = &self.follow
            && let Some(slot) = &follow.known.lock().slot
        {
            slot.want();
        }
    }

    /// The owner has died: what it has written and not shown is looked for in the files, once. False if that was done.
    pub(in crate::log) fn leave_owner(&self) -> bool {
        let Some(follow) = &self.follow else { return false };
        let mut known = follow.known.lock();
        let is_of_owner = !matches!(known.basis, Basis::LeftFiles { .. } | Basis::Nothing);
        if is_of_owner {
            known.basis = Basis::Nothing;
        }
        is_of_owner
    }

    /// The number under which a file was opened is another one by now.
    pub(super) fn renumber(known: &mut Known, number: u64) {
        known.numbers.retain(|one| Arc::strong_count(one) > 1);
        known.numbers.iter().for_each(|one| one.store(number, Ordering::SeqCst));
    }
}
