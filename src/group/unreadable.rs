//! What holds while the commits cannot be read: a group that began again would read again, or leave out, what others had read.

use crate::error::{Error, Result};
use crate::group::committed::Committed;
use crate::group::groups::Groups;
use crate::log::SkippedRecord;
use crate::topic::{Ledger, Partition, Topics};
use crate::types::TopicPartition;

/// What groups have committed, as it was found.
pub(super) struct Loaded {
    pub(super) committed: Committed,
    pub(super) skipped: Vec<SkippedRecord>,
    /// Nothing is known.
    pub(super) unreadable: Option<Error>,
}

impl Loaded {
    pub(super) fn from(ledger: &Ledger, topics: &Topics) -> Result<Self> {
        let mut committed = Committed::default();
        match ledger.load(&mut committed) {
            Ok(skipped) => Ok(Self { committed, skipped, unreadable: None }),
            Err(failed @ Error::Io { .. }) => Err(failed),
            Err(damage) => {
                hold_back_appends(topics, &damage);
                // Those that were read may have been replaced by others that were not.
                Ok(Self { committed: Committed::default(), skipped: Vec::new(), unreadable: Some(damage) })
            }
        }
    }
}

impl Groups {
    /// An error when what was committed is not known.
    pub(super) fn check_readable(&self) -> Result<()> {
        self.unreadable.clone().map_or(Ok(()), Err)
    }

    /// Why the commits could not be read.
    pub(crate) fn unreadable(&self) -> Option<&Error> {
        self.unreadable.as_ref()
    }
}

/// Partitions that were not closed may have lost records that some group has committed. Records sent in their place would be taken
/// for read once the commits can be read again: there are to be none before.
fn hold_back_appends(topics: &Topics, why: &Error) {
    for partition in unclean(topics) {
        let why = why.clone();
        partition.log().require(move |_| Err(why.clone()));
    }
}

/// Partitions of users that were not closed.
pub(crate) fn unclean(topics: &Topics) -> Vec<Partition> {
    let recovery = topics.recovery();
    let unclean = recovery.iter().filter(|report| !report.clean && report.failure.is_none());
    let partition = |place: &TopicPartition| {
        let topic = topics.get(place.topic()).ok().filter(|topic| !topic.is_internal())?;
        topic.partition(place.partition()).ok()
    };
    unclean.filter_map(|report| partition(&report.topic_partition)).collect()
}
