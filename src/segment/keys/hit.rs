//! What is asked, and what is answered.

use crate::format::{BatchHeader, BatchTerms};
use crate::types::Offset;

/// A batch in which a record may be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    /// Of the record.
    pub(crate) offset: Offset,
    /// Of its batch.
    pub(crate) position: u64,
}

/// The newest record of a hash, as far as memory alone tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Newest {
    /// `None` where the segment has no record of the hash at all.
    pub(crate) hit: Option<Hit>,
    /// It is known up to here.
    pub(crate) until: Offset,
}

/// A batch as its terms are taken in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewBatch<'a> {
    pub(crate) header: &'a BatchHeader,
    /// The uncompressed bytes of its records.
    pub(crate) records: &'a [u8],
    /// Its terms, where whoever encoded the records has put them down.
    pub(crate) terms: Option<&'a BatchTerms>,
    /// Of the batch in the `.log`.
    pub(crate) position: u64,
}

/// Which hits are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HitRange {
    pub(crate) from: Offset,
    pub(crate) until: Offset,
    pub(crate) take: Take,
}

/// How many of them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Take {
    All,
    /// The last ones, at most so many.
    Last(usize),
}
