//! The files `annals.steps.*`: what a queue elsewhere does is appended there by the process that has the queue, and taken out by the owner of
//! the store once it is folded.
//!
//! A queue is one process's at a time, by a lock. The one that appends is therefore alone, but for the owner, which replaces the file:
//! both change it under another lock, for that moment. The head's version says that it was replaced.

use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{FrameMark, StepsHead, StepsId, encode_spooled, sip_hash_128};
use crate::group::{put, still_ends_so};
use crate::io::{Deadline, Directory, File, NEW, Process, PublishFailure, pause, random_id};
use crate::live::Locks;
use crate::locks::{AtomicBool, Mutex, MutexGuard, Ordering};
use crate::log::{call_ends_by, out_of_time};
use crate::share::in_time::{LONGEST_WAIT, in_time};
use crate::share::queue_steps::{SlotSteps, Steps};
use crate::share::state_log::SlotName;
use crate::share::step_bytes::{head_of, open, read, whole_frames};
use crate::share::tenure::Tenure;
use crate::types::Offset;

const PREFIX: &str = "annals.steps.";
/// A topic's id and a hash, in hexadecimal.
const ID_LEN: usize = 32;

/// How large a file may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// From there on, and from twice what was left the last time, it is written anew with what its steps add up to.
    pub(super) merged_from: usize,
    /// From there on nothing is handed out.
    pub(super) most: usize,
    /// Beyond that nothing is answered either: what is written anew must be readable whatever comes to it meanwhile.
    pub(super) full: usize,
}

const BOUNDS: Bounds = Bounds { merged_from: 4 << 20, most: 64 << 20, full: 256 << 20 };

/// The files of all queues, as one process has them.
#[derive(Debug)]
pub(crate) struct StepFiles {
    pub(super) root: Directory,
    /// None where no process can attach: then nobody else has a queue, or changes a file.
    locks: Option<Locks>,
    pub(super) bounds: Bounds,
    /// How many keep the lock of a queue: it is the process's.
    held: Mutex<HashMap<String, usize>>,
    /// The files that this process changes.
    files: Mutex<HashMap<String, Arc<StepFile>>>,
    /// Why nobody knows whether a power cut brings back what was taken out of some.
    may_come_back: Mutex<HashMap<String, Error>>,
}

/// A file that threads of this process change.
#[derive(Debug, Default)]
pub(super) struct StepFile {
    /// Held over every change: the lock of the file is the process's, not the thread's. There is a tenure while this process appends.
    pub(super) changing: Mutex<Option<Tenure>>,
    /// Held over a sync, and never taken after `changing`.
    pub(super) syncing: Mutex<()>,
    /// The last wait for another process was in vain.
    is_stuck: AtomicBool,
}

/// A file as it was found.
#[derive(Debug)]
pub(super) struct FoundSteps {
    pub(super) id: StepsId,
    pub(super) is_doubtful: bool,
    pub(super) steps: Steps,
    pub(super) end: usize,
    pub(super) last: Option<FrameMark>,
}

/// A queue is this process's as long as this lives.
#[derive(Debug)]
pub(super) struct QueueLock {
    files: Arc<StepFiles>,
    pub(super) name: String,
    process: Process,
}

impl Drop for QueueLock {
    fn drop(&mut self) {
        if self.process.is_current() {
            self.files.unlock(&self.name);
        }
    }
}

/// A file is this thread's to change.
struct Held<'a> {
    locks: Option<&'a Locks>,
    name: &'a str,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.locks.iter().for_each(|locks| locks.unlock_steps(self.name));
    }
}

/// The file of a queue.
pub(super) fn file_of(topic: u128, owner: &str) -> String {
    format!("{PREFIX}{topic:032x}.{:032x}", sip_hash_128(owner.as_bytes()))
}

/// The id of the topic whose queue has that file.
pub(super) fn topic_of(name: &str) -> Option<u128> {
    let (topic, hash) = name.strip_prefix(PREFIX)?.split_once('.')?;
    let is_id = |text: &str| text.len() == ID_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id(topic) && is_id(hash)).then(|| u128::from_str_radix(topic, 16).ok())?
}

impl StepFiles {
    pub(crate) fn new(root: Directory, locks: Option<Locks>) -> Self {
        Self::with_bounds(root, locks, BOUNDS)
    }

    pub(super) fn with_bounds(root: Directory, locks: Option<Locks>, bounds: Bounds) -> Self {
        Self {
            root,
            locks,
            bounds,
            held: Mutex::default(),
            files: Mutex::default(),
            may_come_back: Mutex::default(),
        }
    }

    /// Makes a queue this process's; nothing when it is another's.
    pub(super) fn try_lock(self: &Arc<Self>, name: &str) -> Result<Option<QueueLock>> {
        let mut held = self.held.lock();
        let count = held.get(name).copied().unwrap_or(0);
        if count == 0
            && let Some(locks) = &self.locks
            && !locks.try_lock_queue(name)?
        {
            return Ok(None);
        }
        held.insert(name.to_owned(), count + 1);
        Ok(Some(QueueLock { files: Arc::clone(self), name: name.to_owned(), process: Process::current() }))
    }

