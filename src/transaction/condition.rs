//! What has to hold at the moment of a commit.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::Stage;
use crate::topic::{Partition, RecordRef};
use crate::transaction::coordinator::Put;
use crate::types::Offset;

/// Something that has to hold when the records of a transaction get their offsets. It is checked then, under the locks of all
/// partitions of the transaction and of all its conditions; and each time when some of it is written before, so that one that
/// does not hold any more is told early.
///
/// What it looks at it finds by [`Held`]. It takes no lock of a partition, and does not wait for anybody who might.
pub(crate) trait Condition: fmt::Debug + Send + Sync {
    /// The partitions it is about: nobody else appends there while it is checked, nor before the records have their offsets.
    fn partitions(&self) -> Vec<Partition>;

    /// Before the locks are taken: the time to look at what takes long, or to wait. `own` says of a record that the transaction has
    /// written it.
    fn prepare(&self, _own: &dyn Fn(&Partition, Offset) -> bool) -> Result<()> {
        Ok(())
    }

    /// The error is what `commit` returns.
    fn check(&self, held: &Held<'_, '_>) -> Result<()>;
}

/// Partitions that nobody else appends to.
#[derive(Debug)]
pub(crate) struct Held<'s, 'a> {
    stages: &'s [Stage<'a>],
    /// What the transaction has written before.
    own: &'s [Put],
}

impl<'s, 'a> Held<'s, 'a> {
    pub(super) fn new(stages: &'s [Stage<'a>], own: &'s [Put]) -> Self {
        Self { stages, own }
    }

    /// The offset of the next record.
    pub(crate) fn end(&self, partition: &Partition) -> Result<Offset> {
        let stage = self.stages.iter().find(|stage| Arc::ptr_eq(stage.log(), partition.log()));
        stage.and_then(Stage::next_offset).ok_or_else(|| {
            Error::invalid(format!("a condition looks at {}, which is not held", partition.topic_partition()))
        })
    }

    /// What the transaction itself has written there before, in order: no condition is about that.
    pub(crate) fn own(&self, partition: &Partition) -> impl Iterator<Item = RangeInclusive<Offset>> {
        let log = Arc::clone(partition.log());
        let here = self.own.iter().filter(move |put| Arc::ptr_eq(put.partition.log(), &log));
        here.map(|put| put.place.first_offset..=put.place.last_offset)
    }

    /// Passes every record from `from` on to `look`, until it returns false: those of no transaction, of committed ones, and of
    /// those that are not decided. What may be there counts as there: whoever is decided later has its place before this one.
    #[cfg_attr(not(test), expect(dead_code, reason = "for conditions of the layers above"))]
    pub(crate) fn each(
        &self,
        partition: &Partition,
        from: Offset,
        look: impl FnMut(RecordRef<'_>) -> bool,
    ) -> Result<()> {
        partition.each_held(from..self.end(partition)?, look)
    }
}

/// Nobody has appended since the caller saw the partition end there.
#[derive(Debug)]
pub(super) struct EndsAt {
    pub(super) partition: Partition,
    pub(super) end: Offset,
}

impl Condition for EndsAt {
    fn partitions(&self) -> Vec<Partition> {
        vec![self.partition.clone()]
    }

    fn check(&self, held: &Held<'_, '_>) -> Result<()> {
        let found = held.end(&self.partition)?;
        if found == behind_own(self.end, held.own(&self.partition)) {
            return Ok(());
        }
        let partition = self.partition.topic_partition().clone();
        Err(Error::UnexpectedEnd { partition, expected: self.end, found })
    }
}

/// Where a partition ends that ended at `end`, and to which nobody but the transaction has appended since.
fn behind_own(end: Offset, own: impl Iterator<Item = RangeInclusive<Offset>>) -> Offset {
    own.fold(end, |end, written| if *written.start() == end { *written.end() + 1 } else { end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_transaction_has_written_itself_is_no_append_of_another() {
        assert_eq!(behind_own(5, [].into_iter()), 5);
        assert_eq!(behind_own(5, [5..=6, 7..=7].into_iter()), 8);
        assert_eq!(behind_own(5, [6..=6].into_iter()), 5, "somebody was there first");
        assert_eq!(behind_own(5, [5..=5, 7..=7].into_iter()), 6, "somebody came between");
        assert_eq!(behind_own(5, [2..=4].into_iter()), 5, "written before the caller looked");
        assert_eq!(behind_own(5, [2..=4, 5..=5].into_iter()), 6);
    }
}
