//! What other rooms must have on the disk before a partition takes its first record.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::locks::{AtomicBool, Mutex, Ordering};
use crate::log::log::Log;
use crate::log::write::writer::Phase;

/// What whoever meets a prerequisite holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holding {
    /// No partition's writer, and nothing that the room which asks for it may need: its locks can be waited for.
    Nothing,
    /// Perhaps the writer of a partition, perhaps more: what somebody else holds is an error.
    Locks,
}

/// One of them.
struct Prerequisite(Box<dyn Fn(Holding) -> Result<()> + Send + Sync>);

/// Those of one partition that are not met yet. One that was met stays met.
#[derive(Default)]
pub(in crate::log) struct Prerequisites {
    list: Mutex<Vec<Arc<Prerequisite>>>,
    /// Whether there is one: asked by every append.
    is_any: AtomicBool,
}

impl fmt::Debug for Prerequisites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prerequisites").field("number", &self.list.lock().len()).finish()
    }
}

impl Prerequisites {
    fn add(&self, one: Prerequisite) {
        self.list.lock().push(Arc::new(one));
        self.is_any.store(true, Ordering::Release);
    }

    #[inline]
    pub(in crate::log) fn meet(&self, holding: Holding) -> Result<()> {
        if self.is_any.load(Ordering::Acquire) { self.meet_all(holding) } else { Ok(()) }
    }

    #[cold]
    fn meet_all(&self, holding: Holding) -> Result<()> {
        let prerequisites = self.list.lock().clone();
        prerequisites.iter().try_for_each(|prerequisite| (prerequisite.0)(holding))?;
        let mut list = self.list.lock();
        list.retain(|one| !prerequisites.iter().any(|met| Arc::ptr_eq(met, one)));
        self.is_any.store(!list.is_empty(), Ordering::Release);
        Ok(())
    }
}

impl Log {
    /// Nothing is appended before `prerequisite` has succeeded: until then every append fails with its error, and the next one
    /// asks again. False for a partition that was appended to already.
    pub(crate) fn require(
        &self,
        prerequisite: impl Fn(Holding) -> Result<()> + Send + Sync + 'static,
    ) -> bool {
        let writer = self.writer.lock();
        self.prerequisites.add(Prerequisite(Box::new(prerequisite)));
        matches!(writer.phase, Phase::Untouched(_))
    }

    /// Has everything on the disk that must be there before the first append. An append does that itself, under its partition's
    /// writer where need be; whoever takes the writers of several does it before the first of them: what is written for one partition
    /// goes to another, whose writer a thread may have already, or somebody else who waits for this one.
    #[inline]
    pub(crate) fn meet_prerequisites(&self, holding: Holding) -> Result<()> {
        self.check_process()?;
        self.prerequisites.meet(holding)
    }
}
