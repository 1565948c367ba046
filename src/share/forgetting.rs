//! States that are forgotten: of topics that are gone, and of groups that are deleted.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::share::burial::may_be_own;
use crate::share::queue::Queue;
use crate::share::queues::{Queues, named, owner_of_left_letters, working};
use crate::share::slot::Slot;
use crate::share::state_log::SlotName;
use crate::topic::{Partition, Topic};

impl Queues {
    /// Forgets the states of topics that are gone. None can ever be another's: they go for their room alone, and what fails here
    /// is done by the next call.
    pub(crate) fn forget_deleted(&self) -> Result<()> {
        self.ids.forget_deleted();
        if self.slots.lock().is_empty() {
            return Ok(());
        }
        self.forget(|slots| {
            // After they were found, or one of a topic that is made meanwhile would go. One that could not be opened is there.
            let there = self.topics.ids()?;
            slots.retain(|slot| !there.contains(&slot.name.topic));
            Ok(())
        })?;
        self.remove_steps_of_deleted()
    }

    /// What was out of a partition, and is not there any more, is nobody's to wait for.
    pub(super) fn let_go_of_gone(&self, partition: &Partition) {
        let here = |slot: &Arc<Slot>| slot.name.partition == partition.number();
        for slot in self.of_topic(partition.topic_id()).iter().filter(|slot| here(slot)) {
            let mut inner = slot.enter(&self.suspects);
            if inner.shown.is_some() {
                let gone = inner.state.skip_to(partition.start());
                inner.counters.lost += gone;
            }
        }
    }

    /// Forgets everything of a group, durably.
    pub(crate) fn delete(&self, group: &str) -> Result<()> {
        // No worker comes before all of it is forgotten: its answers would be forgotten, too.
        let in_use = self.in_use.lock();
        let queues = working(&in_use);
        let forgotten = self.check_unused(&queues, group).and_then(|()| {
            self.note_left_letters(group)?;
            // A fold between the two would bring back what is forgotten.
            let folding = self.away.folding.lock();
            let locks = self.lock_all_of(group, &folding)?;
            self.forget(|slots| {
                slots.retain(|slot| named(&slot.name.owner).0 == group);
                Ok(())
            })?;
            self.remove_steps(&locks)?;
            // Where there is nothing left an earlier try may have failed at the sync.
            self.states.sync()
        });
        // The last who has a queue may be this one.
        drop(in_use);
        forgotten
    }

    /// Who erases a key finds the letters of a group that is forgotten, too, in whatever topic, be it one that could not be opened.
    fn note_left_letters(&self, group: &str) -> Result<()> {
        let opened = self.topics.all().into_iter().map(|topic| (topic.id(), Arc::clone(topic.shared_name())));
        let not_opened = self.topics.not_opened().into_iter();
        let not_opened = not_opened.filter_map(|topic| topic.id.map(|id| (id, topic.name)));
        for (topic, name) in opened.chain(not_opened) {
            let are_left = |slot: &Arc<Slot>| {
                let (of, letters_of) = named(&slot.name.owner);
                of == group && letters_of.is_some_and(|of| !may_be_own(&name, of))
            };
            if self.of_topic(topic).iter().any(are_left) {
                self.slot_named(SlotName { topic, partition: 0, owner: owner_of_left_letters() }, 0)?;
            }
        }
        Ok(())
    }

    fn check_unused(&self, queues: &[Arc<Queue>], group: &str) -> Result<()> {
        let is_there =
            |topic: &Topic| self.topics.get(topic.name()).is_ok_and(|found| found.id() == topic.id());
        let is_in_use = |queue: &&Arc<Queue>| &*queue.group == group && is_there(&queue.topic);
        let Some(queue) = queues.iter().find(is_in_use) else { return Ok(()) };
        let topic = queue.topic.name();
        let why = "has workers, or messages that they have taken,";
        Err(Error::invalid(format!("group {group:?} {why} on topic {topic:?}")))
    }

    /// All of these are held until they are gone: whoever has had one from before writes nothing of it behind the record that says so.
    fn forget(&self, choose: impl FnOnce(&mut Vec<Arc<Slot>>) -> Result<()>) -> Result<()> {
        let mut gone: Vec<Arc<Slot>> = self.slots.lock().values().cloned().collect();
        choose(&mut gone)?;
        let names: Vec<_> = gone.iter().map(|slot| slot.name.clone()).collect();
        let mut held: Vec<_> = gone.iter().map(|slot| slot.enter(&self.suspects)).collect();
        // What was out of them is nobody's to wait for: that is told when they are let go, also by a panic.
        held.iter_mut().for_each(|inner| inner.state.forget_what_is_out());
        let forgotten = self.states.delete(&names, |written| {
            let mut slots = self.slots.lock();
            names.get(written.clone()).into_iter().flatten().for_each(|name| _ = slots.remove(name));
            held.get_mut(written).into_iter().flatten().for_each(|inner| inner.is_forgotten = true);
        });
        drop(held);
        let mut counts = self.letter_counts.lock();
        names.iter().for_each(|name| _ = counts.remove(name));
        drop(counts);
        // What is full depends on them.
        self.room.raise();
        forgotten
    }
}
