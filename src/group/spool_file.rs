//! The file `annals.spool`: commits are appended by any process, and taken out by the owner. Each change is made under a lock that
//! is held for that alone; syncs have one of their own.
//!
//! A sync is never repeated, by no process: who begins one says so in the head first, and says that it succeeded last. Whoever finds that
//! neither was said, after a failure or a kill, writes the file anew. So it is with the name: a new file is in doubt until the names are synced.

use std::io::ErrorKind;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{FrameMark, SpoolContent, SpoolHead, SpooledRecord, decode_frames, encode_spooled};
use crate::group::marked::{put, sync_marked};
use crate::io::{Deadline, Directory, File, OpenMode, PublishFailure, pause, random_id};
use crate::live::Locks;
use crate::locks::{AtomicBool, Mutex, Ordering, RwLock};
use crate::log::call_ends_by;
use crate::types::Durability;

/// Its name in the store's directory.
pub(super) const SPOOL_FILE: &str = "annals.spool";
/// Far more than an owner lets come together.
const MOST_BYTES: usize = 256 << 20;
/// How long a process waits for others that append.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const BETWEEN_TRIES: Duration = Duration::from_micros(100);
/// The byte of the file that is locked while it is synced. Byte locks hang on the file, not on its name.
pub(super) const SYNC_BYTE: u64 = 0;

/// The file, as one process has it.
#[derive(Debug)]
pub(super) struct SpoolFile {
    pub(super) root: Directory,
    /// None where no process can attach: then nobody else changes the file.
    locks: Option<Locks>,
    most_bytes: usize,
    /// The last wait for others was in vain.
    is_stuck: AtomicBool,
    /// Where a sync of another stands, and until when that is waited for: all wait until the same moment, as long as nothing goes on.
    standing: Mutex<Option<(SpoolHead, Deadline)>>,
    /// Held over every change: the lock of the file is the process's, not the thread's.
    changing: Mutex<Known>,
    /// Held for reading over each append and its sync, before the lock on changes.
    appends: RwLock<()>,
}

/// What a process knows of the file: its frames up to `end` are whole.
#[derive(Debug, Default, Clone, Copy)]
struct Known {
    id: u64,
    end: usize,
}

/// Commits as they were found.
#[derive(Debug)]
pub(super) struct Found {
    /// Of the file; there is none with 0.
    id: u64,
    pub(super) commits: Vec<Vec<SpooledRecord>>,
    end: usize,
    last: Option<FrameMark>,
}

/// The spool is this thread's to change.
struct Held<'a> {
    locks: Option<&'a Locks>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.locks.iter().for_each(|locks| locks.unlock_spool());
    }
}

/// The file is this thread's to sync.
struct Syncing<'a> {
    locked: Option<&'a File>,
}

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        // The system gives it back with the file.
        self.locked.iter().for_each(|file| drop(file.unlock_byte(SYNC_BYTE)));
    }
}

impl SpoolFile {
    pub(super) fn new(root: Directory, locks: Option<Locks>) -> Self {
        Self {
            root,
            locks,
            most_bytes: MOST_BYTES,
            is_stuck: AtomicBool::new(false),
            standing: Mutex::default(),
            changing: Mutex::default(),
            appends: RwLock::new(()),
        }
    }

    #[cfg(test)]
    pub(super) fn with_limit(self, most_bytes: usize) -> Self {
        Self { most_bytes, ..self }
    }

