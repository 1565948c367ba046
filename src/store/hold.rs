//! Holding maintenance.

use std::fmt;

use crate::error::Result;
use crate::store::store::Store;
use crate::upkeep::MaintenanceHold;

/// Holds the maintenance of a store until it is dropped: [`Store::hold_maintenance`].
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
    /// Holds maintenance for as long as what is returned lives: somebody else copies the files, or measures. Meanwhile there is no
    /// retention, no compaction, no segment ends for its age, and no file of a segment is removed or gets another name.
    /// Appends go on, and with them syncs and segments that end because they are full; so does the deletion of topics.
    /// [`apply_retention`](Self::apply_retention), [`Topic::compact`](crate::Topic::compact),
    /// [`Topic::erase`](crate::Topic::erase) and [`Partition::delete_records`](crate::Partition::delete_records) return
    /// [`Held`](crate::Error::Held). A compaction that is under way ends at its next step, and is begun again later. What fell due
    /// is done as soon as the last guard is dropped. Closing the store ends every hold.
    ///
    /// The call waits for writes that are under way, not for a compaction. What a life before has left to do to files of segments, as after a
    /// crash, is done first.
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
    /// [`StoreClosed`](crate::Error::StoreClosed); what keeps that from being done, as a full disk. Then nothing is held.
    pub fn hold_maintenance(&self) -> Result<MaintenanceGuard> {
        let _work = self.work()?;
        Ok(MaintenanceGuard { _hold: self.shared_topics().hold_maintenance()? })
    }
}
