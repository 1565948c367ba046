//! Reading a `.log`: through a map, or positionally. The file is opened when it is first needed.

use std::io::ErrorKind;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{BatchHeader, Malformed};
use crate::io::{Directory, File, MapSlot, OpenMode, View};
use crate::locks::{AtomicBool, Ordering, RwLock};
use crate::segment::StoredBatch;
use crate::types::Offset;

/// How files are read.
///
/// ```no_run
/// use annals::{ReadMode, Store};
/// let store = Store::builder("shop-log").read_mode(ReadMode::Positional).open()?;
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ReadMode {
    /// Through maps: nothing is copied. A medium error, or another process that cuts a file, kills this process (SIGBUS).
    #[default]
    Mapped,
    /// With positional reads into buffers: every failure is an error of the call.
    Positional,
}

/// Bytes read at a time when reading positionally.
const READ_AHEAD: usize = 128 * 1024;

/// The readable bytes of one `.log`.
#[derive(Debug)]
pub(crate) struct LogFile {
    directory: Directory,
    mode: ReadMode,
    /// Opened by whoever needs it first. Held for reading while the file is looked for by its name: who has had it for
    /// writing knows that nobody comes by the old name any more.
    opened: RwLock<Opened>,
    map: Arc<MapSlot>,
    /// Another, for who looks at single batches of a segment that grows no more: of a disk only those are read.
    points: Arc<MapSlot>,
    grows: AtomicBool,
}

#[derive(Debug)]
struct Opened {
    name: String,
    /// The segment is no longer part of the log: its name may be another file's, or nobody's.
    has_left: bool,
    /// The writer's, while the segment grows; that of a new segment until it has its own name.
    file: Option<File>,
}

/// A stretch of a `.log` in memory. Never beyond what was known to be written when it was asked for: a map may go further,
/// over bytes that the file will not have for long, and to look at those ends the process.
#[derive(Debug, Clone)]
pub(super) struct Window {
    view: View,
    /// Position in the file of the first byte of `view`.
    start: u64,
    /// Bytes of `view` that may be looked at.
    len: usize,
    is_map: bool,
}

impl Window {
    fn of_map(view: View, written: u64) -> Self {
        let len = usize::try_from(written).map_or(view.len(), |written| written.min(view.len()));
        Self { view, start: 0, len, is_map: true }
    }

    /// True where it keeps a file from going away.
    pub(super) fn is_map(&self) -> bool {
        self.is_map
    }

    /// The bytes from `position` on, as far as the window goes.
    pub(super) fn from(&self, position: u64) -> &[u8] {
        self.index(position).and_then(|at| self.view.get(at..self.len)).unwrap_or_default()
    }

    /// The same, but `most` bytes at most.
    pub(super) fn first(&self, position: u64, most: usize) -> &[u8] {
        let bytes = self.from(position);
        bytes.get(..most).unwrap_or(bytes)
    }

    /// Whether it has so many bytes from `position` on.
    pub(super) fn has(&self, position: u64, len: usize) -> bool {
        self.index(position).and_then(|at| at.checked_add(len)).is_some_and(|end| end <= self.len)
    }

    #[inline]
    fn index(&self, position: u64) -> Option<usize> {
        position.checked_sub(self.start).and_then(|at| usize::try_from(at).ok())
    }

    /// The batch at `position`, when all of it is here.
    pub(super) fn batch(&self, header: BatchHeader, position: u64) -> Option<StoredBatch> {
        let at = self.index(position)?;
        if at.checked_add(header.total_len())? > self.len {
            return None;
        }
        StoredBatch::new(header, position, self.view.clone(), at)
    }
}

/// Reads a `.log` from front to back, each byte once.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    log: &'a LogFile,
    /// Bytes that may be read.
    written: u64,
    source: Source,
}

/// Where a walk has its bytes from.
#[derive(Debug)]
enum Source {
    Mapped(Option<Window>),
    Positional(Stretch),
}

/// What was read last. One buffer for the whole walk: new memory for each stretch costs more than reading it.
#[derive(Debug, Default)]
struct Stretch {
    file: Option<File>,
    buffer: Vec<u8>,
    /// Position in the file of the first byte of `buffer`.
    start: u64,
    /// Bytes of `buffer` that were read.
    filled: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn log(&self) -> &LogFile {
        self.log
    }

