//! Forgetting queues: those of topics that are gone, and those of a group.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::share::queue::Queue;
use crate::share::queues::{Queues, named};
use crate::share::state_log::SlotName;
use crate::topic::Topic;

impl Queues {
    /// Forgets the states of topics that are gone. None can ever be another's: they go for their room alone, and what fails here
    /// is done by the next call.
    pub(crate) fn forget_deleted(&self) -> Result<()> {
        self.ids.forget_deleted();
        if self.slots.lock().is_empty() {
            return Ok(());
        }
        // One that could not be opened is there.
        let gone: Vec<_> = self.slots.lock().keys().cloned().collect();
        let is_gone = |name: &SlotName| matches!(self.topics.by_id(name.topic), Ok(None));
        let gone: Vec<_> = gone.into_iter().filter(is_gone).collect();
        self.forget(&gone)?;
        self.remove_steps_of_deleted()
    }

    /// Forgets everything of a group, durably.
    pub(crate) fn delete(&self, group: &str) -> Result<()> {
        let is_there =
            |topic: &Topic| self.topics.get(topic.name()).is_ok_and(|found| found.id() == topic.id());
        let is_in_use = |queue: &&Arc<Queue>| &*queue.group == group && is_there(&queue.topic);
        if let Some(queue) = self.open_queues().iter().find(is_in_use) {
            let topic = queue.topic.name();
            let why = "has workers, or messages that they have taken,";
            return Err(Error::invalid(format!("group {group:?} {why} on topic {topic:?}")));
        }
        let locks = self.lock_all_of(group)?;
        let gone: Vec<_> =
            self.slots.lock().keys().filter(|name| named(&name.owner).0 == group).cloned().collect();
        self.forget(&gone)?;
        self.remove_steps(&locks)?;
        // Where there is nothing left an earlier try may have failed at the sync.
        self.states.sync()
    }

    fn forget(&self, gone: &[SlotName]) -> Result<()> {
        self.states.delete(gone)?;
        let mut slots = self.slots.lock();
        gone.iter().for_each(|name| _ = slots.remove(name));
        drop(slots);
        let mut counts = self.letter_counts.lock();
        gone.iter().for_each(|name| _ = counts.remove(name));
        drop(counts);
        // What is full depends on them.
        self.room.raise();
        Ok(())
    }
}
