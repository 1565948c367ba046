//! What of a segment's terms is known, and where.

use std::sync::Arc;

use crate::error::Result;
use crate::format::{KeyStamp, TermHash};
use crate::io::Directory;
use crate::locks::{AtomicBool, Mutex, OnceLock, Ordering, RwLock};
use crate::segment::ReadMode;
use crate::segment::keys::file::{self, KeyFile, NoAnswer};
use crate::segment::keys::growing::Growing;
use crate::segment::keys::hit::{Hit, HitRange, NewBatch, Newest, Take};
use crate::segment::keys::making::{self, Walk};
use crate::segment::keys::state::{Before, Part, State};
use crate::types::Offset;

/// So often a look finds a file wrong, however often that is made again: then the batches alone are asked.
const MOST_WRONG: u32 = 3;

/// Where the terms of one segment are.
#[derive(Debug)]
pub(crate) struct Keys {
    base: Offset,
    state: RwLock<State>,
    /// Of the `.log` as it was when it was sealed, as far as that is known.
    stamp: RwLock<Option<KeyStamp>>,
    /// Where a segment ends that nothing is appended to any more. The next one may begin behind that.
    ends: OnceLock<Offset>,
    /// Held by whoever makes or reads what is not in memory.
    loading: Mutex<()>,
    /// What has the name of its file was found wrong, and is there all the same. Set under `state`, taken back when a file was made.
    is_distrusted: AtomicBool,
    /// The segment is no longer part of the log: nothing is held from here on. Set under `state`.
    has_left: AtomicBool,
}

/// What a look finds to be known up to where.
enum Look {
    Known(State),
    /// Everything up to here has to be found out first.
    Unknown(Offset, Option<KeyStamp>),
}

impl Keys {
    /// Of a segment of which nothing is known.
    pub(in crate::segment) fn unknown(base: Offset, stamp: Option<KeyStamp>) -> Self {
        let state = State { before: Before::Unknown(stamp), growing: None };
        let (state, stamp) = (RwLock::new(state), RwLock::new(stamp));
        let [is_distrusted, has_left] = [(); 2].map(|()| AtomicBool::new(false));
        Self { base, state, stamp, ends: OnceLock::new(), loading: Mutex::new(()), is_distrusted, has_left }
    }

    /// The same of one that was sealed.
    pub(in crate::segment) fn sealed(stamp: KeyStamp) -> Self {
        let keys = Self::unknown(stamp.base, Some(stamp));
        keys.note_end(&stamp);
        keys
    }

    fn note_end(&self, stamp: &KeyStamp) {
        self.ends.get_or_init(|| stamp.next_offset);
    }

