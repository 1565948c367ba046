//! A partition that a consumer reads.

use std::sync::Arc;

use crate::consumer::builder::{Settings, StartFrom};
use crate::error::{Error, Result};
use crate::group::{Done, Group, Owned};
use crate::log::{AtEnd, BelowStart, FetchLimits, Isolation, Reader, RecordSlice};
use crate::topic::Partition;
use crate::types::Offset;

/// Whether poll looks at a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Running,
    Paused,
}

/// What a group had committed for a partition, or why that could not be seen.
#[derive(Debug, Clone)]
pub(super) struct LookedUp {
    pub(super) committed: Result<Option<Offset>>,
    /// The life of the store's owner in another process, as it was before: the open of the next one may set that back.
    pub(super) life: u64,
}

/// One assigned partition and how far it was read.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) partition: Partition,
    pub(super) flow: Flow,
    /// The group's generation since which it is this consumer's.
    pub(super) since: u64,
    /// `None` until the first look, or a seek, decides where to begin.
    reader: Option<Reader>,
    /// What lies below counts as done: committed, or passed over by a seek or at the beginning.
    done: Offset,
    /// Where it was last set to.
    set_to: Offset,
    /// From where to where it has handed out records that are not done, since then.
    handed_out: Option<(Offset, Offset)>,
    /// Its position, and `handed_out`, before the last fetch.
    before: (Offset, Option<(Offset, Offset)>),
    /// When the partition became this consumer's, or in a later life of the owner.
    looked_up: LookedUp,
    /// It came into being after its group had subscribed: its last record is not where that began.
    is_new: bool,
    /// Which has given it to this consumer.
    group: Option<Arc<Group>>,
    /// Offsets in front of where it began at the first record, since that was last asked for.
    deleted: u64,
}

impl Assigned {
    pub(super) fn new(owned: Owned, looked_up: LookedUp, group: Option<Arc<Group>>) -> Self {
        let Owned { partition, since, is_new } = owned;
        Self {
            partition,
            flow: Flow::Running,
            since,
            reader: None,
            done: 0,
            set_to: 0,
            handed_out: None,
            before: (0, None),
            looked_up,
            is_new,
            group,
            deleted: 0,
        }
    }

    /// Offsets that it went on over, or began behind, as they were deleted, since the last call.
    pub(super) fn take_deleted(&mut self) -> u64 {
        std::mem::take(&mut self.deleted) + self.reader.as_mut().map_or(0, Reader::take_deleted)
    }

    /// What its reader does where records were deleted is another setting now.
    pub(super) fn note_setting(&mut self, settings: &Settings) {
        if let Some(reader) = &mut self.reader {
            reader.set_below_start(settings.below_start());
        }
    }

    /// How many offsets lie between its position and the end, as far as they are there.
    pub(super) fn lag(&mut self, settings: &Settings) -> Result<u64> {
        let position = self.position(settings)?;
        let log = self.partition.log();
        let next = log.next_readable(settings.isolation)?;
        let start = log.start();
        if position < start && settings.below_start() == BelowStart::Fail {
            return Err(log.explain(log.out_of_range(position)));
        }
        Ok(u64::try_from(next.saturating_sub(position.max(start))).unwrap_or(0))
    }

    /// The next offset to be handed out, once a poll or a seek has decided it.
    pub(super) fn decided_position(&self) -> Option<Offset> {
        self.reader.as_ref().map(Reader::position)
    }

    /// The next offset to be handed out; decides it if it is not.
    pub(super) fn position(&mut self, settings: &Settings) -> Result<Offset> {
        self.reader(settings).map(|reader| reader.position())
    }

    /// Goes on at `offset`.
    pub(super) fn seek(&mut self, offset: Offset, settings: &Settings) {
        self.begin_at(offset);
        match &mut self.reader {
            Some(reader) => reader.seek(offset),
            None => self.reader = Some(self.reader_at(offset, settings)),
        }
    }

    /// Whether it is to be seen yet where it begins, in that life of the owner.
    pub(super) fn is_unseen(&self, life: u64) -> bool {
        self.reader.is_none() && (self.looked_up.committed.is_err() || self.looked_up.life != life)
    }

    /// What the group has committed, as it is seen now.
    pub(super) fn note(&mut self, looked_up: LookedUp) {
        self.looked_up = looked_up;
    }

    /// What is done, if it stands there, or where it came to from there without handing anything out. `ended` is done too, where it is known.
    pub(super) fn untouched(&self, ended: Option<&Done>) -> Option<Offset> {
        let done = ended.map_or(self.done, |ended| ended.offset);
        let comes_from_there = |position: &Offset| (self.set_to..=*position).contains(&done);
        let is_untouched = self.decided_position().filter(comes_from_there).is_some();
        (is_untouched && self.touched(ended).is_none()).then_some(done)
    }

    /// Where begins what was handed out and is not done.
    pub(super) fn touched(&self, ended: Option<&Done>) -> Option<Offset> {
        self.handed_out_from(ended.filter(|ended| ended.is_of_all).map_or(0, |ended| ended.offset))
    }

