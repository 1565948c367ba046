//! Topics by their ids: each question goes through all of them.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::topic::topic::Topic;
use crate::topic::topics::Topics;

impl Topics {
    /// The topic of that id if it was opened, and is not about to go. It waits for nobody who changes the list of topics: for those who
    /// hold what that one may wait for.
    pub(crate) fn opened(&self, id: u128) -> Option<Topic> {
        self.check_process().ok()?;
        self.note_question();
        self.by_name.read().values().find(|topic| topic.id() == id).cloned()
    }

    /// The topic of that id; `None` when there is none any more, an error when there is one that could not be opened.
    pub(crate) fn by_id(&self, id: u128) -> Result<Option<Topic>> {
        self.check_process()?;
        if let Some(found) = self.opened(id) {
            return Ok(Some(found));
        }
        let catalog = self.catalog.lock();
        let listed = catalog.catalog().topics.iter().find(|(_, entry)| entry.id == id);
        listed.map(|(name, _)| self.get(name)).transpose()
    }

    /// The ids of all topics that are there, those that could not be opened among them: for who would ask for many.
    pub(crate) fn ids(&self) -> Result<BTreeSet<u128>> {
        self.check_process()?;
        self.note_question();
        let opened: BTreeSet<_> = self.by_name.read().values().map(Topic::id).collect();
        let catalog = self.catalog.lock();
        Ok(catalog.catalog().topics.values().map(|entry| entry.id).chain(opened).collect())
    }

    /// Unit tests count them.
    fn note_question(&self) {
        #[cfg(test)]
        self.questions.fetch_add(1, crate::locks::Ordering::Relaxed);
    }
}
