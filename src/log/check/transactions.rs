//! Whether the files that tell of producers and their transactions tell what the log does: a reader goes by an index of aborted
//! transactions, an open after a crash by a snapshot of producers.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::Result;
use crate::format::{
    AbortedTransaction, BatchHeader, ControlRecord, Ending, SegmentFile, SegmentSummary, segment_file_name,
    snapshot_file_name,
};
use crate::io::Directory;
use crate::log::check::verify::{Damage, VerifyReport};
use crate::log::producers::snapshot_file;
use crate::log::producers::table::ProducerTable;
use crate::segment::Segment;
use crate::types::Offset;

/// What the log tells, as far as it was walked.
#[derive(Debug)]
pub(super) struct TransactionCheck {
    table: ProducerTable,
    /// The snapshots that the walk has not come to, the first one last.
    snapshots: Vec<Offset>,
    /// Which one the state file names. An open goes by no other.
    named: Option<Offset>,
    /// Of the segment that is walked.
    aborted: Vec<AbortedTransaction>,
    /// Who has an ABORT marker in it, and where.
    markers: BTreeSet<(i64, Offset)>,
    /// Something could not be read: from there on nobody knows.
    is_blind: bool,
}

impl TransactionCheck {
    pub(super) fn new(named: Option<Offset>, directory: &Directory) -> Result<Self> {
        let mut snapshots = snapshot_file::list(directory)?;
        snapshots.extend(named);
        snapshots.sort_unstable_by_key(|at| std::cmp::Reverse(*at));
        snapshots.dedup();
        Ok(Self {
            table: ProducerTable::default(),
            snapshots,
            named,
            aborted: Vec::new(),
            markers: BTreeSet::new(),
            is_blind: false,
        })
    }

    /// Something of the log could not be read.
    pub(super) fn go_blind(&mut self) {
        self.is_blind = true;
    }

    /// Takes in a sound batch.
    pub(super) fn add(&mut self, header: &BatchHeader, body: &[u8]) {
        if header.producer_id < 0 {
            return;
        }
        if header.attributes.is_control()
            && let Ok(Some(ControlRecord::EndOfTransaction { ending: Ending::Abort, .. })) =
                ControlRecord::decode(header, body)
        {
            self.markers.insert((header.producer_id, header.last_offset()));
        }
        self.aborted.extend(self.table.replay(header, body));
    }

    /// Compares the snapshots of which everything below was walked.
    pub(super) fn come_to(
        &mut self,
        offset: Offset,
        directory: &Directory,
        report: &mut VerifyReport,
    ) -> Result<()> {
        while let Some(at) = self.snapshots.pop_if(|at| *at <= offset) {
            let path = directory.join(&snapshot_file_name(at));
            let Some(snapshot) = snapshot_file::read(directory, at)? else {
                report.stale_indexes.push(path);
                continue;
            };
            let contradiction = self.table.contradicted_by(&snapshot).filter(|_| !self.is_blind);
            match contradiction {
                Some(reason) if self.named == Some(at) => {
                    report.findings.push(Damage { path, position: 0, offset: Some(at), reason });
                }
                Some(_) => report.stale_indexes.push(path),
                None => {}
            }
        }
        Ok(())
    }

    /// Compares the index of a sealed segment that was walked. False where it is missing, or not the one that was written.
    pub(super) fn end_segment(
        &mut self,
        segment: &Arc<Segment>,
        summary: Option<&SegmentSummary>,
        report: &mut VerifyReport,
    ) -> Result<bool> {
        let (aborted, markers) = (std::mem::take(&mut self.aborted), std::mem::take(&mut self.markers));
        // Of one that was repaired nobody has written which they are: the log is asked each time.
        let Some(summary) = summary.filter(|summary| summary.aborted_entries != u32::MAX) else {
            return Ok(true);
        };
        let Some(index) = segment.aborted()? else { return Ok(false) };
        if self.is_blind {
            return Ok(true);
        }
        let directory = segment.log().directory();
        let path = directory.join(&segment_file_name(summary.base, SegmentFile::TransactionIndex));
        let found = differences(&index, &aborted, &markers);
        report.findings.extend(found.into_iter().map(|(entry, reason)| Damage {
            path: path.clone(),
            position: (entry * AbortedTransaction::LEN) as u64,
            offset: Some(summary.base),
            reason,
        }));
        Ok(true)
    }
}

/// Where an index would have readers go wrong, by the number of its entry. It may know of records that are gone since: what the log
/// tells of a transaction may begin later, and end readers' search later.
fn differences(
    index: &[AbortedTransaction],
    aborted: &[AbortedTransaction],
    markers: &BTreeSet<(i64, Offset)>,
) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let same = |one: &AbortedTransaction, other: &AbortedTransaction| {
        (one.producer_id, one.last) == (other.producer_id, other.last)
    };
    for (number, entry) in index.iter().enumerate() {
        if !markers.contains(&(entry.producer_id, entry.last)) {
            found.push((
                number,
                format!("producer {} has aborted nothing at {}", entry.producer_id, entry.last),
            ));
        }
        let known = aborted.iter().find(|one| same(one, entry));
        if known.is_some_and(|known| entry.first > known.first || entry.stable > known.stable) {
            found.push((number, format!("the log has it otherwise: {entry:?}, there {known:?}")));
        }
    }
    for missing in aborted.iter().filter(|one| !index.iter().any(|entry| same(entry, one))) {
        let AbortedTransaction { producer_id, first, last, .. } = missing;
        let reason =
            format!("the transaction of producer {producer_id} from {first}, aborted at {last}, is missing");
        found.push((index.len(), reason));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_may_know_more_than_the_log_and_never_less() {
        let entry = AbortedTransaction { producer_id: 7, first: 3, last: 9, stable: 10 };
        let markers = BTreeSet::from([(7, 9)]);
        let look = |index: &[_], aborted: &[_]| differences(index, aborted, &markers).len();
        assert_eq!(look(&[entry], &[entry]), 0);
        assert_eq!(look(&[entry], &[]), 0, "its records are gone");
        let shorter = AbortedTransaction { first: 4, stable: 12, ..entry };
        assert_eq!(look(&[entry], &[shorter]), 0, "some of its records are gone");
        assert_eq!(look(&[shorter], &[entry]), 1, "a record would be read, or a search end too early");
        assert_eq!(look(&[AbortedTransaction { stable: 11, ..entry }], &[entry]), 1);
        assert_eq!(look(&[], &[entry]), 1, "it is missing");
        assert_eq!(
            look(&[entry, AbortedTransaction { last: 8, ..entry }], &[entry]),
            1,
            "nothing was aborted there"
        );
    }
}
