//! A batch as it stands in a file.

use crate::format::BatchHeader;
use crate::io::{View, WeakView};

/// One whole batch: its header decoded, its bytes shared with the map or buffer they were found in.
#[derive(Debug, Clone)]
pub(crate) struct StoredBatch {
    header: BatchHeader,
    /// Byte position in the `.log`.
    position: u64,
    view: View,
    /// Where in `view` the batch begins; all of it lies inside.
    at: usize,
}

/// A batch that is there as long as somebody else holds its bytes.
#[derive(Debug, Clone)]
pub(crate) struct WeakBatch {
    header: BatchHeader,
    position: u64,
    view: WeakView,
    at: usize,
}

impl WeakBatch {
    pub(crate) fn header(&self) -> &BatchHeader {
        &self.header
    }

    pub(crate) fn upgrade(&self) -> Option<StoredBatch> {
        let Self { header, position, at, .. } = *self;
        Some(StoredBatch { header, position, view: self.view.upgrade()?, at })
    }
}

impl StoredBatch {
    pub(crate) fn downgrade(&self) -> WeakBatch {
        let Self { header, position, at, .. } = *self;
        WeakBatch { header, position, view: self.view.downgrade(), at }
    }

    /// `None` when the batch does not lie wholly in `view`.
    pub(super) fn new(header: BatchHeader, position: u64, view: View, at: usize) -> Option<Self> {
        view.get(at..at.checked_add(header.total_len())?)?;
        Some(Self { header, position, view, at })
    }

    pub(crate) fn header(&self) -> &BatchHeader {
        &self.header
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The whole batch.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.view.get(self.at..self.at + self.header.total_len()).unwrap_or_default()
    }

    /// Everything after the header: records, or what they were compressed to.
    pub(crate) fn body(&self) -> &[u8] {
        self.bytes().get(BatchHeader::LEN..).unwrap_or_default()
    }
}