    /// Takes in a batch that was just written. Says how many terms are known of the segment then.
    #[inline]
    pub(in crate::segment) fn note(&self, batch: &NewBatch<'_>) -> usize {
        let state = self.state.read();
        if let Some(growing) = &state.growing {
            let mut growing = growing.write();
            if growing.until() == batch.header.base_offset
                && let Ok(terms) = growing.take_in(batch)
            {
                return terms + state.before.terms();
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
        let state = self.state.read();
        state.before.terms() + state.growing.as_ref().map_or(0, |part| part.read().len())
    }

    /// Has the first places where a term is looked for in a file brought into memory; true where they may have to come from the disk.
    pub(in crate::segment) fn prefetch_look(&self, hash: TermHash) -> bool {
        if let Before::File(file, _) = &self.state.read().before { file.prefetch(hash) } else { false }
    }

    /// The same of the entries.
    pub(in crate::segment) fn prefetch_entries(&self, hash: TermHash) {
        if let Before::File(file, _) = &self.state.read().before {
            file.prefetch_entries(hash);
        }
    }

    /// The newest record of a hash. `None` where memory does not tell.
    #[inline]
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

    /// Nothing is appended any more: a file may tell of all of it, whoever makes that.
    pub(crate) fn seal(&self, stamp: KeyStamp) {
        self.note_end(&stamp);
        *self.stamp.write() = Some(stamp);
        let mut state = self.state.write();
        if let Before::Unknown(None) = state.before {
            state.before = Before::Unknown(Some(stamp));
        }
    }

    /// Lets go of what is in memory: it is read or made again when somebody asks.
    pub(in crate::segment) fn forget(&self, stamp: Option<KeyStamp>) {
        *self.stamp.write() = stamp;
        *self.state.write() = State { before: Before::Unknown(stamp), growing: None };
    }

    /// Lets go of the file, which is to be removed or was: a map of it would keep it on the disk. It is made again when somebody asks.
    pub(in crate::segment) fn let_go_of_file(&self) {
        let mut state = self.state.write();
        if let Before::File(_, stamp) = state.before {
            state.before = Before::Unknown(Some(stamp));
        }
    }

    /// Holds nothing any more, however long somebody has the segment: who looks at it still finds out for that look alone.
    pub(in crate::segment) fn leave(&self) {
        let mut state = self.state.write();
        self.has_left.store(true, Ordering::Release);
        *state = State { before: Before::Unknown(None), growing: None };
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
        // Whoever asks up to the next segment asks for no more than the file tells of.
        let until = self.ends.get().map_or(range.until, |ends| range.until.min(*ends));
        let range = HitRange { until, ..range };
        for _ in 0..MOST_WRONG {
            let Some(state) = self.known(&range, (directory, mode, walk))? else { break };
            match state.hits(hash, range) {
                Ok(hits) => return Ok(hits),
                Err(NoAnswer::Io(error)) => return Err(error),
                Err(NoAnswer::Wrong) => self.distrust(&state.before, directory, walk),
            }
        }
        making::look_through(walk, hash, (self.base, &range))
    }

    /// `None` where there is too much for memory, and no file can be made.
    fn known(
        &self,
        range: &HitRange,
        (directory, mode, walk): (&Directory, ReadMode, &dyn Walk),
    ) -> Result<Option<State>> {
        loop {
            if let Look::Known(state) = self.look(range) {
                return Ok(Some(state));
            }
            let _loading = self.loading.lock();
            let Look::Unknown(until, stamp) = self.look(range) else { continue };
            let Some(before) = self.load(until, stamp, (directory, mode, walk))? else { return Ok(None) };
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
            let known = State { before, growing };
            if self.has_left.load(Ordering::Acquire) {
                return Ok(Some(known));
            }
            *state = known;
        }
    }

    fn load(
        &self,
        until: Offset,
        stamp: Option<KeyStamp>,
        (directory, mode, walk): (&Directory, ReadMode, &dyn Walk),
    ) -> Result<Option<Before>> {
        if let Some(stamp) = stamp {
            let opened = match self.open(directory, &stamp, mode)? {
                // As with the other indexes: what cannot be made is found out again, and that tells what is wrong.
                None if until <= stamp.next_offset && making::make(directory, stamp, walk).is_ok() => {
                    self.note_made();
                    self.open(directory, &stamp, mode)?
                }
                opened => opened,
            };
            if let Some(file) = opened {
                return Ok(Some(Before::File(Arc::new(file), stamp)));
            }
        }
        let made = walk.walk(until.max(stamp.map_or(until, |stamp| stamp.next_offset)))?;
        Ok(made.map(|made| Before::Memory(Arc::new(RwLock::new(made)))))
    }

    /// The file of the segment; none where that was found wrong.
    fn open(&self, directory: &Directory, stamp: &KeyStamp, mode: ReadMode) -> Result<Option<KeyFile>> {
        let is_distrusted = self.is_distrusted.load(Ordering::Acquire);
        if is_distrusted { Ok(None) } else { KeyFile::open(directory, stamp, mode) }
    }

    /// Another file has the name by now.
    fn note_made(&self) {
        self.is_distrusted.store(false, Ordering::Release);
    }

    /// The file that was asked is not what was written: it is made again, unless another one is there by now.
    fn distrust(&self, asked: &Before, directory: &Directory, walk: &dyn Walk) {
        let mut state = self.state.write();
        if let (Before::File(asked, _), Before::File(file, stamp)) = (asked, &state.before)
            && Arc::ptr_eq(asked, file)
        {
            let stamp = *stamp;
            state.before = Before::Unknown(Some(stamp));
            drop(walk.unless_left(&mut || file::remove(directory, self.base)));
            // In a store that is only read, or on a disk that refuses it, it stays, and would be found wrong at every look.
            if file::is_there(directory, self.base) {
                self.is_distrusted.store(true, Ordering::Release);
            }
        }
    }

    /// A batch is not what the index says: it is made again from all batches.
    ///
    /// # Errors
    /// Where not all of them can be read. Then the index stays: it is all that is known of the others.
    pub(in crate::segment) fn contradicted(&self, directory: &Directory, walk: &dyn Walk) -> Result<()> {
        walk.each(Offset::MAX, &mut |_| Ok(()))?;
        let asked = self.state.read().before.clone();
        self.distrust(&asked, directory, walk);
        let mut state = self.state.write();
        if !matches!(state.before, Before::Unknown(_)) {
            *state = State { before: Before::Unknown(None), growing: None };
        }
        Ok(())
    }

    /// Whether everything is known of a segment that ends as `stamp` says, without a look at its batches.
    pub(in crate::segment) fn is_known(&self, stamp: &KeyStamp) -> bool {
        let all = HitRange { from: self.base, until: stamp.next_offset, take: Take::All };
        matches!(self.look(&all), Look::Known(_))
    }

    /// Writes the file of a segment that ends as `stamp` says, and lets go of what is in memory.
    pub(in crate::segment) fn write(
        &self,
        stamp: KeyStamp,
        (directory, mode, walk): (&Directory, ReadMode, &dyn Walk),
    ) -> Result<()> {
        let all = HitRange { from: self.base, until: stamp.next_offset, take: Take::All };
        loop {
            let loading = self.loading.lock();
            match self.look(&all) {
                Look::Known(state) if matches!(&state.before, Before::File(_, known) if *known == stamp) => {
                    return Ok(());
                }
                Look::Known(state) => match state.entries() {
                    Ok(entries) => {
                        file::write_entries(directory, stamp, entries, walk)?;
                        self.note_made();
                    }
                    Err(NoAnswer::Io(error)) => return Err(error),
                    Err(NoAnswer::Wrong) => {
                        drop(loading);
                        self.distrust(&state.before, directory, walk);
                        continue;
                    }
                },
                Look::Unknown(..) if self.open(directory, &stamp, mode)?.is_some() => {}
                Look::Unknown(..) => {
                    making::make(directory, stamp, walk)?;
                    self.note_made();
                }
            }
            // One that cannot be opened just now is found later: nothing of it is in memory any more.
            let opened = self.open(directory, &stamp, mode)?;
            let before =
                opened.map_or(Before::Unknown(Some(stamp)), |file| Before::File(Arc::new(file), stamp));
            let mut state = self.state.write();
            if !self.has_left.load(Ordering::Acquire) {
                *state = State { before, growing: None };
            }
            return Ok(());
        }
    }
}
