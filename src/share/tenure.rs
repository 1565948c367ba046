//! The process that has a queue elsewhere appends to its file of steps.
//!
//! A sync is never repeated, as in the spool of groups: who begins one says so in the head first, and says that it succeeded last. After a
//! failure the tenure is over, and whoever begins the next one writes the file anew. So it is with a name that may not be on the disk.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use crate::error::{Error, Result};
use crate::format::{SpooledRecord, StepsHead, StepsId, encode_spooled};
use crate::group::sync_marked;
use crate::io::{File, OpenMode, PublishFailure};
use crate::share::queue_steps::Steps;
use crate::share::state_log::SlotName;
use crate::share::step_bytes::{head_of, whole_frames};
use crate::share::step_files::{StepFiles, frames_of, new_tenure};
use crate::types::{Durability, Offset};

/// A file to which this process appends, as it knows it.
#[derive(Debug)]
pub(super) struct Tenure {
    /// One handle for all that is written: the system tells it which of that is lost.
    file: File,
    id: StepsId,
    end: usize,
    /// What was left when it was written anew last.
    merged: usize,
    /// Letters that it owes.
    owed: BTreeSet<(SlotName, Offset)>,
    /// Those that were owed, and are written.
    written: Vec<(SlotName, Offset)>,
    /// Nobody knows what of it holds: whoever wants the queue takes it anew.
    is_over: bool,
}

impl StepFiles {
    /// This process begins to append to a file, which comes to be. What stands there already holds, and is durable where some of it was in doubt.
    pub(super) fn begin(&self, name: &str) -> Result<Steps> {
        self.change(name, |tenure| {
            let (id, end, steps) = match self.read(name)? {
                Some(found) => {
                    let found = self.settle(name, found)?;
                    (found.id, found.end, found.steps)
                }
                None => {
                    let id = StepsId { tenure: new_tenure(), version: 1 };
                    self.write_anew(name, id, &[]).map_err(PublishFailure::into_error)?;
                    (id, StepsHead::LEN, Steps::default())
                }
            };
            let (owed, file) = (owed_in(&steps), self.root.open(name, OpenMode::ReadWrite)?);
            let written = Vec::new();
            *tenure = Some(Tenure { file, id, end, merged: 0, owed, written, is_over: false });
            Ok(steps)
        })
    }

    /// Appends one step, all or nothing. `owed` are the letters that it owes.
    pub(super) fn append(&self, name: &str, step: (&[SpooledRecord], &[(SlotName, Offset)])) -> Result<()> {
        self.append_if(name, step, || true).map(drop)
    }

    /// The same, if `still` says so when nobody else can change the file. Says whether it was appended.
    pub(super) fn append_if(
        &self,
        name: &str,
        (records, owed): (&[SpooledRecord], &[(SlotName, Offset)]),
        still: impl FnOnce() -> bool,
    ) -> Result<bool> {
        self.with_tenure(name, |tenure| {
            if !still() {
                return Ok(false);
            }
            let frame = encode_spooled(records);
            if tenure.end.saturating_add(frame.len()) > self.bounds.full {
                return Err(self.full(name));
            }
            tenure.write(&frame)?;
            tenure.owed.extend(owed.iter().cloned());
            self.merge_if_due(name, tenure);
            Ok(true)
        })
    }

    fn merge_if_due(&self, name: &str, tenure: &mut Tenure) {
        if tenure.end >= tenure.merged.saturating_mul(2).max(self.bounds.merged_from) {
            // The steps stand, in either file; the next one tries again, or finds one in doubt.
            drop(self.merge(name, tenure));
        }
    }

    /// The same; at `Disk` it survives a power cut when this returns. After a failure there nobody knows.
    pub(super) fn append_at(
        &self,
        name: &str,
        step: (&[SpooledRecord], &[(SlotName, Offset)]),
        durability: Durability,
    ) -> Result<()> {
        self.append(name, step)?;
        if durability == Durability::Disk { self.sync(name) } else { Ok(()) }
    }

    /// An error where what the file says is not what this process has had it say.
    pub(super) fn check_tenure(&self, name: &str) -> Result<()> {
        self.with_tenure(name, |_| Ok(()))
    }

    /// Does something with the file as it is by now, with nobody beside.
    fn with_tenure<T>(&self, name: &str, act: impl FnOnce(&mut Tenure) -> Result<T>) -> Result<T> {
        self.change(name, |tenure| {
            let tenure = tenure.as_mut().filter(|tenure| !tenure.is_over).ok_or_else(|| self.over(name))?;
            self.catch_up(name, tenure)?;
            act(tenure)
        })
    }

    /// Whether one more message may be handed out.
    pub(super) fn check_room(&self, name: &str) -> Result<()> {
        match &*self.enter(name, &self.file(name))? {
            Some(tenure) if tenure.is_over => return Err(self.over(name)),
            Some(tenure) if tenure.end >= self.bounds.most => {}
            Some(_) | None => return Ok(()),
        }
        // An owner may have taken some of it over since.
        let end = self.with_tenure(name, |tenure| {
            self.merge_if_due(name, tenure);
            Ok(tenure.end)
        })?;
        if end < self.bounds.most { Ok(()) } else { Err(self.full(name)) }
    }

    fn full(&self, name: &str) -> Error {
        let why = "the file is full: open the store, which takes over what waits in it";
        self.error(name, "append", (ErrorKind::QuotaExceeded, why))
    }

