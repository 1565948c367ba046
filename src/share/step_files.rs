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
use crate::format::{SpooledRecord, StepsHead, decode_steps, encode_spooled, sip_hash_128};
use crate::io::{Deadline, Directory, File, OpenMode, pause};
use crate::live::Locks;
use crate::locks::Mutex;
use crate::share::queue_steps::Steps;
use crate::share::state_log::SlotName;
use crate::types::{Durability, Offset};

const PREFIX: &str = "annals.steps.";
/// A topic's id and a hash, in hexadecimal.
const ID_LEN: usize = 32;
/// Far more than one may have.
const MOST_READ: usize = 512 << 20;
/// How long a process waits for another that changes a file.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How large a file may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// From there on, and from twice what was left the last time, it is written anew with what its steps add up to.
    pub(super) merged_from: u64,
    /// From there on nothing is handed out.
    pub(super) most: u64,
}

const BOUNDS: Bounds = Bounds { merged_from: 4 << 20, most: 64 << 20 };

/// The files of all queues, as one process has them.
#[derive(Debug)]
pub(crate) struct StepFiles {
    root: Directory,
    /// None where no process can attach: then nobody else has a queue, or changes a file.
    locks: Option<Locks>,
    bounds: Bounds,
    /// How many keep the lock of a queue: it is the process's.
    held: Mutex<HashMap<String, usize>>,
    /// The files that this process appends to. Held over every change.
    tenures: Mutex<HashMap<String, Tenure>>,
}

/// A file to which this process appends, as it knows it.
#[derive(Debug)]
struct Tenure {
    head: StepsHead,
    end: u64,
    /// What was left when it was written anew last.
    merged: u64,
    /// Letters that it owes.
    owed: BTreeSet<(SlotName, Offset)>,
    /// Those that were owed, and are written.
    written: Vec<(SlotName, Offset)>,
    /// Nobody knows what of it holds: whoever wants the queue takes it anew.
    is_over: bool,
}

/// A file as it was found.
#[derive(Debug)]
pub(super) struct FoundSteps {
    head: StepsHead,
    pub(super) steps: Steps,
    end: usize,
}

/// A queue is this process's as long as this lives.
#[derive(Debug)]
pub(super) struct QueueLock {
    files: Arc<StepFiles>,
    pub(super) name: String,
}

impl Drop for QueueLock {
    fn drop(&mut self) {
        self.files.unlock(&self.name);
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
        Self { root, locks, bounds, held: Mutex::default(), tenures: Mutex::default() }
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
        Ok(Some(QueueLock { files: Arc::clone(self), name: name.to_owned() }))
    }

    fn unlock(&self, name: &str) {
        let mut held = self.held.lock();
        let count = held.get(name).copied().unwrap_or(0);
        if count > 1 {
            held.insert(name.to_owned(), count - 1);
            return;
        }
        held.remove(name);
        self.tenures.lock().remove(name);
        self.locks.iter().for_each(|locks| locks.unlock_queue(name));
    }

    /// Gives all queues back, whoever has workers and messages still: the store is closed. What had begun is done.
    pub(super) fn leave(&self) {
        self.tenures.lock().clear();
        self.locks.iter().for_each(Locks::give_back);
    }

    fn hold<'a>(&'a self, name: &'a str) -> Result<Held<'a>> {
        let Some(locks) = &self.locks else { return Ok(Held { locks: None, name }) };
        let deadline = Deadline::after(LONGEST_WAIT);
        while !locks.try_lock_steps(name)? {
            if deadline.has_passed() {
                let why = std::io::Error::new(ErrorKind::TimedOut, "another process keeps it locked");
                return Err(Error::io(&self.root.join(name), "lock", why));
            }
            pause(Duration::from_micros(100));
        }
        Ok(Held { locks: Some(locks), name })
    }

