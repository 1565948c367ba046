//! Finding batches: the segment, the batch in it, and what to do when either has moved.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::BatchHeader;
use crate::log::read::expand::OpenedBatch;
use crate::log::read::reader::{BelowStart, Isolation, Reader};
use crate::segment::{Cursor, StoredBatch};

impl Reader {
    /// The next data batch that reaches the position, checked and expanded.
    pub(super) fn next_batch(&mut self) -> Result<Option<OpenedBatch>> {
        loop {
            match self.next_stored() {
                Ok(Some(batch)) => match self.open_batch(batch) {
                    Ok(opened) => {
                        (self.passed, self.lost) = (None, 0);
                        return Ok(Some(opened));
                    }
                    // What another file has taken the place of says nothing of what is there now.
                    Err(_) if self.is_outdated() => self.cursor = None,
                    Err((header, malformed)) => {
                        let error = self.damaged(&header, malformed);
                        self.pass_over(error, header.next_offset())?;
                    }
                },
                Ok(None) => return Ok(None),
                // The first append after a crash moves the tail to another file, compaction puts another file in the
                // place of a segment's, retention removes it: looked for in the new list before it is a failure.
                Err(error) => match self.look_again(error) {
                    Ok(()) => self.cursor = None,
                    Err(error) if error.is_corruption() => self.pass_over_stretch(error)?,
                    Err(error) => return Err(self.log.check_open().err().unwrap_or(error)),
                },
            }
        }
    }

    /// The next data batch that reaches the position. Control and empty batches only move the position on.
    fn next_stored(&mut self) -> Result<Option<StoredBatch>> {
        loop {
            if self.position >= self.limit().min(self.until) {
                return Ok(None);
            }
            let Some(mut cursor) = self.take_cursor()? else { return Ok(None) };
            let header = match cursor.peek() {
                Ok(Some(header)) => header,
                Ok(None) => {
                    self.leave_segment(&cursor).map_err(|error| self.blame(&cursor, error))?;
                    continue;
                }
                Err(error) => return Err(self.blame(&cursor, error)),
            };
            if header.next_offset() <= self.position {
                cursor.step_over(&header);
            } else if header.next_offset() > self.limit() {
                // Limits lie between batches: one that spans them is damaged, and that is no end.
                cursor.check_next(&header)?;
                self.cursor = Some(cursor);
                return Ok(None);
            } else if self.passes_over(&header)? {
                cursor.check_next(&header)?;
                cursor.step_over(&header);
                self.position = header.next_offset();
            } else if header.attributes.is_transactional() && self.list_changed() {
                // Its end may stand in a segment that the list lacks: an abort is decided before its marker is written.
                continue;
            } else {
                let batch = cursor.take_batch(header)?;
                self.cursor = Some(cursor);
                return Ok(Some(batch));
            }
            self.cursor = Some(cursor);
        }
    }

    /// Whether nothing of a batch is for this reader.
    #[inline]
    fn passes_over(&mut self, header: &BatchHeader) -> Result<bool> {
        if header.attributes.is_control() || header.record_count == 0 {
            return Ok(true);
        }
        if header.attributes.is_transactional() && self.isolation == Isolation::ReadCommitted {
            return self.is_aborted(header);
        }
        Ok(false)
    }

    /// What `error`, met by `cursor`, comes from: where no batch is, one that was passed over on the way there may have a wrong
    /// length, which its checksum tells.
    fn blame(&self, cursor: &Cursor, error: Error) -> Error {
        let Ok(mut walk) = cursor.segment().seek(self.position) else { return error };
        while error.is_corruption() && walk.position() < cursor.position() {
            let Ok(Some(header)) = walk.peek() else { break };
            if let Err(earlier) = walk.check_next(&header) {
                return earlier;
            }
            walk.step_over(&header);
        }
        error
    }

    /// The same, where something was met that the list does not account for: another process may have changed it since.
    pub(super) fn is_outdated(&self) -> bool {
        // What fails here fails again at the next look, which says so.
        drop(self.log.look());
        self.list_changed()
    }

    /// What `error` was met by is looked for again, where that may help. Ok where it is to be read again.
    pub(super) fn look_again(&mut self, error: Error) -> Result<()> {
        if self.is_outdated() { Ok(()) } else { self.log.look_anew(error, &mut self.lost) }
    }

    pub(super) fn list_changed(&self) -> bool {
        !Arc::ptr_eq(&self.log.segments.read(), &self.list)
    }

    /// The cursor, moved to the segment that holds the position if there is none yet.
    fn take_cursor(&mut self) -> Result<Option<Cursor>> {
        if self.list_changed() {
            // Segments were added, replaced or removed. What is left of the position's batch is found again by offset.
            self.list = self.log.segment_list();
            self.cursor = None;
            // A place in a file that another may have replaced.
            self.passed = None;
        }
        // List and start go together: a list without the position's segment is never taken for a gap in the log.
        if self.position < self.list.start() {
            self.cursor = None;
            if self.below_start == BelowStart::Fail {
                return Err(self.log.out_of_range(self.position));
            }
            self.rest = None;
            let passed = self.list.start().saturating_sub(self.position);
            self.deleted += u64::try_from(passed).unwrap_or(0);
            self.position = self.list.start();
        }
        if let Some(cursor) = self.cursor.take() {
            return Ok(Some(cursor));
        }
        let Some(segment) = self.list.floor(self.position).map(Arc::clone) else {
            return Err(self.log.out_of_range(self.position));
        };
        self.position = self.position.max(segment.base());
        if self.position >= self.limit() {
            // Nothing but missing offsets lay before the end.
            return Ok(None);
        }
        self.log.catch_up(&segment);
        segment.seek(self.position).map(Some)
    }

    /// Nothing more in the cursor's segment: goes to the next one, which there must be below the limit. Offsets between
    /// the two are missing.
    fn leave_segment(&mut self, cursor: &Cursor) -> Result<()> {
        if self.is_outdated() || self.position >= self.limit() {
            // The next one may have been merged into this one: its base says nothing about where to go on.
            self.cursor = None;
            return Ok(());
        }
        let base = cursor.segment().base();
        if !cursor.segment().may_end_at(cursor.expected()) {
            let why = "its last batches do not reach the offset that was sealed";
            return Err(cursor.segment().log().broken(cursor.position(), cursor.expected(), why));
        }
        let Some(next) = self.list.after(base).map(Arc::clone) else {
            let why = "the segment ends before the log does";
            return Err(cursor.segment().log().broken(cursor.position(), cursor.expected(), why));
        };
        self.position = self.position.max(next.base());
        self.log.catch_up(&next);
        self.cursor = Some(next.seek(self.position)?);
        Ok(())
    }
}

#[cfg(test)]
impl Reader {
    /// Comes to the end of the position's segment, and goes on to the next one after `meanwhile`.
    pub(in crate::log) fn leave_segment_after(&mut self, meanwhile: impl FnOnce()) -> Result<()> {
        let Some(mut cursor) = self.take_cursor()? else { return Ok(()) };
        while let Some(header) = cursor.peek()? {
            cursor.step_over(&header);
            self.position = header.next_offset();
        }
        meanwhile();
        self.leave_segment(&cursor)
    }
}