    fn unlock(&self, name: &str) {
        let mut held = self.held.lock();
        let count = held.get(name).copied().unwrap_or(0);
        if count > 1 {
            held.insert(name.to_owned(), count - 1);
            return;
        }
        held.remove(name);
        self.forget(name);
        self.locks.iter().for_each(|locks| locks.unlock_queue(name));
    }

    /// Gives all queues back, whoever has workers and messages still: the store is closed. What had begun is done, and nothing begins.
    pub(super) fn leave(&self) {
        // First: whoever has a file's lock by now has the file among these.
        self.locks.iter().for_each(Locks::bar);
        let files: Vec<_> = self.files.lock().values().cloned().collect();
        for file in files {
            *file.changing.lock() = None;
            // What a sync says of the file when it is over is not to be said of that of another process.
            drop(file.syncing.lock());
        }
        self.locks.iter().for_each(Locks::give_back);
    }

    pub(super) fn file(&self, name: &str) -> Arc<StepFile> {
        Arc::clone(self.files.lock().entry(name.to_owned()).or_default())
    }

    /// Nobody here changes it any more, unless somebody does just now.
    fn forget(&self, name: &str) {
        let mut files = self.files.lock();
        if files.get(name).is_some_and(|file| Arc::strong_count(file) == 1) {
            files.remove(name);
        }
    }