    /// All files there are.
    pub(super) fn list(&self) -> Result<Vec<String>> {
        list(&self.root)
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<FoundSteps>> {
        read(&self.root, name)
    }

    /// This process begins to append to a file, which comes to be. What stands there already holds.
    pub(super) fn begin(&self, name: &str) -> Result<Steps> {
        let mut tenures = self.tenures.lock();
        let _held = self.hold(name)?;
        let found = match self.read(name)? {
            Some(found) => found,
            None => {
                let head = StepsHead { tenure: 1, version: 1 };
                self.root.replace_file(name, &head.encode())?;
                FoundSteps { head, steps: Steps::default(), end: StepsHead::LEN }
            }
        };
        let owed = owed_in(&found.steps);
        let (head, end) = (found.head, found.end as u64);
        let tenure = Tenure { head, end, merged: 0, owed, written: Vec::new(), is_over: false };
        tenures.insert(name.to_owned(), tenure);
        Ok(found.steps)
    }

    /// Appends one step, all or nothing. `owed` are the letters that it owes.
    pub(super) fn append(
        &self,
        name: &str,
        (records, owed): (&[SpooledRecord], &[(SlotName, Offset)]),
    ) -> Result<()> {
        let mut tenures = self.tenures.lock();
        let tenure = tenures.get_mut(name).filter(|tenure| !tenure.is_over).ok_or_else(|| self.over(name))?;
        let _held = self.hold(name)?;
        let file = self.root.open(name, OpenMode::ReadWrite)?;
        self.catch_up(name, &file, tenure)?;
        // What a step that failed has left.
        if file.len()? > tenure.end {
            file.set_len(tenure.end)?;
        }
        let bytes = encode_spooled(records);
        let written = file.write_at(&bytes, tenure.end);
        if written.is_err() {
            drop(file.set_len(tenure.end));
        }
        written?;
        tenure.end += bytes.len() as u64;
        tenure.owed.extend(owed.iter().cloned());
        if tenure.end >= self.bounds.merged_from.max(tenure.merged.saturating_mul(2)) {
            // The step stands; the next one tries again.
            drop(self.merge(name, tenure));
        }
        Ok(())
    }

    /// Whether one more message may be handed out.
    pub(super) fn check_room(&self, name: &str) -> Result<()> {
        let tenures = self.tenures.lock();
        let Some(tenure) = tenures.get(name) else { return Ok(()) };
        if tenure.is_over {
            return Err(self.over(name));
        }
        if tenure.end < self.bounds.most {
            return Ok(());
        }
        let why = "as much as may wait there waits for a process that opens the store and takes it over";
        Err(Error::io(&self.root.join(name), "append", std::io::Error::new(ErrorKind::QuotaExceeded, why)))
    }

    /// The owner may have replaced the file since.
    fn catch_up(&self, name: &str, file: &File, tenure: &mut Tenure) -> Result<()> {
        let path = self.root.join(name);
        let head = StepsHead::decode(&file.read(0, StepsHead::LEN)?);
        let head = head.map_err(|malformed| malformed.in_file(&path))?;
        if head.tenure != tenure.head.tenure || (head == tenure.head && file.len()? < tenure.end) {
            tenure.is_over = true;
            return Err(self.over(name));
        }
        if head == tenure.head {
            return Ok(());
        }
        let found = self.read(name)?.ok_or_else(|| self.over(name))?;
        let owed = owed_in(&found.steps);
        tenure.written.extend(tenure.owed.difference(&owed).cloned());
        (tenure.head, tenure.end, tenure.merged, tenure.owed) = (found.head, found.end as u64, 0, owed);
        Ok(())
    }

    fn over(&self, name: &str) -> Error {
        let why = "what it says was cut, or is not there any more: drop the workers of its queue and their messages, and make others";
        Error::io(&self.root.join(name), "append", std::io::Error::new(ErrorKind::NotFound, why))
    }

    /// Letters of a state that were owed, and are written.
    pub(super) fn take_written(&self, name: &str, of: &SlotName) -> Vec<Offset> {
        let mut tenures = self.tenures.lock();
        let Some(tenure) = tenures.get_mut(name).filter(|tenure| !tenure.written.is_empty()) else {
            return Vec::new();
        };
        let (its, others) = tenure.written.drain(..).partition(|(name, _)| name == of);
        tenure.written = others;
        let its: Vec<(SlotName, Offset)> = its;
        its.into_iter().map(|(_, offset)| offset).collect()
    }

    /// Returns when what was appended survives a power cut. After a failure nobody knows what does.
    pub(super) fn sync(&self, name: &str) -> Result<()> {
        // Where it was replaced meanwhile what it had was made durable first.
        let synced = self.root.open(name, OpenMode::ReadWrite).and_then(|file| file.sync());
        if synced.is_err()
            && let Some(tenure) = self.tenures.lock().get_mut(name)
        {
            tenure.is_over = true;
        }
        synced
    }

    /// Writes a file anew with what its steps add up to.
    fn merge(&self, name: &str, tenure: &mut Tenure) -> Result<()> {
        let found = self.read(name)?.ok_or_else(|| self.over(name))?;
        let head = StepsHead { version: found.head.version + 1, ..found.head };
        let bytes = whole(head, &found.steps, &[])?;
        self.root.replace_file(name, &bytes)?;
        (tenure.head, tenure.end, tenure.merged) = (head, bytes.len() as u64, bytes.len() as u64);
        Ok(())
    }

    /// Takes out what was folded, durably, but `left`: what was appended since stays. Where the file is another by now nothing is taken
    /// out: what it says holds all the same, and folding it again changes nothing.
    pub(super) fn take_out(&self, name: &str, folded: &FoundSteps, left: &Steps) -> Result<()> {
        let _held = self.hold(name)?;
        let Some(bytes) = self.root.read_file(name, MOST_READ)? else { return Ok(()) };
        if StepsHead::decode(&bytes).ok() != Some(folded.head) {
            return Ok(());
        }
        let head = StepsHead { version: folded.head.version + 1, ..folded.head };
        let since = bytes.get(folded.end..).unwrap_or_default();
        self.root.replace_file(name, &whole(head, left, since)?)
    }

    /// Cuts what lies above the end of its partition. Where something does, or `is_cut` says that the owner knows of such, whoever
    /// has the queue is told by another tenure.
    pub(super) fn clip(
        &self,
        name: &str,
        (end_of, is_cut): (impl Fn(&SlotName) -> Option<Offset>, bool),
    ) -> Result<()> {
        let _held = self.hold(name)?;
        let Some(FoundSteps { head, mut steps, .. }) = self.read(name)? else { return Ok(()) };
        let mut is_cut = is_cut;
        for (of, steps) in &mut steps.0 {
            is_cut |= end_of(of).is_some_and(|end| steps.cut_to(end));
        }
        if !is_cut {
            return Ok(());
        }
        let head = StepsHead { tenure: head.tenure + 1, version: head.version + 1 };
        self.root.replace_file(name, &whole(head, &steps, &[])?)
    }

    /// Removes a file without a step. Whoever calls has the queue's lock, and nobody is refused it for long: where a power cut brings the file back
    /// it says nothing.
    pub(super) fn remove_if_empty(&self, name: &str) -> Result<bool> {
        let _held = self.hold(name)?;
        let is_empty = self.read(name)?.is_none_or(|found| found.steps.is_empty());
        if is_empty {
            self.root.remove_if_there(name)?;
        }
        Ok(is_empty)
    }

    /// Removes the file of a queue that nobody has. Whoever calls has its lock, or its topic is gone.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let _held = self.hold(name)?;
        self.root.remove_if_there(name)?;
        self.root.sync()
    }
}

