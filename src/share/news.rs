//! Topics that were made while a state was held, until groups are told.

use crate::locks::{AtomicBool, Mutex, Ordering};
use crate::share::queues::Queues;

/// Their names.
#[derive(Debug, Default)]
pub(super) struct News {
    topics: Mutex<Vec<String>>,
    are_any: AtomicBool,
}

impl News {
    pub(super) fn add(&self, topic: String) {
        self.topics.lock().push(topic);
        self.are_any.store(true, Ordering::Release);
    }
}

impl Queues {
    /// Has those who read such a topic be assigned its partitions. Not for those who hold a state: a transaction holds the members of a
    /// group, whose offsets it commits, and then wants the states of its answers.
    pub(super) fn tell_groups(&self) {
        if self.news.are_any.swap(false, Ordering::AcqRel) {
            let topics = std::mem::take(&mut *self.news.topics.lock());
            topics.iter().for_each(|topic| self.groups.topic_changed(topic));
        }
    }
}