    pub(super) fn new(log: &'a LogFile, written: u64) -> Self {
        let source = match log.mode {
            ReadMode::Mapped => Source::Mapped(None),
            ReadMode::Positional => Source::Positional(Stretch::default()),
        };
        Self { log, written, source }
    }

    /// At least `want` bytes from `position` on, or as many as there are.
    pub(super) fn bytes(&mut self, position: u64, want: usize) -> Result<&[u8]> {
        let there = usize::try_from(self.written.saturating_sub(position)).unwrap_or(usize::MAX);
        let (log, needed) = (self.log, there.min(want));
        match &mut self.source {
            Source::Mapped(window) => {
                let found = match window.take().filter(|window| window.from(position).len() >= needed) {
                    Some(window) => window,
                    None => log.window(position, want, self.written)?,
                };
                Ok(window.insert(found).from(position))
            }
            Source::Positional(stretch) => {
                if stretch.from(position).len() < needed {
                    stretch.go_on(log, position, needed.max(READ_AHEAD).min(there))?;
                }
                Ok(stretch.from(position))
            }
        }
    }
}

impl Stretch {
    /// The bytes from `position` on, as far as they were read.
    fn from(&self, position: u64) -> &[u8] {
        let at = position.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.buffer.get(at..self.filled)).unwrap_or_default()
    }

    /// Goes to `position` and reads what is not yet there of `len` bytes.
    fn go_on(&mut self, log: &LogFile, position: u64, len: usize) -> Result<()> {
        let kept = self.from(position).len();
        self.buffer.copy_within(self.filled - kept..self.filled, 0);
        (self.start, self.filled) = (position, kept);
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        if self.file.is_none() {
            self.file = Some(log.file()?);
        }
        if let (Some(file), Some(rest)) = (&self.file, self.buffer.get_mut(kept..len)) {
            self.filled += file.read_up_to(rest, position + kept as u64)?;
        }
        Ok(())
    }
}

impl LogFile {
    /// The file of that name, opened on first use.
    pub(crate) fn lazy(directory: Directory, name: String, mode: ReadMode) -> Self {
        Self::with(directory, name, mode, None)
    }

    /// A file that its writer has open.
    pub(crate) fn open(directory: Directory, name: String, mode: ReadMode, file: File) -> Self {
        Self::with(directory, name, mode, Some(file))
    }

    fn with(directory: Directory, name: String, mode: ReadMode, file: Option<File>) -> Self {
        let grows = AtomicBool::new(file.is_some());
        let opened = RwLock::new(Opened { name, has_left: false, file });
        Self { directory, mode, opened, map: Arc::default(), points: Arc::default(), grows }
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.directory.join(&self.opened.read().name)
    }