    /// Where that ends.
    pub(super) fn touched_until(&self, ended: Option<&Done>) -> Option<Offset> {
        self.touched(ended).and(self.handed_out).map(|(_, until)| until)
    }

    fn handed_out_from(&self, done: Offset) -> Option<Offset> {
        self.handed_out.filter(|(_, to)| *to > done).map(|(from, _)| from.max(done))
    }

    /// What was handed out is done, up to there.
    pub(super) fn note_done(&mut self, offset: Offset) {
        self.done = offset;
        self.handed_out = self.handed_out_from(offset).zip(self.handed_out.map(|(_, to)| to));
    }

    /// A transaction has committed that.
    pub(super) fn note_ended(&mut self, ended: &Done) {
        self.done = ended.offset;
        if ended.is_of_all {
            self.note_done(ended.offset);
        }
    }

    /// What lies before counts as done, and nothing is handed out yet.
    fn begin_at(&mut self, offset: Offset) {
        (self.done, self.set_to, self.handed_out) = (offset, offset, None);
    }

    /// Hands out again what is not done.
    pub(super) fn go_back(&mut self) {
        self.begin_at(self.done);
        if let Some(reader) = &mut self.reader {
            reader.seek(self.done);
        }
    }

    /// What the last fetch has read is not handed out.
    pub(super) fn take_back(&mut self) {
        let (position, handed_out) = self.before;
        self.handed_out = handed_out;
        if let Some(reader) = &mut self.reader {
            reader.seek(position);
        }
    }

    pub(super) fn fetch(&mut self, limits: FetchLimits, settings: &Settings) -> Result<Vec<RecordSlice>> {
        self.partition.log().check_open()?;
        let slices = self.fetch_in_range(limits, settings);
        let slices = slices.map_err(|error| self.partition.log().explain(error))?;
        let first = slices.iter().find_map(|slice| slice.iter().next());
        if let (Some(first), Some(position)) = (first, self.decided_position()) {
            self.before.1 = self.handed_out;
            let from = self.handed_out.map_or(first.offset, |(from, _)| from.min(first.offset));
            self.handed_out = Some((from, position));
        }
        Ok(slices)
    }

    fn fetch_in_range(&mut self, limits: FetchLimits, settings: &Settings) -> Result<Vec<RecordSlice>> {
        let reader = self.reader(settings)?;
        let position = reader.position();
        let outcome = reader.fetch(limits);
        self.before.0 = position;
        match outcome {
            // It lies beyond the end: where records were deleted the reader goes on by itself.
            Err(Error::OffsetOutOfRange { requested, start, .. })
                if requested >= start && settings.start_from != StartFrom::Fail =>
            {
                let offset = self.reset(settings.start_from, settings.isolation)?;
                self.begin_at(offset);
                let reader = self.reader(settings)?;
                reader.seek(offset);
                let outcome = reader.fetch(limits);
                self.before.0 = offset;
                outcome
            }
            other => other,
        }
    }

    fn reader(&mut self, settings: &Settings) -> Result<&mut Reader> {
        if self.reader.is_none() {
            let offset = match (self.looked_up.committed.clone()?, settings.start_from) {
                (Some(committed), _) => committed,
                (None, StartFrom::Fail) => {
                    return Err(Error::NoCommittedOffset {
                        group: settings.group.clone().unwrap_or_default(),
                        partition: self.partition.topic_partition().clone(),
                    });
                }
                (None, StartFrom::Latest) if self.is_new => self.partition.log().readable_start()?,
                (None, StartFrom::Latest) => {
                    let end = self.reset(StartFrom::Latest, settings.isolation)?;
                    let life = self.looked_up.life;
                    self.group.as_ref().map_or(end, |group| group.begin_at_end(&self.partition, life, end))
                }
                (None, StartFrom::Earliest) => self.reset(StartFrom::Earliest, settings.isolation)?,
            };
            let is_first = self.looked_up.committed.as_ref().is_ok_and(Option::is_none);
            if is_first && settings.start_from == StartFrom::Earliest {
                self.deleted = u64::try_from(offset).unwrap_or(0);
            }
            self.begin_at(offset);
            self.reader = Some(self.reader_at(offset, settings));
        }
        match &mut self.reader {
            Some(reader) => Ok(reader),
            None => Err(Error::invalid("a partition has no reader")),
        }
    }

    fn reader_at(&self, offset: Offset, settings: &Settings) -> Reader {
        let below_start = settings.below_start();
        let log = Arc::clone(self.partition.log());
        let reader = Reader::new(log, offset, settings.visibility, settings.on_damage);
        reader.isolation(settings.isolation).below_start(below_start).at_end(AtEnd::WaitsForNobody)
    }

    fn reset(&self, start: StartFrom, isolation: Isolation) -> Result<Offset> {
        match start {
            StartFrom::Latest => {
                // Records still in memory were sent before: they lie behind a reader that begins now, but where they could not be written
                // without waiting.
                self.partition.log().write_queued_if_free();
                self.partition.log().readable_end(isolation)
            }
            StartFrom::Earliest | StartFrom::Fail => self.partition.log().readable_start(),
        }
    }
}
