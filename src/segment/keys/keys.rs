//! What of a segment's terms is known, and where.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::format::{BatchHeader, BatchTerms, KeyEntry, KeyStamp, TermHash};
use crate::io::Directory;
use crate::locks::{Mutex, RwLock};
use crate::segment::ReadMode;
use crate::segment::keys::file::{self, KeyFile, NoAnswer};
use crate::segment::keys::growing::{Growing, Place};
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

/// Makes the terms of a part of the segment out of its batches.
pub(in crate::segment) trait Walk {
    /// Those of every record from `base` up to `until`.
    fn walk(&self, until: Offset) -> Result<Growing>;

    /// Runs `write`, unless the segment has left the log.
    fn unless_left(&self, write: &mut dyn FnMut() -> Result<()>) -> Result<()>;
}

type Part = Arc<RwLock<Growing>>;

/// The terms of the older records of a segment.
#[derive(Debug, Clone)]
enum Before {
    /// There are none.
    Nothing,
    /// Nobody has looked. A file may tell of those that the stamp covers.
    Unknown(Option<KeyStamp>),
    File(Arc<KeyFile>, KeyStamp),
    Memory(Part),
}

/// First `before`, up to where `growing` begins; where that is missing, up to its end.
#[derive(Debug, Clone)]
struct State {
    before: Before,
    growing: Option<Part>,
}

/// Where the terms of one segment are.
#[derive(Debug)]
pub(crate) struct Keys {
    base: Offset,
    state: RwLock<State>,
    /// Of the `.log` as it was when it was sealed, as far as that is known.
    stamp: RwLock<Option<KeyStamp>>,
    /// Held by whoever makes or reads what is not in memory.
    loading: Mutex<()>,
}

/// What a look finds to be known up to where.
enum Look {
    Known(State),
    /// Everything up to here has to be found out first.
    Unknown(Offset, Option<KeyStamp>),
}

impl Before {
    /// How many terms it holds in memory.
    fn in_memory(&self) -> usize {
        if let Self::Memory(part) = self { part.read().len() } else { 0 }
    }
}

impl Keys {
    /// Of a segment of which nothing is known.
    pub(in crate::segment) fn unknown(base: Offset, stamp: Option<KeyStamp>) -> Self {
        let state = State { before: Before::Unknown(stamp), growing: None };
        Self { base, state: RwLock::new(state), stamp: RwLock::new(stamp), loading: Mutex::new(()) }
    }

    /// Takes in a batch that was just written. Says how many terms are held in memory then.
    pub(in crate::segment) fn note(&self, batch: &NewBatch<'_>) -> usize {
        let state = self.state.read();
        if let Some(growing) = &state.growing {
            let mut growing = growing.write();
            if growing.until() == batch.header.base_offset
                && let Ok(terms) = growing.take_in(batch)
            {
                return terms + state.before.in_memory();
            }
        }
        drop(state);
        self.note_first(batch)
    }

    /// The same where nothing grows that the batch goes on with.
    #[cold]
    fn note_first(&self, batch: &NewBatch<'_>) -> usize {
        let part = self.begin(batch.header.base_offset);
        if part.write().take_in(batch).is_err() {
            // Its own encoder made it: this is never seen. Nothing is concluded from half a batch.
            *self.state.write() = State { before: Before::Unknown(None), growing: None };
        }
        self.in_memory()
    }

    /// The newest record of a hash. `None` where memory does not tell.
    pub(crate) fn newest(&self, hash: TermHash) -> Option<Newest> {
        let state = self.state.read();
        let growing = state.growing.as_ref()?.read();
        let until = growing.until();
        let hit = growing.newest_hit(hash);
        let is_whole = growing.from() == self.base;
        (hit.is_some() || is_whole).then_some(Newest { hit, until })
    }

    /// Terms are put down from this offset on; some before it may not have been.
    fn begin(&self, from: Offset) -> Part {
        let part: Part = Arc::new(RwLock::new(Growing::new(self.base, from)));
        let mut state = self.state.write();
        let reaches = match &state.before {
            Before::Nothing => false,
            Before::Unknown(stamp) => stamp.is_some_and(|stamp| stamp.next_offset == from),
            Before::File(_, stamp) => stamp.next_offset == from,
            Before::Memory(part) => part.read().until() == from,
        };
        let before = match &state.before {
            _ if from == self.base => Before::Nothing,
            before if reaches && state.growing.is_none() => before.clone(),
            _ => Before::Unknown(None),
        };
        *state = State { before, growing: Some(Arc::clone(&part)) };
        part
    }