    pub(super) fn mode(&self) -> ReadMode {
        self.mode
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The length of the file now, in bytes, the allocated part included.
    pub(crate) fn len(&self) -> Result<u64> {
        self.file()?.len()
    }

    /// Opens the file and keeps its descriptor until it has another name: [`rename`](Self::rename) needs none then, and what
    /// fails here has changed nothing.
    pub(crate) fn hold(&self) -> Result<()> {
        let file = self.file()?;
        self.opened.write().file.get_or_insert(file);
        Ok(())
    }

    /// Renames the file. Readers are not kept waiting: they have its descriptor until the new name is known.
    pub(crate) fn rename(&self, to: &str) -> Result<()> {
        self.hold()?;
        let from = self.opened.read().name.clone();
        // After a failure nobody knows which name it has: the descriptor stays.
        self.directory.rename(&from, to)?;
        let mut opened = self.opened.write();
        to.clone_into(&mut opened.name);
        opened.file = None;
        Ok(())
    }

    /// The segment is no longer part of the log. Whoever has the file or its bytes keeps them; nobody looks for it by its
    /// name any more, which may now be given to another file.
    pub(super) fn leave(&self) {
        self.opened.write().has_left = true;
        // Unmapping can take a while.
        drop((self.map.take(), self.points.take()));
    }

    /// Runs `write` unless the segment has left the log; it does not leave meanwhile.
    pub(super) fn unless_left(&self, write: impl FnOnce()) {
        let opened = self.opened.read();
        if !opened.has_left {
            write();
        }
    }

    /// At least `want` bytes from `position` on, or as many as there are below `written`; more, when what follows is likely
    /// to be read next.
    pub(super) fn window(&self, position: u64, want: usize, written: u64) -> Result<Window> {
        self.stretch(&self.map, position, (want, want.max(READ_AHEAD)), written)
    }

    /// `want` bytes from `position` on, or as many as there are below `written`; what is around them is not wanted.
    #[inline]
    pub(super) fn near(&self, position: u64, want: usize, written: u64) -> Result<Window> {
        self.stretch(self.near_map(), position, (want, want), written)
    }

    #[inline]
    fn near_map(&self) -> &Arc<MapSlot> {
        if self.grows.load(Ordering::Relaxed) { &self.map } else { &self.points }
    }

    /// The map that [`near`](Self::near) has its bytes from, if there is one at hand that reaches beyond `position`.
    pub(super) fn mapped(&self, position: u64, written: u64) -> Option<Window> {
        let view = self.near_map().get(position).filter(|_| self.mode == ReadMode::Mapped)?;
        Some(Window::of_map(view, written))
    }

    /// A map that has `want` bytes, or `most` bytes read where there is none.
    #[inline]
    fn stretch(
        &self,
        slot: &Arc<MapSlot>,
        position: u64,
        (want, most): (usize, usize),
        written: u64,
    ) -> Result<Window> {
        let end = written.min(position.saturating_add(want as u64));
        if self.mode == ReadMode::Mapped
            && let Some(view) = slot.get(end)
        {
            return Ok(Window::of_map(view, written));
        }
        self.first_stretch(slot, (position, most), (end, written))
    }

    /// The same where no map is at hand.
    #[cold]
    fn first_stretch(
        &self,
        slot: &Arc<MapSlot>,
        (position, most): (u64, usize),
        (end, written): (u64, u64),
    ) -> Result<Window> {
        if self.mode == ReadMode::Mapped
            && let Some(view) = self.remap(slot, end)?
        {
            return Ok(Window::of_map(view, written));
        }
        let there = usize::try_from(written - position.min(written)).unwrap_or(usize::MAX);
        let bytes = self.file()?.read(position, most.min(there))?;
        Ok(Window { len: bytes.len(), view: View::new(bytes), start: position, is_map: false })
    }

    fn remap(&self, slot: &Arc<MapSlot>, end: u64) -> Result<Option<View>> {
        // One thread maps, the others find it.
        let opened = self.opened.write();
        if let Some(view) = slot.get(end) {
            return Ok(Some(view));
        }
        // The writer keeps its descriptor; a sealed segment needs none once it is mapped.
        let file = opened.file(&self.directory)?;
        let len = file.len()?.max(end);
        let view = if Arc::ptr_eq(slot, &self.points) { file.map_for_points(len) } else { file.map(len) }?;
        if let Some(view) = view.as_ref().filter(|_| !opened.has_left) {
            self.directory.hold_map(slot, view.clone());
        }
        Ok(view)
    }

    fn file(&self) -> Result<File> {
        self.opened.read().file(&self.directory)
    }

    /// Lets the descriptor of a segment go that no longer grows.
    pub(super) fn release_descriptor(&self) {
        self.opened.write().file = None;
        self.grows.store(false, Ordering::Relaxed);
    }

    /// What is wrong with the batch at `position`, as an error that says where.
    pub(crate) fn damaged(&self, position: u64, offset: Offset, malformed: Malformed) -> Error {
        match malformed {
            Malformed::TooLarge { limit } => {
                Error::BatchTooLarge { path: self.path(), position, offset, limit: limit as u64 }
            }
            malformed => self.broken(position, offset, malformed.to_string()),
        }
    }

    /// The same for a rule that spans batches.
    pub(crate) fn broken(&self, position: u64, offset: Offset, reason: impl Into<String>) -> Error {
        Error::corrupt(self.path(), position, Some(offset), reason)
    }
}

impl Opened {
    /// A descriptor, not kept if it is opened for this: a reader of many segments would keep one of each. One is opened for
    /// every read-ahead.
    fn file(&self, directory: &Directory) -> Result<File> {
        match &self.file {
            Some(file) => Ok(file.clone()),
            None if self.has_left => {
                let why =
                    std::io::Error::new(ErrorKind::NotFound, "the segment is no longer part of the log");
                Err(Error::io(&directory.join(&self.name), "open", why))
            }
            None => directory.open(&self.name, OpenMode::Read),
        }
    }
}