    /// Changes a file, with nobody beside.
    pub(super) fn change<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Option<Tenure>) -> Result<T>,
    ) -> Result<T> {
        let file = self.file(name);
        let mut tenure = self.enter(name, &file)?;
        let _held = self.hold(name, &file.is_stuck)?;
        change(&mut tenure)
    }

    /// Keeps the other threads of this process from a file.
    pub(super) fn enter<'a>(&self, name: &str, file: &'a StepFile) -> Result<MutexGuard<'a, Option<Tenure>>> {
        let of = &file.changing;
        in_time(|| of.try_lock(), || of.lock(), || self.root.join(name))
    }

    /// Where another process was not done in time, as one that is stopped, it is not waited for again before it is. A call with a time of
    /// its own waits no longer than that.
    fn hold<'a>(&'a self, name: &'a str, stuck: &AtomicBool) -> Result<Held<'a>> {
        let Some(locks) = &self.locks else { return Ok(Held { locks: None, name }) };
        let is_stuck = stuck.load(Ordering::Relaxed);
        let own = call_ends_by(Deadline::after(LONGEST_WAIT));
        let deadline =
            own.unwrap_or_else(|| Deadline::after(if is_stuck { Duration::ZERO } else { LONGEST_WAIT }));
        while !locks.try_lock_steps(name)? {
            if deadline.has_passed() && own.is_some() {
                return Err(out_of_time(&self.root.join(name), "another process keeps it locked"));
            }
            if deadline.has_passed() {
                stuck.store(true, Ordering::Relaxed);
                return Err(self.error(
                    name,
                    "lock",
                    (ErrorKind::TimedOut, "another process keeps it locked"),
                ));
            }
            pause(Duration::from_micros(100));
        }
        stuck.store(false, Ordering::Relaxed);
        Ok(Held { locks: Some(locks), name })
    }

    pub(super) fn error(&self, name: &str, operation: &'static str, (kind, why): (ErrorKind, &str)) -> Error {
        Error::io(&self.root.join(name), operation, std::io::Error::new(kind, why))
    }

    /// All files there are, and those that a process was about to make when it was killed.
    pub(super) fn list(&self) -> Result<Vec<String>> {
        let names = self.root.list()?.into_iter().map(|entry| entry.name);
        let names = names.map(|name| name.strip_suffix(NEW).map(ToOwned::to_owned).unwrap_or(name));
        let names: BTreeSet<_> = names.filter(|name| topic_of(name).is_some()).collect();
        Ok(names.into_iter().collect())
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<FoundSteps>> {
        read(&self.root, name)
    }

    /// Puts a new file in the place of the old one, with these frames, durably. It is this thread's to change.
    pub(super) fn write_anew(&self, name: &str, id: StepsId, frames: &[u8]) -> Result<File, PublishFailure> {
        let head = StepsHead::new(id, StepsHead::LEN + frames.len());
        let bytes = [&head.encode(), frames].concat();
        let file = self.root.prepare(name, &bytes).map_err(PublishFailure::Refused)?;
        self.root.publish(name)?;
        // Where this fails it is written anew once more.
        drop(put(&file, &head.marks.doubt(false)));
        Ok(file)
    }

    /// Writes a file of which nobody knows what is on the disk anew. It is this thread's to change.
    pub(super) fn settle(&self, name: &str, found: FoundSteps) -> Result<FoundSteps> {
        if !found.is_doubtful {
            return Ok(found);
        }
        let (id, frames) = (found.id.next(), frames_of(&found.steps)?);
        self.write_anew(name, id, &frames).map_err(PublishFailure::into_error)?;
        let last = FrameMark::of(StepsHead::LEN, &frames);
        Ok(FoundSteps { id, is_doubtful: false, end: StepsHead::LEN + frames.len(), last, ..found })
    }

    /// Takes out what was folded, durably, but `left`: what was appended since stays. Where the file is another by now, or ends with other
    /// steps than were read, nothing is taken out: what it says holds all the same, and folding it again changes nothing.
    pub(super) fn take_out(&self, name: &str, folded: &FoundSteps, left: &Steps) -> Result<()> {
        self.change(name, |_| {
            let Some(file) = open(&self.root, name)? else { return Ok(()) };
            let head = head_of(&self.root, name, &file)?;
            if head.id != folded.id || !still_ends_so(&file, folded.last)? {
                return Ok(());
            }
            let mut frames = frames_of(left)?;
            frames.extend(whole_frames(&self.root, name, (&file, &head, folded.end))?);
            match self.write_anew(name, head.id.next(), &frames) {
                Ok(_) => Ok(()),
                Err(PublishFailure::Refused(error)) => Err(error),
                Err(PublishFailure::Unknown(error)) => {
                    self.may_come_back.lock().insert(name.to_owned(), error.clone());
                    Err(error)
                }
            }
        })
    }

    /// An error where a power cut may bring back what was taken out: what workers of the owner did since would give way to it.
    pub(super) fn check_taken_out(&self, name: &str) -> Result<()> {
        self.may_come_back.lock().get(name).cloned().map_or(Ok(()), Err)
    }

    /// Cuts what lies above the end of its partition. Where something does, or `is_cut` says that the owner knows of such, whoever
    /// has the queue is told by another tenure.
    pub(super) fn clip(
        &self,
        name: &str,
        (end_of, is_cut): (impl Fn(&SlotName) -> Option<Offset>, bool),
    ) -> Result<()> {
        self.change(name, |_| {
            let Some(mut found) = self.read(name)? else { return Ok(()) };
            let mut is_cut = is_cut;
            for (of, steps) in &mut found.steps.0 {
                is_cut |= end_of(of).is_some_and(|end| steps.cut_to(end));
            }
            if !is_cut {
                // A power cut may bring back what was cut before.
                return self.settle(name, found).map(drop);
            }
            let id = StepsId { tenure: new_tenure(), ..found.id.next() };
            let written = self.write_anew(name, id, &frames_of(&found.steps)?);
            written.map(drop).map_err(PublishFailure::into_error)
        })
    }

    /// Whether a file says nothing of what lies above the end of its partition, and is on the disk as it stands. It is read as it is, whoever
    /// has it locked.
    pub(super) fn is_within(&self, name: &str, end_of: impl Fn(&SlotName) -> Option<Offset>) -> Result<bool> {
        let Some(mut found) = self.read(name)? else { return Ok(true) };
        let mut is_above =
            |(of, steps): (&SlotName, &mut SlotSteps)| end_of(of).is_some_and(|end| steps.cut_to(end));
        Ok(!found.is_doubtful && !found.steps.0.iter_mut().any(&mut is_above))
    }

    /// Removes a file without a step. Whoever calls has the queue's lock, and nobody is refused it for long: where a power cut brings the file back
    /// it says nothing.
    pub(super) fn remove_if_empty(&self, name: &str) -> Result<bool> {
        self.change(name, |_| {
            let found = self.read(name)?;
            if found.as_ref().is_some_and(|found| !found.steps.is_empty()) {
                return Ok(false);
            }
            // Or it is one with steps that comes back.
            found.map(|found| self.settle(name, found)).transpose()?;
            self.remove_names(name)?;
            Ok(true)
        })
    }

    /// Removes the file of a queue that nobody has. Whoever calls has its lock, or its topic is gone. A power cut may bring it back before
    /// the names are synced.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        self.change(name, |_| self.remove_names(name))?;
        self.forget(name);
        Ok(())
    }

    /// The name, and that of what a process which was killed was about to put there.
    fn remove_names(&self, name: &str) -> Result<()> {
        self.root.remove_if_there(&format!("{name}{NEW}"))?;
        self.root.remove_if_there(name)
    }
}

/// Another one than that of any file before.
pub(super) fn new_tenure() -> u64 {
    u64::try_from(random_id() >> 64).unwrap_or_default()
}

/// One frame that says all of it; none where there is nothing to say.
pub(super) fn frames_of(steps: &Steps) -> Result<Vec<u8>> {
    let records = steps.records()?;
    Ok(if records.is_empty() { Vec::new() } else { encode_spooled(&records) })
}