    /// How many terms are held in memory.
    pub(crate) fn in_memory(&self) -> usize {
        let state = self.state.read();
        state.before.in_memory() + state.growing.as_ref().map_or(0, |part| part.read().len())
    }

    /// The `.log` that its file would be of, where that is known.
    pub(crate) fn stamp(&self) -> Option<KeyStamp> {
        *self.stamp.read()
    }

    /// Lets go of what is in memory: it is read or made again when somebody asks.
    pub(in crate::segment) fn forget(&self, stamp: Option<KeyStamp>) {
        *self.stamp.write() = stamp;
        *self.state.write() = State { before: Before::Unknown(stamp), growing: None };
    }

    fn look(&self, range: &HitRange) -> Look {
        let state = self.state.read();
        let (begins, known_until) = match &state.growing {
            Some(part) => {
                let part = part.read();
                (part.from(), part.until())
            }
            None => (Offset::MAX, Offset::MIN),
        };
        let unknown = |stamp: Option<KeyStamp>| {
            let until = if known_until >= range.until { begins } else { range.until };
            Look::Unknown(until, stamp.filter(|stamp| stamp.next_offset >= until.min(range.until)))
        };
        let until = match &state.before {
            _ if known_until >= range.until && range.from >= begins => return Look::Known(state.clone()),
            Before::Nothing => self.base,
            Before::Unknown(stamp) => return unknown(*stamp),
            Before::File(_, stamp) => stamp.next_offset,
            Before::Memory(part) => part.read().until(),
        };
        let is_known = range.until <= until || until >= begins && range.until <= known_until;
        if is_known { Look::Known(state.clone()) } else { unknown(None) }
    }

    /// The hits of a hash, in the order of their offsets. What is not known of the segment is found out first.
    pub(in crate::segment) fn hits(
        &self,
        hash: TermHash,
        range: HitRange,
        (directory, mode, walk): (&Directory, ReadMode, &dyn Walk),
    ) -> Result<Vec<Hit>> {
        loop {
            let state = self.known(&range, (directory, mode, walk))?;
            match state.hits(hash, range) {
                Ok(hits) => return Ok(hits),
                Err(NoAnswer::Io(error)) => return Err(error),
                Err(NoAnswer::Wrong) => self.distrust(directory, walk),
            }
        }
    }

    fn known(
        &self,
        range: &HitRange,
        (directory, mode, walk): (&Directory, ReadMode, &dyn Walk),
    ) -> Result<State> {
        loop {
            if let Look::Known(state) = self.look(range) {
                return Ok(state);
            }
            let _loading = self.loading.lock();
            let Look::Unknown(until, stamp) = self.look(range) else { continue };
            let before = self.load(until, stamp, (directory, mode, walk))?;
            let mut state = self.state.write();
            let reaches = match &before {
                Before::File(_, stamp) => stamp.next_offset,
                Before::Memory(part) => part.read().until(),
                Before::Nothing | Before::Unknown(_) => self.base,
            };
            // A batch may have come meanwhile, and what is known of those behind it be worth keeping.
            let growing = state.growing.take().filter(|part| {
                let part = part.read();
                part.from() <= reaches && reaches <= part.until()
            });
            *state = State { before, growing };
        }
    }

    fn load(
        &self,
        until: Offset,
        stamp: Option<KeyStamp>,
        (directory, mode, walk): (&Directory, ReadMode, &dyn Walk),
    ) -> Result<Before> {
        if let Some(stamp) = stamp
            && let Some(file) = KeyFile::open(directory, &stamp, mode)?
        {
            return Ok(Before::File(Arc::new(file), stamp));
        }
        let made = walk.walk(until.max(stamp.map_or(until, |stamp| stamp.next_offset)))?;
        if let Some(stamp) = stamp.filter(|stamp| stamp.next_offset == made.until())
            && write(directory, stamp, made.entries().collect(), walk).is_ok()
            && let Some(file) = KeyFile::open(directory, &stamp, mode)?
        {
            return Ok(Before::File(Arc::new(file), stamp));
        }
        Ok(Before::Memory(Arc::new(RwLock::new(made))))
    }

