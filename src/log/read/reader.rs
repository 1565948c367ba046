//! Reading a partition from an offset on.

use std::sync::Arc;

use crate::error::Result;
use crate::format::{Decompressor, Malformed, RecordIter};
use crate::log::log::Log;
use crate::log::read::committed::Nearby;
use crate::log::read::damage::OnDamage;
use crate::log::read::expand::OpenedBatch;
use crate::log::read::fetching::Parked;
use crate::log::read::record_slice::{Cut, RecordSlice};
use crate::log::segment_list::SegmentList;
use crate::segment::Cursor;
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

/// Which records a reader gets while transactions are under way.
///
/// ```
/// use annals::{Isolation, Store};
/// let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path())?;
/// let audit = store.consumer_builder().isolation(Isolation::ReadUncommitted).build()?;
/// # drop(audit);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Isolation {
    /// Records outside transactions, and those of committed transactions. The reader waits at the first record of the oldest
    /// transaction that is not decided. Without transactions this is the same as [`ReadUncommitted`](Self::ReadUncommitted).
    #[default]
    ReadCommitted,
    /// All records, as soon as they are written, including those of transactions that will be aborted.
    ReadUncommitted,
}

/// What a reader of committed records does at a transaction that is not decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undecided {
    /// It waits.
    Stops,
    /// It is handed the records: they may come to be.
    IsRead,
    /// It goes on after them: they may never be, and nobody can wait.
    IsPassedOver,
}

/// What a reader does when the records at its position were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BelowStart {
    /// Says so.
    Fail,
    /// Goes on at the first record that is there.
    GoOn,
}

/// What a reader does where nothing is left to read but what may be in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// Has that written, whatever another thread has the writer for.
    Waits,
    /// Has it written if nobody else has the writer: who lets go of that raises those who watch.
    WaitsForNobody,
}

/// Bounds of one fetch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchLimits {
    pub(crate) max_records: usize,
    /// The batch that reaches it is still handed out.
    pub(crate) max_bytes: usize,
}

impl FetchLimits {
    /// Those of a fetch after one that may have panicked: then it ends after one batch, or what always panics behind that would keep it
    /// from being handed out.
    pub(super) fn after(self, has_panicked: &mut bool) -> Self {
        if std::mem::take(has_panicked) { Self { max_bytes: 1, ..self } } else { self }
    }
}

/// Reads one partition forwards. Holds the segments it reads, whatever becomes of their files.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(super) log: Arc<Log>,
    pub(super) visibility: Visibility,
    pub(super) on_damage: OnDamage,
    pub(super) below_start: BelowStart,
    /// Offsets that it went on over, as they were deleted, since that was last asked for.
    pub(super) deleted: u64,
    pub(super) isolation: Isolation,
    pub(super) undecided: Undecided,
    pub(super) at_end: AtEnd,
    /// Aborted transactions around the batch that was last asked about.
    pub(super) aborted: Option<Nearby>,
    /// The next offset to hand out.
    pub(super) position: Offset,
    /// The first offset not to hand out.
    pub(super) until: Offset,
    /// The segments when they were last looked at.
    pub(super) list: Arc<SegmentList>,
    /// Stands before the batch that holds `position`, or one before it.
    pub(super) cursor: Option<Cursor>,
    /// Where it went on after what could not be read, if it has read no batch since: base of the segment, byte position.
    pub(super) passed: Option<(Offset, u64)>,
    /// How often files were looked for again since it read a batch.
    pub(super) lost: u32,
    /// What is left of a batch that was handed out in part.
    pub(super) rest: Option<OpenedBatch>,
    /// The same between two fetches, where it is stored and not expanded: it keeps no file.
    pub(super) parked: Option<Parked>,
    pub(super) decompressor: Decompressor,
    /// The buffer of the last expanded batch, used again when nobody holds it any more.
    pub(super) expanded: Option<Arc<Vec<u8>>>,
    /// Its last fetch has panicked.
    pub(super) has_panicked: bool,
}