    /// Where another process was not done in time, as one that is stopped, it is not waited for again before it is. A call with a time of its own, as a
    /// poll that commits, waits no longer than that.
    fn hold(&self) -> Result<Held<'_>> {
        let Some(locks) = &self.locks else { return Ok(Held { locks: None }) };
        let is_stuck = self.is_stuck.load(Ordering::Relaxed);
        let longest = Deadline::after(if is_stuck { Duration::ZERO } else { LONGEST_WAIT });
        let own = call_ends_by(longest);
        while !locks.try_lock_spool()? {
            if own.unwrap_or(longest).has_passed() {
                self.is_stuck.store(is_stuck || own.is_none(), Ordering::Relaxed);
                return Err(self.error("lock", ErrorKind::TimedOut, "another process keeps it locked"));
            }
            pause(BETWEEN_TRIES);
        }
        self.is_stuck.store(false, Ordering::Relaxed);
        Ok(Held { locks: Some(locks) })
    }

    /// Returns when no thread of this process changes or syncs the file, and none changes it from here on.
    pub(super) fn leave(&self) {
        self.locks.iter().for_each(Locks::bar);
        drop(self.changing.lock());
        drop(self.appends.write());
    }

    fn error(&self, operation: &'static str, kind: ErrorKind, why: &str) -> Error {
        Error::io(&self.root.join(SPOOL_FILE), operation, std::io::Error::new(kind, why))
    }

    pub(super) fn open(&self, mode: OpenMode) -> Result<Option<File>> {
        match self.root.open(SPOOL_FILE, mode) {
            Ok(file) => Ok(Some(file)),
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The commits that are not folded, the oldest first.
    pub(super) fn read(&self) -> Result<Found> {
        let Some(file) = self.open(OpenMode::Read)? else {
            return Ok(Found { id: 0, commits: Vec::new(), end: 0, last: None });
        };
        let head = self.head_of(&file)?;
        let SpoolContent { commits, end, last } = self.frames_of(&file, &head, SpoolHead::LEN)?;
        Ok(Found { id: head.id, commits, end, last })
    }

    pub(super) fn head_of(&self, file: &File) -> Result<SpoolHead> {
        let head = SpoolHead::decode(&file.read(0, SpoolHead::LEN)?);
        head.map_err(|malformed| malformed.in_file(&self.root.join(SPOOL_FILE)))
    }

    pub(super) fn len_of(&self, file: &File) -> Result<usize> {
        let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        if len > self.most_bytes {
            let reason = format!("{len} bytes, more than the {} such a file can have", self.most_bytes);
            return Err(Error::corrupt(self.root.join(SPOOL_FILE), 0, None, reason));
        }
        Ok(len)
    }

    /// The frames from a position on. The head was read before: what it says was synced is there by now, however it grows meanwhile.
    fn frames_of(&self, file: &File, head: &SpoolHead, from: usize) -> Result<SpoolContent> {
        let len = self.len_of(file)?;
        let frames = file.read(from as u64, len.saturating_sub(from))?;
        decode_frames(&frames, from, head.marks.durable())
            .map_err(|malformed| malformed.in_file(&self.root.join(SPOOL_FILE)))
    }

    /// Appends one commit, all or nothing, and returns how long the file is then. At `Disk` it survives a power cut when this returns; after a failure there nobody knows.
    pub(super) fn append(&self, records: &[SpooledRecord], durability: Durability) -> Result<usize> {
        let _leaves_later = self.appends.read();
        let frame = encode_spooled(records);
        let (file, end) = self.append_frame(&frame)?;
        if durability == Durability::Disk {
            self.sync(&file, (FrameMark::of(end - frame.len(), &frame), end))?;
        }
        Ok(end)
    }

    /// The file, and where the frame ends.
    pub(super) fn append_frame(&self, frame: &[u8]) -> Result<(File, usize)> {
        let mut known = self.changing.lock();
        let _held = self.hold()?;
        let file = self.open_to_append(&mut known)?;
        let head = self.head_of(&file)?;
        // Frames that were whole once are not read again.
        let is_known = known.id == head.id && file.len()? >= known.end as u64;
        let end = self.frames_of(&file, &head, if is_known { known.end } else { SpoolHead::LEN })?.end;
        *known = Known { id: head.id, end };
        let new_end = end.saturating_add(frame.len());
        if new_end > self.most_bytes {
            let why = "too many commits wait in the file: open the store, which takes them over";
            return Err(self.error("append to", ErrorKind::QuotaExceeded, why));
        }
        // What a process that died in the middle of a commit has left, or a power cut.
        if file.len()? > end as u64 {
            file.set_len(end as u64)?;
        }
        let written = file.write_at(frame, end as u64);
        if written.is_err() {
            drop(file.set_len(end as u64));
        }
        written?;
        known.end = new_end;
        Ok((file, new_end))
    }

    /// The file, made if there is none. One of which a sync has failed is written anew: what of it is in memory alone may go any time, and
    /// whatever came behind that would be nothing.
    fn open_to_append(&self, known: &mut Known) -> Result<File> {
        let mut frames = Vec::new();
        if let Some(file) = self.open(OpenMode::ReadWrite)? {
            let head = self.head_of(&file)?;
            if !head.marks.is_doubtful || self.is_synced_now(&file)? {
                return Ok(file);
            }
            let end = self.frames_of(&file, &head, SpoolHead::LEN)?.end;
            frames = file.read(SpoolHead::LEN as u64, end - SpoolHead::LEN)?;
        }
        *known = Known::default();
        self.write_anew(&frames).map_err(PublishFailure::into_error)?;
        self.root.open(SPOOL_FILE, OpenMode::ReadWrite)
    }

    /// Whether it is in doubt because somebody syncs it.
    pub(super) fn is_synced_now(&self, file: &File) -> Result<bool> {
        if self.locks.is_some() { file.is_byte_locked(SYNC_BYTE) } else { Ok(false) }
    }

    /// Puts a new file in the place of the old one, with these frames, durably. The spool is this thread's to change.
    fn write_anew(&self, frames: &[u8]) -> Result<(), PublishFailure> {
        // None has 0, which is that of no file.
        let id = u64::try_from(random_id() >> 64).unwrap_or_default().max(1);
        let head = SpoolHead::new(id, SpoolHead::LEN + frames.len());
        let bytes = [&head.encode(), frames].concat();
        let file = self.root.prepare(SPOOL_FILE, &bytes).map_err(PublishFailure::Refused)?;
        self.root.publish(SPOOL_FILE)?;
        // Where this fails it is written anew once more.
        drop(put(&file, &head.marks.doubt(false)));
        Ok(())
    }

    /// Returns when a frame and what lies below its end survive a power cut.
    pub(super) fn sync(&self, file: &File, (own, end): (Option<FrameMark>, usize)) -> Result<()> {
        let Some(syncing) = self.begin_sync(file, end)? else { return Ok(()) };
        let head = self.head_of(file)?;
        if head.marks.durable() >= end {
            return Ok(());
        }
        if head.marks.is_doubtful {
            return self.replace_doubtful(head.id, (own, end));
        }
        sync_marked(file, &head.marks, end)?;
        drop(syncing);
        Ok(())
    }

    /// Waits until nobody else syncs that file; `None` when somebody has synced what lies below `end`. Where another was not done in time,
    /// as one that is stopped, nobody waits again for what the file says it is at: the next one may be healthy, and says something else.
    fn begin_sync<'a>(&self, file: &'a File, end: usize) -> Result<Option<Syncing<'a>>> {
        if self.locks.is_none() {
            return Ok(Some(Syncing { locked: None }));
        }
        while !file.try_lock_byte(SYNC_BYTE)? {
            let head = self.head_of(file)?;
            if head.marks.durable() >= end {
                return Ok(None);
            }
            if self.standing_until(head).has_passed() {
                let why = "another process has begun a sync of it, and is not done";
                return Err(self.error("sync", ErrorKind::TimedOut, why));
            }
            pause(BETWEEN_TRIES);
        }
        *self.standing.lock() = None;
        Ok(Some(Syncing { locked: Some(file) }))
    }

    /// Until when those wait who find this head while another syncs the file; a call with a time of its own no longer than that.
    fn standing_until(&self, now: SpoolHead) -> Deadline {
        let mut standing = self.standing.lock();
        let known = standing.take().filter(|(seen, _)| *seen == now);
        let (_, until) = *standing.insert(known.unwrap_or_else(|| (now, Deadline::after(LONGEST_WAIT))));
        call_ends_by(until).unwrap_or(until)
    }

    /// Nobody knows what of the file of that id is on the disk. The frame is, and what lay below its end, when this returns.
    fn replace_doubtful(&self, id: u64, (own, end): (Option<FrameMark>, usize)) -> Result<()> {
        let mut known = self.changing.lock();
        let _held = self.hold()?;
        let gone = || {
            let why = "an earlier sync failed, and what it should have stored is gone";
            self.error("sync", ErrorKind::Other, why)
        };
        // Where there is none it was folded, perhaps.
        let file = self.open(OpenMode::Read)?.ok_or_else(gone)?;
        let head = self.head_of(&file)?;
        let found = self.frames_of(&file, &head, SpoolHead::LEN)?.end;
        // Who has written it anew has put in what was left of the other, each frame in its place. What was not synced may have gone.
        if found < end || !still_ends_so(&file, own)? {
            return Err(gone());
        }
        if head.id != id && !head.marks.is_doubtful {
            return Ok(());
        }
        let frames = file.read(SpoolHead::LEN as u64, found - SpoolHead::LEN)?;
        *known = Known::default();
        self.write_anew(&frames).map_err(PublishFailure::into_error)
    }

    /// Puts other commits in the place of those that are there, durably; what is as it was is left alone.
    pub(super) fn replace(
        &self,
        others: impl FnOnce(Vec<Vec<SpooledRecord>>) -> Result<Vec<Vec<SpooledRecord>>>,
    ) -> Result<()> {
        let mut known = self.changing.lock();
        let _held = self.hold()?;
        let found = self.read()?;
        let before = found.commits.clone();
        let commits = others(found.commits)?;
        if commits == before {
            return Ok(());
        }
        *known = Known::default();
        let frames: Vec<_> = commits.iter().flat_map(|records| encode_spooled(records)).collect();
        self.write_anew(&frames).map_err(PublishFailure::into_error)
    }

    /// Takes the first commits out, those that were folded, durably: what was appended since stays. Where another process has written the
    /// file anew nothing is taken out, nor where others stand now in the place of one whose append has failed.
    pub(super) fn take_out(&self, folded: &Found) -> Result<TakenOut, PublishFailure> {
        let mut known = self.changing.lock();
        let _held = self.hold().map_err(PublishFailure::Refused)?;
        match self.rest_behind(folded).map_err(PublishFailure::Refused)? {
            Rest::OfAnother => return Ok(TakenOut::NotYet),
            Rest::Frames(rest) => self.write_anew(&rest)?,
            Rest::Nothing => self.root.remove_durably(SPOOL_FILE)?,
        }
        *known = Known::default();
        Ok(TakenOut::Wholly)
    }

    fn rest_behind(&self, folded: &Found) -> Result<Rest> {
        let Some(file) = self.open(OpenMode::Read)? else { return Ok(Rest::OfAnother) };
        let head = self.head_of(&file)?;
        if head.id != folded.id || !still_ends_so(&file, folded.last)? {
            return Ok(Rest::OfAnother);
        }
        let end = self.frames_of(&file, &head, folded.end)?.end;
        if end == folded.end {
            return Ok(Rest::Nothing);
        }
        file.read(folded.end as u64, end - folded.end).map(Rest::Frames)
    }
}

/// What became of commits that were folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakenOut {
    Wholly,
    /// They may be there still, in another file.
    NotYet,
}

/// What was appended behind commits that were folded.
enum Rest {
    /// They are not there any more.
    OfAnother,
    Nothing,
    Frames(Vec<u8>),
}

/// Whether the last frame that was read stands there still. One whose append has failed may have been whole, and is cut off again: what the next
/// one writes there ends elsewhere.
pub(crate) fn still_ends_so(file: &File, last: Option<FrameMark>) -> Result<bool> {
    let Some(last) = last else { return Ok(true) };
    Ok(FrameMark::of(last.at, &file.read(last.at as u64, FrameMark::LEN)?) == Some(last))
}
