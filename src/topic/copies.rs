//! Copies of what a reader fetches, handed out one at a time.

use crate::error::Result;
use crate::topic::{OwnedRecord, Records};
use crate::types::Offset;

/// An error is the last that is handed out.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// Next one last.
    copies: Vec<OwnedRecord>,
    has_failed: bool,
}

impl Copies {
    /// Of the next one, where one was fetched and not handed out.
    pub(crate) fn first_offset(&self) -> Option<Offset> {
        self.copies.last().map(|next| next.offset)
    }

    /// The next one, from what `fetch` returns when there is none left of the last time.
    pub(crate) fn next(&mut self, fetch: impl FnOnce() -> Result<Records>) -> Option<Result<OwnedRecord>> {
        if self.copies.is_empty() && !self.has_failed {
            match fetch() {
                Ok(records) => self.copies.extend(records.iter().map(|record| record.to_owned())),
                Err(error) => {
                    self.has_failed = true;
                    return Some(Err(error));
                }
            }
            self.copies.reverse();
        }
        self.copies.pop().map(Ok)
    }
}
