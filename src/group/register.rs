//! Which groups are in use, and which of them read a topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::group::group::Group;

/// Groups by name and by topic. A group is here as long as a consumer of it lives; what it has committed is kept elsewhere.
#[derive(Debug, Default)]
pub(super) struct Register {
    by_name: BTreeMap<Arc<str>, InUse>,
    /// The groups that read a topic, so that a change of it looks at no other.
    by_topic: BTreeMap<Arc<str>, BTreeMap<Arc<str>, InUse>>,
}

/// A group, and how many consumers, or subscriptions to the topic, keep it here.
#[derive(Debug)]
struct InUse {
    group: Arc<Group>,
    count: usize,
}

impl InUse {
    fn new(group: Arc<Group>) -> Self {
        Self { group, count: 0 }
    }
}

impl Register {
    /// The group of that name for one more consumer; it is created for the first.
    pub(super) fn take(&mut self, name: &str) -> Arc<Group> {
        if !self.by_name.contains_key(name) {
            let name: Arc<str> = name.into();
            self.by_name.insert(Arc::clone(&name), InUse::new(Arc::new(Group::new(Arc::clone(&name)))));
        }
        match self.by_name.get_mut(name) {
            Some(in_use) => {
                in_use.count += 1;
                Arc::clone(&in_use.group)
            }
            None => Arc::new(Group::new(name.into())),
        }
    }

    /// A consumer of the group is gone.
    pub(super) fn give_back(&mut self, name: &str) {
        release(&mut self.by_name, name);
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Group>> {
        self.by_name.get(name).map(|in_use| Arc::clone(&in_use.group))
    }

    pub(super) fn all(&self) -> Vec<Arc<Group>> {
        self.by_name.values().map(|in_use| Arc::clone(&in_use.group)).collect()
    }

    /// The groups that read the topic of that name, whether it exists or not.
    pub(super) fn readers_of(&self, topic: &str) -> Vec<Arc<Group>> {
        let readers = self.by_topic.get(topic).into_iter().flat_map(BTreeMap::values);
        readers.map(|in_use| Arc::clone(&in_use.group)).collect()
    }

    /// A member of the group begins to read these topics.
    pub(super) fn note_subscription(&mut self, group: &Arc<Group>, topics: &[Arc<str>]) {
        for topic in topics {
            let readers = self.by_topic.entry(Arc::clone(topic)).or_default();
            let in_use =
                readers.entry(Arc::clone(&group.name)).or_insert_with(|| InUse::new(Arc::clone(group)));
            in_use.count += 1;
        }
    }

    /// A member of the group reads these topics no more.
    pub(super) fn forget_subscription(&mut self, group: &Group, topics: &[Arc<str>]) {
        for topic in topics {
            let Some(readers) = self.by_topic.get_mut(topic) else { continue };
            release(readers, &group.name);
            if readers.is_empty() {
                self.by_topic.remove(topic);
            }
        }
    }
}

fn release(groups: &mut BTreeMap<Arc<str>, InUse>, name: &str) {
    if let Some(in_use) = groups.get_mut(name) {
        in_use.count = in_use.count.saturating_sub(1);
        if in_use.count == 0 {
            groups.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_of_a_group_that_nobody_uses() {
        let mut register = Register::default();
        for number in 0..1000 {
            let name = format!("group {number}");
            let group = register.take(&name);
            register.note_subscription(&group, &["a".into(), "b".into()]);
            assert!(Arc::ptr_eq(&group, &register.take(&name)));
            assert_eq!(register.readers_of("a").len(), 1);
            register.give_back(&name);
            assert!(register.find(&name).is_some(), "one consumer is left");
            register.forget_subscription(&group, &["a".into(), "b".into()]);
            register.give_back(&name);
            assert!(register.find(&name).is_none());
        }
        assert!(register.by_name.is_empty() && register.by_topic.is_empty());
    }
}
