//! Files of steps that say of more than there is, after a crash: they are cut before anything is appended in the place of what is gone, and
//! before they are folded.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::unclean;
use crate::share::in_time::in_time;
use crate::share::queues::Queues;
use crate::share::state_log::SlotName;
use crate::share::step_files::{StepFiles, topic_of};
use crate::topic::Partition;
use crate::types::Offset;

/// What the open could not cut.
#[derive(Debug, Default)]
pub(super) struct Uncut {
    names: BTreeSet<String>,
    /// Nobody knows which files there are.
    is_any: bool,
    /// The files of queues whose states the open has cut: whoever has one of these is told.
    told: BTreeSet<String>,
}

impl Queues {
    /// Cuts all files. Where one cannot be read, or not be cut, nothing is appended to the partitions of its topic before it is: records sent
    /// there would be taken for handed out, or done.
    pub(super) fn cut_at_open(self: &Arc<Self>, files: &StepFiles) {
        let mut uncut = self.away.uncut.lock();
        uncut.told = self.owed.steps();
        let Ok(names) = files.list() else {
            uncut.is_any = true;
            // Nobody knows which they are.
            return unclean(&self.topics).iter().for_each(|partition| self.hold_back(partition));
        };
        let unclean: BTreeSet<_> = unclean(&self.topics).iter().map(Partition::topic_id).collect();
        for name in names {
            let was_closed = topic_of(&name).is_some_and(|topic| !unclean.contains(&topic));
            if was_closed && !uncut.told.contains(&name) && self.is_within_ends(files, &name) {
                // Nor does whoever has it locked write of more: an owner that has lost records has cut it before it closed.
                continue;
            }
            if self.cut_one(files, (&name, &uncut.told)).is_ok() {
                continue;
            }
            if let Some(Ok(Some(topic))) = topic_of(&name).map(|id| self.topics.by_id(id)) {
                topic.partitions().iter().for_each(|partition| self.hold_back(partition));
            }
            uncut.names.insert(name);
        }
    }

    fn hold_back(self: &Arc<Self>, partition: &Partition) {
        let (queues, id, topic) = (Arc::downgrade(self), partition.topic_id(), partition.topic().to_owned());
        let cut = move |_| queues.upgrade().map_or(Ok(()), |queues| queues.cut_for(id, &topic));
        partition.log().require(cut);
    }

    /// The same for a topic to which somebody appends. What is about to go takes nothing more: its file may not be cut.
    fn cut_for(&self, id: u128, topic: &str) -> Result<()> {
        self.cut_what_is_left(|of| topic_of(of) == Some(id))?;
        let gone = || Error::UnknownTopic { topic: topic.to_owned(), was_deleted: true };
        self.topics.opened(id).map(drop).ok_or_else(gone)
    }

    /// Cuts what the open could not. It runs under the lock of a partition's writer, too: no lock of queues is taken, and what is held
    /// here is held over files alone. Whoever waits for that writer may have the list of topics, so it is not asked.
    pub(super) fn cut_what_is_left(&self, is_wanted: impl Fn(&str) -> bool) -> Result<()> {
        let Some(files) = self.away.files.get() else { return Ok(()) };
        let of = &self.away.uncut;
        let mut uncut = in_time(|| of.try_lock(), || of.lock(), || files.root.path().to_path_buf())?;
        if uncut.is_any {
            uncut.names.extend(files.list()?);
            uncut.is_any = false;
        }
        let wanted: Vec<_> = uncut.names.iter().filter(|name| is_wanted(name)).cloned().collect();
        for name in wanted {
            self.cut_one(files, (&name, &uncut.told))?;
            uncut.names.remove(&name);
        }
        Ok(())
    }

    fn cut_one(&self, files: &StepFiles, (name, told): (&str, &BTreeSet<String>)) -> Result<()> {
        match files.read(name) {
            Ok(Some(_)) => {}
            // It could not be read now, and may be later.
            Err(failed @ Error::Io { .. }) => return Err(failed),
            // Nobody can use one that is broken.
            Ok(None) | Err(_) => return Ok(()),
        }
        files.clip(name, (self.ends(), told.contains(name)))
    }

    fn is_within_ends(&self, files: &StepFiles, name: &str) -> bool {
        files.is_within(name, self.ends()).unwrap_or(false)
    }

    fn ends(&self) -> impl Fn(&SlotName) -> Option<Offset> {
        |of| self.partition_of(of).map(|partition| partition.end())
    }

    fn partition_of(&self, name: &SlotName) -> Option<Partition> {
        self.topics.opened(name.topic)?.partition(name.partition).ok()
    }
}
