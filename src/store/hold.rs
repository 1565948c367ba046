//! Holding maintenance.

use std::fmt;

use crate::error::Result;
use crate::store::store::Store;
use crate::upkeep::MaintenanceHold;

/// A guard that holds the maintenance of a store until it is dropped. Made by [`Store::hold_maintenance`].
#[must_use = "maintenance goes on when it is dropped"]
pub struct MaintenanceGuard {
    /// Held for its drop.
    _hold: MaintenanceHold,
}

impl fmt::Debug for MaintenanceGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaintenanceGuard")
    }
}

impl Store {
    /// Holds maintenance while the returned guard lives, so that somebody else can copy the files, or measure. Meanwhile there is no
    /// retention and no compaction, no segment ends because of its age, and no file of a segment is removed or renamed.
    /// Appends continue, and so do syncs, segments that end because they are full, and the deletion of topics.
    /// [`apply_retention`](Self::apply_retention), [`Topic::compact`](crate::Topic::compact),
    /// [`Topic::erase`](crate::Topic::erase) and [`Partition::delete_records`](crate::Partition::delete_records) return
    /// [`Held`](crate::Error::Held). A compaction that is under way ends at its next step, and is started again later. What became due
    /// is done as soon as the last guard is dropped. Closing the store ends every hold.
    ///
    /// The call waits for writes that are under way, but not for a compaction. If an earlier open of the store has left work on files of
    /// segments, as after a crash, that is done first.
    ///
    /// ```
    /// # use annals::{Error, Record, Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let visits = store.create_topic("visits", TopicConfig::new())?;
    /// store.producer().send(Record::to("visits").key("alice").value("/"))?;
    /// let held = store.hold_maintenance()?;
    /// assert!(matches!(visits.erase("alice"), Err(Error::Held { .. })));
    /// drop(held);
    /// assert_eq!(visits.erase("alice")?[0].records, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreClosed`](crate::Error::StoreClosed); whatever prevents that work, such as a full disk. Then nothing is held.
    pub fn hold_maintenance(&self) -> Result<MaintenanceGuard> {
        let _work = self.work()?;
        Ok(MaintenanceGuard { _hold: self.shared_topics().hold_maintenance()? })
    }
}
