//! Reading a partition from an offset on.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{BatchHeader, Codec, Decompressor, Malformed, RecordIter};
use crate::partition::fetch::{Cut, RecordBytes, RecordSlice};
use crate::partition::log::Log;
use crate::partition::segment_list::SegmentList;
use crate::segment::{Cursor, StoredBatch};
use crate::types::Offset;

/// How far a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Visibility {
    /// Everything handed to the operating system.
    #[default]
    Written,
    /// What survives a power cut: nothing that was read can be lost later.
    Durable,
}

/// What a reader does about a damaged batch.
///
/// ```no_run
/// use annals::{OnDamage, Store};
/// let store = Store::open("shop-log")?;
/// let salvage = store.consumer_builder().on_damage(OnDamage::Skip).build()?;
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnDamage {
    /// Returns the error, now and at every later try. Other offsets stay readable: seek behind the batch.
    #[default]
    Fail,
    /// Goes on behind the damaged batch, or where the index knows the next one.
    Skip,
}

/// Bounds of one fetch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchLimits {
    pub(crate) max_records: usize,
    /// The batch that reaches it is still handed out.
    pub(crate) max_bytes: usize,
}

/// Reads one partition forwards. Holds the segments it reads, whatever becomes of their files.
#[derive(Debug)]
pub(crate) struct Reader {
    log: Arc<Log>,
    visibility: Visibility,
    on_damage: OnDamage,
    /// The next offset to hand out.
    position: Offset,
    /// The first offset not to hand out.
    until: Offset,
    /// The segments when they were last looked at.
    list: Arc<SegmentList>,
    /// Stands before the batch that holds `position`, or one before it.
    cursor: Option<Cursor>,
    /// What is left of a batch that was handed out in part.
    rest: Option<Rest>,
    decompressor: Decompressor,
    /// The buffer of the last expanded batch, used again when nobody holds it any more.
    expanded: Arc<Vec<u8>>,
}

#[derive(Debug, Clone)]
struct Rest {
    batch: StoredBatch,
    bytes: RecordBytes,
    position: usize,
    remaining: i32,
}

impl Reader {
    pub(crate) fn new(log: Arc<Log>, position: Offset, visibility: Visibility, on_damage: OnDamage) -> Self {
        let list = log.segment_list();
        Self {
            log,
            visibility,
            on_damage,
            position,
            until: Offset::MAX,
            list,
            cursor: None,
            rest: None,
            decompressor: Decompressor::default(),
            expanded: Arc::default(),
        }
    }

    /// Ends before `until`, whatever the log holds behind it.
    pub(crate) fn until(mut self, until: Offset) -> Self {
        self.until = until;
        self
    }

    /// The next offset it will hand out, or a greater one where offsets are missing.
    pub(crate) fn position(&self) -> Offset {
        self.position
    }

    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Goes on at `position`. Whether the log has it shows at the next fetch.
    pub(crate) fn seek(&mut self, position: Offset) {
        if position != self.position {
            self.position = position;
            self.cursor = None;
            self.rest = None;
        }
    }

    /// The offset at which this reader has nothing more to read.
    pub(crate) fn limit(&self) -> Offset {
        match self.visibility {
            Visibility::Written => self.log.end(),
            Visibility::Durable => self.log.durable(),
        }
    }

    /// Up to the limits' worth of records, none at the end. Batches still in memory are written first.
    pub(crate) fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<RecordSlice>> {
        let was_at_end = self.position >= self.limit();
        if was_at_end {
            self.log.write_queued();
            if self.position > self.log.end() {
                // Nothing is there to wait for: what is appended next gets a lower offset.
                return Err(self.log.out_of_range(self.position));
            }
        }
        let slices = self.fetch_written(limits)?;
        if slices.is_empty() && !was_at_end && self.position >= self.limit() {
            // Nothing but missing offsets lay before the end.
            self.log.write_queued();
            return self.fetch_written(limits);
        }
        Ok(slices)
    }