/// Appends at its durability.
impl StepFiles {
    pub(super) fn append_at(
        &self,
        name: &str,
        step: (&[SpooledRecord], &[(SlotName, Offset)]),
        durability: Durability,
    ) -> Result<()> {
        self.append(name, step)?;
        if durability == Durability::Disk { self.sync(name) } else { Ok(()) }
    }
}

fn owed_in(steps: &Steps) -> BTreeSet<(SlotName, Offset)> {
    steps.owed().map(|(name, offset)| (name.clone(), offset)).collect()
}

fn whole(head: StepsHead, steps: &Steps, since: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = head.encode();
    let records = steps.records()?;
    if !records.is_empty() {
        bytes.extend(encode_spooled(&records));
    }
    bytes.extend(since);
    Ok(bytes)
}

pub(super) fn list(root: &Directory) -> Result<Vec<String>> {
    let names = root.list()?.into_iter().map(|entry| entry.name);
    Ok(names.filter(|name| topic_of(name).is_some()).collect())
}

pub(super) fn read(root: &Directory, name: &str) -> Result<Option<FoundSteps>> {
    let Some(bytes) = root.read_file(name, MOST_READ)? else { return Ok(None) };
    let content = decode_steps(&bytes).map_err(|malformed| malformed.in_file(&root.join(name)))?;
    Ok(Some(FoundSteps { head: content.head, steps: Steps::of(content.steps), end: content.end }))
}