    /// The owner may have replaced the file since.
    fn catch_up(&self, name: &str, tenure: &mut Tenure) -> Result<()> {
        let file = self.root.open(name, OpenMode::ReadWrite)?;
        let id = head_of(&self.root, name, &file)?.id;
        if id.tenure != tenure.id.tenure || (id == tenure.id && file.len()? < tenure.end as u64) {
            tenure.is_over = true;
            return Err(self.over(name));
        }
        if id == tenure.id {
            return Ok(());
        }
        let found = self.read(name)?.ok_or_else(|| self.over(name))?;
        let owed = owed_in(&found.steps);
        tenure.written.extend(tenure.owed.difference(&owed).cloned());
        (tenure.file, tenure.id, tenure.end) = (file, found.id, found.end);
        (tenure.merged, tenure.owed) = (0, owed);
        Ok(())
    }

    fn over(&self, name: &str) -> Error {
        let why = "its contents were cut off or are gone: drop the workers of its queue and their messages, and create new ones";
        self.error(name, "append", (ErrorKind::NotFound, why))
    }

    /// Letters of a state that were owed, and are written. An error where the tenure is over: this process does not know what its messages are
    /// any more.
    pub(super) fn take_written(&self, name: &str, of: &SlotName) -> Result<Vec<Offset>> {
        let file = self.file(name);
        let mut tenure = self.enter(name, &file)?;
        let tenure = tenure.as_mut().filter(|tenure| !tenure.is_over).ok_or_else(|| self.over(name))?;
        if tenure.written.is_empty() {
            return Ok(Vec::new());
        }
        let (its, others) = tenure.written.drain(..).partition(|(name, _)| name == of);
        tenure.written = others;
        let its: Vec<(SlotName, Offset)> = its;
        Ok(its.into_iter().map(|(_, offset)| offset).collect())
    }

    /// Returns when what was appended survives a power cut. After a failure nobody knows what does.
    pub(super) fn sync(&self, name: &str) -> Result<()> {
        let of_threads = self.file(name);
        let _syncing = of_threads.syncing.lock();
        // The sync of another thread that has failed was one of this step, too.
        let (file, id, end) = match &*of_threads.changing.lock() {
            Some(tenure) if !tenure.is_over => (tenure.file.clone(), tenure.id, tenure.end),
            _ => return Err(self.over(name)),
        };
        let synced = self.sync_to(name, (&file, id, end));
        if let (Err(_), Some(tenure)) = (&synced, &mut *of_threads.changing.lock()) {
            tenure.is_over = true;
        }
        synced
    }

    fn sync_to(&self, name: &str, (file, id, end): (&File, StepsId, usize)) -> Result<()> {
        let marks = head_of(&self.root, name, file)?.marks;
        if marks.is_doubtful {
            return self.replace_doubtful(name, id);
        }
        if marks.durable() >= end {
            return Ok(());
        }
        // Where it was replaced meanwhile what it had was made durable first, unless its name still stands for this one.
        sync_marked(file, &marks, end)
    }

    /// Nobody knows what of the file with that id is on the disk. What was appended is, when this returns.
    fn replace_doubtful(&self, name: &str, id: StepsId) -> Result<()> {
        self.change(name, |tenure| {
            let file = self.root.open(name, OpenMode::Read)?;
            let head = head_of(&self.root, name, &file)?;
            if head.id != id && !head.marks.is_doubtful {
                // What was in the other is in this one, or folded.
                return Ok(());
            }
            let frames = whole_frames(&self.root, name, (&file, &head, StepsHead::LEN))?;
            let end = StepsHead::LEN + frames.len();
            let its = tenure.as_mut().filter(|tenure| tenure.id == head.id);
            if its.as_ref().is_some_and(|tenure| end < tenure.end) {
                let why = "an earlier sync failed, and what it should have stored is gone";
                return Err(self.error(name, "sync", (ErrorKind::Other, why)));
            }
            let id = head.id.next();
            let file = self.write_anew(name, id, &frames).map_err(PublishFailure::into_error)?;
            if let Some(tenure) = its {
                (tenure.file, tenure.id, tenure.end) = (file, id, end);
            }
            Ok(())
        })
    }

    /// Writes a file anew with what its steps add up to.
    fn merge(&self, name: &str, tenure: &mut Tenure) -> Result<()> {
        let found = self.read(name)?.ok_or_else(|| self.over(name))?;
        let (id, frames) = (found.id.next(), frames_of(&found.steps)?);
        let file = self.write_anew(name, id, &frames).map_err(PublishFailure::into_error)?;
        let end = StepsHead::LEN + frames.len();
        (tenure.file, tenure.id, tenure.end, tenure.merged) = (file, id, end, end);
        Ok(())
    }
}

impl Tenure {
    /// Writes a frame behind the others, all or nothing.
    fn write(&mut self, frame: &[u8]) -> Result<()> {
        let end = self.end as u64;
        // What a step that failed has left.
        if self.file.len()? > end {
            self.file.set_len(end)?;
        }
        let written = self.file.write_at(frame, end);
        if written.is_err() {
            drop(self.file.set_len(end));
        }
        written?;
        self.end += frame.len();
        Ok(())
    }
}

fn owed_in(steps: &Steps) -> BTreeSet<(SlotName, Offset)> {
    steps.owed().map(|(name, offset)| (name.clone(), offset)).collect()
}