    fn fetch_written(&mut self, limits: FetchLimits) -> Result<Vec<RecordSlice>> {
        let mut slices = Vec::new();
        let (mut records, mut bytes) = (0, 0);
        while records < limits.max_records && bytes < limits.max_bytes {
            match self.next_slice(limits.max_records - records) {
                // All that is left of a compacted batch may lie before the position: it counts for nothing.
                Ok(Some(slice)) if slice.records.len() == 0 => {}
                Ok(Some(slice)) => {
                    records += slice.records.len();
                    bytes += slice.stored_bytes;
                    slices.push(slice.records);
                }
                Ok(None) => break,
                // What was read before the damage is handed out first; the next fetch meets the damage at once.
                Err(_) if !slices.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(slices)
    }

    fn next_slice(&mut self, max_records: usize) -> Result<Option<Sliced>> {
        loop {
            // What is left of a batch may have been deleted or erased meanwhile: then it is looked up again.
            let rest = match self.rest.take().filter(|_| !self.list_changed()) {
                Some(rest) => rest,
                None => match self.next_batch()? {
                    Some(batch) => batch,
                    None => return Ok(None),
                },
            };
            let header = *rest.batch.header();
            match self.slice(rest, max_records) {
                Ok(sliced) => return Ok(Some(sliced)),
                Err(malformed) => {
                    let error = self.damaged(&header, malformed);
                    self.pass_over(error, header.next_offset())?;
                }
            }
        }
    }

    /// Cuts up to `max_records` records off `rest`, decoding each once.
    fn slice(&mut self, rest: Rest, max_records: usize) -> std::result::Result<Sliced, Malformed> {
        let header = *rest.batch.header();
        let mut records = RecordIter::resume(&header, rest.bytes.get(), rest.position, rest.remaining);
        let (mut first, mut first_remaining) = (rest.position, rest.remaining);
        let mut count = 0;
        let mut next_offset = self.position;
        while count < max_records {
            let (at, remaining) = (records.position(), records.remaining());
            let Some(record) = records.next_record() else { break };
            let record = record?;
            if record.offset < self.position {
                continue;
            }
            if record.offset >= self.until {
                next_offset = self.until;
                return Ok(self.last_slice(rest, (first, first_remaining, count), next_offset));
            }
            if count == 0 {
                (first, first_remaining) = (at, remaining);
            }
            count += 1;
            next_offset = record.offset + 1;
        }
        let (position, remaining) = (records.position(), records.remaining());
        let stored_bytes = if rest.position == 0 { header.total_len() } else { 0 };
        if remaining == 0 {
            // Looks at what follows the last record, which must be nothing.
            if let Some(record) = records.next_record() {
                record?;
            }
            next_offset = header.next_offset();
        } else {
            self.rest = Some(Rest { batch: rest.batch, bytes: rest.bytes.clone(), position, remaining });
        }
        self.position = next_offset;
        let cut = Cut { position: first, remaining: first_remaining, count, next_offset };
        Ok(Sliced { records: RecordSlice::new(header, rest.bytes, cut), stored_bytes })
    }

    /// The slice at which the reader ends, in the middle of a batch.
    fn last_slice(
        &mut self,
        rest: Rest,
        (position, remaining, count): (usize, i32, usize),
        next: Offset,
    ) -> Sliced {
        self.position = next;
        let cut = Cut { position, remaining, count, next_offset: next };
        Sliced { records: RecordSlice::new(*rest.batch.header(), rest.bytes, cut), stored_bytes: 0 }
    }

    /// The next data batch that reaches the position, checked and expanded.
    fn next_batch(&mut self) -> Result<Option<Rest>> {
        loop {
            match self.next_stored() {
                Ok(Some(batch)) => match self.open_batch(batch) {
                    Ok(opened) => return Ok(Some(opened)),
                    Err((header, malformed)) => {
                        let error = self.damaged(&header, malformed);
                        self.pass_over(error, header.next_offset())?;
                    }
                },
                Ok(None) => return Ok(None),
                // The first append after a crash moves the tail to another file, compaction puts another file in the
                // place of a segment's, retention removes it: looked for in the new list before it is a failure.
                Err(_) if self.list_changed() => self.cursor = None,
                Err(error) if error.is_corruption() => self.pass_over_stretch(error)?,
                Err(error) => return Err(error),
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
            let Some(header) = cursor.peek()? else {
                self.leave_segment(&cursor)?;
                continue;
            };
            if header.next_offset() <= self.position {
                cursor.step_over(&header);
            } else if header.next_offset() > self.limit() {
                self.cursor = Some(cursor);
                return Ok(None);
            } else if header.attributes.is_control() || header.record_count == 0 {
                cursor.step_over(&header);
                self.position = header.next_offset();
            } else {
                let batch = cursor.next_batch()?;
                self.cursor = Some(cursor);
                return Ok(batch);
            }
            self.cursor = Some(cursor);
        }
    }

    fn list_changed(&self) -> bool {
        !Arc::ptr_eq(&self.log.segment_list(), &self.list)
    }

    /// The cursor, moved to the segment that holds the position if there is none yet.
    fn take_cursor(&mut self) -> Result<Option<Cursor>> {
        let current = self.log.segment_list();
        if !Arc::ptr_eq(&current, &self.list) {
            // Segments were added, replaced or removed. What is left of the position's batch is found again by offset.
            self.list = current;
            self.cursor = None;
        }
        // The start is stored before the list that goes with it, and is read after it here: a list without the
        // position's segment is never taken for a gap in the log.
        if self.position < self.log.start() {
            self.cursor = None;
            return Err(self.log.out_of_range(self.position));
        }
        if let Some(cursor) = self.cursor.take() {
            return Ok(Some(cursor));
        }
        let Some(segment) = self.list.floor(self.position).map(Arc::clone) else {
            return Err(self.log.out_of_range(self.position));
        };
        self.position = self.position.max(segment.base());
        segment.seek(self.position).map(Some)
    }

    /// Nothing more in the cursor's segment: goes to the next one, which there must be below the limit. Offsets between
    /// the two are missing.
    fn leave_segment(&mut self, cursor: &Cursor) -> Result<()> {
        if self.list_changed() {
            // The next one may have been merged into this one: its base says nothing about where to go on.
            self.cursor = None;
            return Ok(());
        }
        let base = cursor.segment().base();
        let Some(next) = self.list.after(base).map(Arc::clone) else {
            let why = "the segment ends before the log does";
            return Err(cursor.segment().log().broken(cursor.position(), cursor.expected(), why));
        };
        self.position = self.position.max(next.base());
        self.cursor = Some(next.seek(self.position)?);
        Ok(())
    }

    fn open_batch(&mut self, batch: StoredBatch) -> std::result::Result<Rest, (BatchHeader, Malformed)> {
        let header = *batch.header();
        let with_header = |malformed| (header, malformed);
        BatchHeader::verify_crc(batch.bytes()).map_err(with_header)?;
        let bytes = match header.codec() {
            Codec::None => RecordBytes::Stored(batch.clone()),
            codec => {
                self.expand(codec, batch.body()).map_err(with_header)?;
                RecordBytes::Expanded(Arc::clone(&self.expanded))
            }
        };
        Ok(Rest { batch, bytes, position: 0, remaining: header.record_count })
    }

    fn expand(&mut self, codec: Codec, body: &[u8]) -> std::result::Result<(), Malformed> {
        let limit = self.log.options.max_expanded_bytes;
        if Arc::get_mut(&mut self.expanded).is_none() {
            self.expanded = Arc::default();
        }
        let Some(buffer) = Arc::get_mut(&mut self.expanded) else { return Ok(()) };
        buffer.clear();
        self.decompressor.decompress(codec, body, limit, buffer)
    }

    /// Goes on at `next` if the policy is to skip.
    fn pass_over(&mut self, error: Error, next: Offset) -> Result<()> {
        self.rest = None;
        if self.on_damage == OnDamage::Fail {
            // The cursor may stand behind the batch already; the next fetch must meet it again.
            self.cursor = None;
            return Err(error);
        }
        self.position = self.position.max(next);
        Ok(())
    }

    /// A header that cannot be believed hides where the next batch begins: the index may know, or the next segment does.
    fn pass_over_stretch(&mut self, error: Error) -> Result<()> {
        let Error::Corrupt { position, .. } = &error else { return Err(error) };
        let position = *position;
        self.cursor = None;
        if self.on_damage == OnDamage::Fail {
            return Err(error);
        }
        let Some(segment) = self.list.floor(self.position).map(Arc::clone) else { return Err(error) };
        if let Some(cursor) = segment.seek_behind(position)? {
            self.position = self.position.max(cursor.expected());
            self.cursor = Some(cursor);
        } else if let Some(next) = self.list.after(segment.base()) {
            self.position = next.base();
        } else {
            // Nothing is known to follow in the last segment: what is there now cannot be read, what comes can.
            self.position = self.limit();
        }
        Ok(())
    }

    fn damaged(&self, header: &BatchHeader, malformed: Malformed) -> Error {
        let position = self
            .cursor
            .as_ref()
            .map_or(0, |cursor| cursor.position().saturating_sub(header.total_len() as u64));
        match self.list.floor(header.base_offset) {
            Some(segment) => segment.log().damaged(position, header.base_offset, malformed),
            None => self.log.out_of_range(header.base_offset),
        }
    }
}

#[cfg(test)]
impl Reader {
    /// Comes to the end of the position's segment, and goes on to the next one after `meanwhile`.
    pub(super) fn leave_segment_after(&mut self, meanwhile: impl FnOnce()) -> Result<()> {
        let Some(mut cursor) = self.take_cursor()? else { return Ok(()) };
        while let Some(header) = cursor.peek()? {
            cursor.step_over(&header);
            self.position = header.next_offset();
        }
        meanwhile();
        self.leave_segment(&cursor)
    }
}

/// Records cut off a batch.
struct Sliced {
    records: RecordSlice,
    /// Bytes of the batch as stored, counted with its first slice.
    stored_bytes: usize,
}