    /// The file is not what was written: it is made again.
    fn distrust(&self, directory: &Directory, walk: &dyn Walk) {
        let mut state = self.state.write();
        if let Before::File(_, stamp) = state.before {
            state.before = Before::Unknown(Some(stamp));
            // Whatever becomes of that: nothing reads it before it was looked at again, and then it is found wrong.
            drop(walk.unless_left(&mut || file::remove(directory, self.base)));
        }
    }

    /// A batch has contradicted the index, which is made again from all batches.
    pub(in crate::segment) fn contradicted(&self, directory: &Directory, walk: &dyn Walk) {
        self.distrust(directory, walk);
        let mut state = self.state.write();
        if !matches!(state.before, Before::Unknown(_)) {
            *state = State { before: Before::Unknown(None), growing: None };
        }
    }

    /// Writes the file of a segment that ends as `stamp` says, and lets go of what is in memory.
    pub(in crate::segment) fn write(
        &self,
        stamp: KeyStamp,
        (directory, mode, walk): (&Directory, ReadMode, &dyn Walk),
    ) -> Result<()> {
        let all = HitRange { from: self.base, until: stamp.next_offset, take: Take::All };
        loop {
            let state = self.known(&all, (directory, mode, walk))?;
            if matches!(&state.before, Before::File(_, known) if *known == stamp) {
                return Ok(());
            }
            match state.entries() {
                Ok(entries) => write(directory, stamp, entries, walk)?,
                Err(NoAnswer::Wrong) => {
                    self.distrust(directory, walk);
                    continue;
                }
                Err(NoAnswer::Io(error)) => return Err(error),
            }
            if let Some(file) = KeyFile::open(directory, &stamp, mode)? {
                let before = Before::File(Arc::new(file), stamp);
                *self.state.write() = State { before, growing: None };
            }
            return Ok(());
        }
    }
}

fn write(directory: &Directory, stamp: KeyStamp, entries: Vec<KeyEntry>, walk: &dyn Walk) -> Result<()> {
    KeyFile::write(directory, stamp, entries, |publish| walk.unless_left(&mut || publish()))
}

impl State {
    /// Where `growing` begins.
    fn begins(&self) -> Offset {
        self.growing.as_ref().map_or(Offset::MAX, |part| part.read().from())
    }

    fn hits(&self, hash: TermHash, range: HitRange) -> std::result::Result<Vec<Hit>, NoAnswer> {
        let most = match range.take {
            Take::All => usize::MAX,
            Take::Last(most) => most,
        };
        let begins = self.begins();
        // Newest first.
        let mut hits = match &self.growing {
            Some(part) if range.until > begins => of_part(part, hash, range.from..range.until, most),
            _ => Vec::new(),
        };
        let until = range.until.min(begins);
        if range.from < until && hits.len() < most {
            let left = most - hits.len();
            match &self.before {
                Before::Nothing | Before::Unknown(_) => {}
                Before::Memory(part) => hits.extend(of_part(part, hash, range.from..until, left)),
                Before::File(file, _) => {
                    let take = if most == usize::MAX { Take::All } else { Take::Last(left) };
                    let older = file.hits(hash, &HitRange { until, take, ..range })?;
                    hits.extend(older.into_iter().rev());
                }
            }
        }
        hits.reverse();
        Ok(hits)
    }

    fn entries(&self) -> std::result::Result<Vec<KeyEntry>, NoAnswer> {
        let begins = self.begins();
        let mut entries = match &self.before {
            Before::Nothing | Before::Unknown(_) => Vec::new(),
            Before::File(file, _) => file.all()?,
            Before::Memory(part) => part.read().entries().collect(),
        };
        if let Some(part) = &self.growing {
            let part = part.read();
            let relative = u32::try_from(begins.saturating_sub(part.base())).unwrap_or(u32::MAX);
            // Both may know of what came while the older ones were found out.
            entries.retain(|entry| entry.relative_offset < relative);
            entries.extend(part.entries());
        }
        Ok(entries)
    }
}

fn of_part(part: &Part, hash: TermHash, range: Range<Offset>, most: usize) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut next = Some(Place::Newest(hash));
    while let Some(place) = next {
        next = part.read().walk(place, &range, (most, &mut hits));
    }
    hits
}