impl Reader {
    pub(crate) fn new(log: Arc<Log>, position: Offset, visibility: Visibility, on_damage: OnDamage) -> Self {
        let list = log.segment_list();
        Self {
            log,
            visibility,
            on_damage,
            below_start: BelowStart::Fail,
            deleted: 0,
            isolation: Isolation::default(),
            undecided: Undecided::Stops,
            at_end: AtEnd::Waits,
            aborted: None,
            position,
            until: Offset::MAX,
            list,
            cursor: None,
            passed: None,
            lost: 0,
            rest: None,
            parked: None,
            decompressor: Decompressor::default(),
            expanded: None,
            has_panicked: false,
        }
    }

    /// Reads what `isolation` lets it.
    pub(crate) fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Reads what is committed, and goes on after what is not decided.
    pub(crate) fn undecided(mut self, undecided: Undecided) -> Self {
        (self.isolation, self.undecided) = (Isolation::ReadCommitted, undecided);
        self
    }

    /// Whether nothing is left of what it is to read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.position() >= self.until
    }

    /// Ends before `until`, whatever the log holds after it.
    pub(crate) fn until(mut self, until: Offset) -> Self {
        self.until = until;
        self
    }

    /// What it does where the records at its position were deleted.
    pub(crate) fn set_below_start(&mut self, below_start: BelowStart) {
        self.below_start = below_start;
    }

    /// The same of a reader that is being made.
    pub(crate) fn below_start(mut self, below_start: BelowStart) -> Self {
        self.below_start = below_start;
        self
    }

    /// Offsets that it went on over, as they were deleted, since the last call.
    pub(crate) fn take_deleted(&mut self) -> u64 {
        std::mem::take(&mut self.deleted)
    }

    /// What it does at the end of what is written.
    pub(crate) fn set_at_end(&mut self, at_end: AtEnd) {
        self.at_end = at_end;
    }

    /// The same of a reader that is being made.
    pub(crate) fn at_end(mut self, at_end: AtEnd) -> Self {
        self.at_end = at_end;
        self
    }

    /// Has written what is in memory.
    pub(super) fn write_queued(&self) {
        match self.at_end {
            AtEnd::Waits => self.log.write_queued(),
            AtEnd::WaitsForNobody => self.log.write_queued_if_free(),
        }
    }

    /// The next offset it will hand out, or a greater one where offsets are missing.
    pub(crate) fn position(&self) -> Offset {
        self.position
    }

    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Goes on at `position`. Whether the log has it shows at the next fetch. Further on in the same batch, what was checked and
    /// expanded of it is used.
    pub(crate) fn seek(&mut self, position: Offset) {
        if position == self.position {
            return;
        }
        let parked = self.parked.as_ref().map(|parked| parked.batch.header());
        let opened = parked.or(self.rest.as_ref().map(|rest| &rest.header));
        let is_further_on = position > self.position;
        let stays = opened.is_some_and(|header| is_further_on && position < header.next_offset());
        self.position = position;
        if !stays {
            self.cursor = None;
            self.passed = None;
            self.rest = None;
            self.parked = None;
        }
    }

    /// The offset at which this reader has nothing more to read.
    pub(crate) fn limit(&self) -> Offset {
        match (self.visibility, self.isolation) {
            (Visibility::Written, Isolation::ReadCommitted) => match self.undecided {
                Undecided::Stops => self.log.stable(),
                Undecided::IsRead | Undecided::IsPassedOver => self.log.end(),
            },
            (Visibility::Written, Isolation::ReadUncommitted) => self.log.end(),
            // A transaction without its end in the log may be taken back by a power cut, whatever was decided.
            (Visibility::Durable, Isolation::ReadCommitted) => self.log.kept(),
            (Visibility::Durable, Isolation::ReadUncommitted) => self.log.durable(),
        }
    }

    pub(super) fn fetch_some(&mut self, limits: FetchLimits) -> Result<Vec<RecordSlice>> {
        self.log.look()?;
        let was_at_end = self.position >= self.limit();
        if was_at_end {
            if !self.is_at_end() {
                self.write_queued();
            }
            if !self.log.is_within_end(self.position) {
                // Nothing is there to wait for: what is appended next gets a lower offset.
                return Err(self.log.out_of_range(self.position));
            }
        }
        let slices = self.fetch_written(limits)?;
        if slices.is_empty() && !was_at_end && !self.is_at_end() && self.position >= self.limit() {
            // Nothing but missing offsets lay before the end.
            self.write_queued();
            return self.fetch_written(limits);
        }
        Ok(slices)
    }

    pub(super) fn fetch_written(&mut self, limits: FetchLimits) -> Result<Vec<RecordSlice>> {
        let from = self.position;
        let mut slices = Vec::new();
        let (mut records, mut bytes) = (0, 0);
        while records < limits.max_records && bytes < limits.max_bytes {
            match self.next_slice(limits.max_records - records) {
                // All that is left of a compacted batch may lie before the position: it counts for nothing.
                Ok(Some(slice)) if slice.len() == 0 => {}
                Ok(Some(slice)) => {
                    records += slice.len();
                    bytes += slice.stored_bytes();
                    slices.push(slice);
                }
                Ok(None) => break,
                // What was read before the damage is handed out first; the next fetch meets the damage at once.
                Err(_) if !slices.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        // Looked at last: files are opened by their names, which belong to another topic as soon as this one was deleted.
        if let Err(error) = self.log.check_open() {
            if !slices.is_empty() {
                self.go_back(from);
            }
            return Err(error);
        }
        Ok(slices)
    }

    fn next_slice(&mut self, max_records: usize) -> Result<Option<RecordSlice>> {
        loop {
            // What is left of a batch may have been deleted or erased meanwhile: then it is looked up again.
            let rest = match self.rest.take().filter(|_| !self.list_changed()) {
                Some(rest) => rest,
                None => match self.next_batch()? {
                    Some(batch) => batch,
                    None => return Ok(None),
                },
            };
            let header = rest.header;
            match self.slice(rest, max_records) {
                Ok(slice) => return Ok(Some(slice)),
                // What another file has taken the place of says nothing of what is there now.
                Err(_) if self.is_outdated() => self.rest = None,
                Err(malformed) => {
                    let error = self.damaged(&header, malformed);
                    self.pass_over(error, header.next_offset())?;
                }
            }
        }
    }

    /// Cuts up to `max_records` records off `rest`, decoding each once, and nothing after them.
    fn slice(
        &mut self,
        rest: OpenedBatch,
        max_records: usize,
    ) -> std::result::Result<RecordSlice, Malformed> {
        let header = rest.header;
        let mut records = RecordIter::resume(&header, rest.bytes.get(), rest.position, rest.remaining);
        records.skip_below(self.position)?;
        let spans = records.take_spans(max_records, self.until)?;
        let (position, remaining) = (records.position(), records.remaining());
        let stored_bytes = if rest.position == 0 { header.total_len() } else { 0 };
        let next_offset = match spans.last() {
            _ if remaining == 0 => header.next_offset(),
            // Whatever of the batch is left lies behind the end of this reader.
            _ if spans.len() < max_records => self.until,
            Some(last) => last.offset(header.base_offset) + 1,
            None => self.position,
        };
        if remaining > 0 && next_offset < self.until {
            self.rest = Some(OpenedBatch { header, bytes: rest.bytes.clone(), position, remaining });
        }
        self.position = next_offset;
        let cut = Cut { spans, next_offset, stored_bytes };
        Ok(RecordSlice::new(header.base_offset, rest.bytes, cut))
    }
}
