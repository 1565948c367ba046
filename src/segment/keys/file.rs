//! A `.keyindex` as readers look things up in it: page by page, each checked before it is believed.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{
    KeyEntry, KeyIndexHeader, KeyPages, KeyStamp, PAGE_BYTES, SegmentFile, TermHash, encode_key_index,
    segment_file_name,
};
use crate::io::{Directory, File, MapSlot, OpenMode, View, prefetch, will_need};
use crate::locks::{AtomicU64, Ordering};
use crate::segment::ReadMode;
use crate::segment::keys::hit::{Hit, HitRange, Take};
use crate::segment::keys::making::Walk;
use crate::types::Offset;

/// A file that was found to be that of its segment.
#[derive(Debug)]
pub(super) struct KeyFile {
    directory: Directory,
    name: String,
    mode: ReadMode,
    header: KeyIndexHeader,
    map: Arc<MapSlot>,
    /// A bit for each page of the map that was found sound.
    sound: Box<[AtomicU64]>,
}

/// Why a file gives no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// It is not what was written.
    Wrong,
    Io(Error),
}

impl KeyFile {
    /// The file of the segment that `stamp` tells of. `None` when it is missing, or another than that.
    pub(super) fn open(directory: &Directory, stamp: &KeyStamp, mode: ReadMode) -> Result<Option<Self>> {
        let name = segment_file_name(stamp.base, SegmentFile::KeyIndex);
        // As the other indexes: what cannot be opened is made again, and that tells what is wrong.
        let Ok(file) = directory.open(&name, OpenMode::Read) else { return Ok(None) };
        let Ok(header) = KeyIndexHeader::decode(&file.read(0, PAGE_BYTES)?) else { return Ok(None) };
        if header.stamp != *stamp || file.len()? != header.file_bytes() {
            return Ok(None);
        }
        let words = (header.pages() as usize).div_ceil(64);
        let sound = (0..words).map(|_| AtomicU64::new(0)).collect();
        Ok(Some(Self { directory: directory.clone(), name, mode, header, map: Arc::default(), sound }))
    }

    /// Has the places that are looked at first brought into memory, where there is a map. True where that may have to be from the disk:
    /// then nobody has waited for it.
    pub(super) fn prefetch(&self, hash: TermHash) -> bool {
        let Some(mut pages) = self.mapped_pages() else { return false };
        let [filter, count] = self.header.first_places(hash);
        let is_cold = [filter, count].iter().any(|(number, _)| !self.was_sound(*number));
        pages.expect(filter.0, filter.1..filter.1 + 1);
        pages.expect(count.0, count.1..count.1 + 1);
        is_cold
    }

    /// The same of the entries, where there may be some.
    pub(super) fn prefetch_entries(&self, hash: TermHash) {
        let Some(mut pages) = self.mapped_pages() else { return };
        if let Ok(true) = self.header.may_hold(&mut pages, hash) {
            // Whoever looks at them is told of what is wrong.
            drop(self.header.bucket(&mut pages, hash));
        }
    }

    fn mapped_pages(&self) -> Option<Pages<'_>> {
        let view = (self.mode == ReadMode::Mapped).then(|| self.view().ok().flatten()).flatten()?;
        Some(Pages { of: self, source: Source::Mapped(view) })
    }

    /// Whether a page was looked at since there is the map.
    fn was_sound(&self, number: u32) -> bool {
        let word = self.sound.get(number as usize / 64);
        word.is_some_and(|word| word.load(Ordering::Acquire) & (1 << (number % 64)) != 0)
    }

    /// The hits of a hash, in the order of their offsets.
    pub(super) fn hits(&self, hash: TermHash, range: &HitRange) -> std::result::Result<Vec<Hit>, NoAnswer> {
        let mut pages = self.pages()?;
        if !self.header.may_hold(&mut pages, hash)? {
            return Ok(Vec::new());
        }
        let run = self.header.run(&mut pages, hash)?;
        let base = self.header.stamp.base;
        let offset = |entry: &KeyEntry| base + i64::from(entry.relative_offset);
        let low = self.header.partition_point(&mut pages, run.clone(), |entry| offset(entry) < range.from)?;
        let high =
            self.header.partition_point(&mut pages, low..run.end, |entry| offset(entry) < range.until)?;
        let low = match range.take {
            Take::All => low,
            Take::Last(most) => low.max(high.saturating_sub(u32::try_from(most).unwrap_or(u32::MAX))),
        };
        let mut hits = Vec::with_capacity((high - low) as usize);
        for number in low..high {
            let entry = self.header.entry(&mut pages, number)?;
            hits.push(Hit { offset: offset(&entry), position: u64::from(entry.position) });
        }
        Ok(hits)
    }

    /// How many terms of records it holds.
    pub(super) fn terms(&self) -> usize {
        self.header.entries() as usize
    }

    /// All of it, as it was written.
    pub(super) fn all(&self) -> std::result::Result<Vec<KeyEntry>, NoAnswer> {
        let mut pages = self.pages()?;
        (0..self.header.entries()).map(|number| self.header.entry(&mut pages, number)).collect()
    }

    fn pages(&self) -> std::result::Result<Pages<'_>, NoAnswer> {
        if self.mode == ReadMode::Mapped
            && let Some(view) = self.view()?
        {
            return Ok(Pages { of: self, source: Source::Mapped(view) });
        }
        let file = self.by_name()?;
        Ok(Pages { of: self, source: Source::Positional { file, number: 0, page: Vec::new() } })
    }

    /// The file as it is found by its name. One that was removed tells no more than one that was changed.
    fn by_name(&self) -> std::result::Result<File, NoAnswer> {
        self.directory.open(&self.name, OpenMode::Read).map_err(|error| match &error {
            Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => NoAnswer::Wrong,
            _ => NoAnswer::Io(error),
        })
    }

    /// The map of the file; `None` where the system gives none.
    fn view(&self) -> std::result::Result<Option<View>, NoAnswer> {
        let bytes = self.header.file_bytes();
        if let Some(view) = self.map.get(bytes) {
            return Ok(Some(view));
        }
        let file = self.by_name()?;
        if file.len().map_err(NoAnswer::Io)? < bytes {
            return Ok(None);
        }
        let Some(view) = file.map_for_points(bytes).map_err(NoAnswer::Io)? else { return Ok(None) };
        // It was opened by its name: what was found sound in another map says nothing of this one.
        self.sound.iter().for_each(|word| word.store(0, Ordering::Release));
        self.directory.hold_map(&self.map, view.clone());
        Ok(Some(view))
    }

    fn is_sound(&self, number: u32, page: &[u8]) -> bool {
        if self.was_sound(number) {
            return true;
        }
        let is_sound = self.header.is_sound(number, page);
        if is_sound && let Some(word) = self.sound.get(number as usize / 64) {
            word.fetch_or(1 << (number % 64), Ordering::AcqRel);
        }
        is_sound
    }
}

/// The pages of a file during one look.
struct Pages<'a> {
    of: &'a KeyFile,
    source: Source,
}

enum Source {
    Mapped(View),
    /// The page that was read last.
    Positional {
        file: File,
        number: u32,
        page: Vec<u8>,
    },
}

impl KeyPages for Pages<'_> {
    type Error = NoAnswer;

    fn page(&mut self, number: u32) -> std::result::Result<&[u8], NoAnswer> {
        let at = number as usize * PAGE_BYTES;
        match &mut self.source {
            Source::Mapped(view) => {
                let page = view.get(at..at + PAGE_BYTES).ok_or(NoAnswer::Wrong)?;
                if self.of.is_sound(number, page) { Ok(page) } else { Err(NoAnswer::Wrong) }
            }
            Source::Positional { file, number: last, page } => {
                if *last != number || page.is_empty() {
                    *page = file.read(at as u64, PAGE_BYTES).map_err(NoAnswer::Io)?;
                    *last = number;
                    if page.len() != PAGE_BYTES || !self.of.header.is_sound(number, page) {
                        page.clear();
                        return Err(NoAnswer::Wrong);
                    }
                }
                Ok(page)
            }
        }
    }

    fn expect(&mut self, number: u32, bytes: std::ops::Range<usize>) {
        if let Source::Mapped(view) = &self.source {
            let at = number as usize * PAGE_BYTES;
            let bytes = view.get(at + bytes.start..at + bytes.end.min(PAGE_BYTES)).unwrap_or_default();
            if self.of.was_sound(number) { prefetch(bytes) } else { will_need(bytes) }
        }
    }

    fn contradiction(&self) -> NoAnswer {
        NoAnswer::Wrong
    }
}

/// A file that is being made. Nothing is written to it once its segment has left the log.
pub(super) struct Begun<'a> {
    file: &'a File,
    walk: &'a dyn Walk,
}

impl Begun<'_> {
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(super) fn read_up_to(&self, buffer: &mut [u8], position: u64) -> Result<usize> {
        self.file.read_up_to(buffer, position)
    }

    pub(super) fn write_at(&self, bytes: &[u8], position: u64) -> Result<()> {
        self.walk.unless_left(&mut || self.file.write_at(bytes, position))
    }

    pub(super) fn set_len(&self, len: u64) -> Result<()> {
        self.walk.unless_left(&mut || self.file.set_len(len))
    }
}

/// Writes the file of the segment of that base, without a sync: what a crash leaves of it is known by its checksums. It gets its name
/// when all of it is there, unless the segment has left the log.
pub(super) fn write_file(
    directory: &Directory,
    base: Offset,
    walk: &dyn Walk,
    fill: impl FnOnce(&Begun<'_>) -> Result<()>,
) -> Result<()> {
    let name = segment_file_name(base, SegmentFile::KeyIndex);
    let unnamed = format!("{name}.new");
    let mut file = None;
    // The directory of a segment that has left may be that of another topic by now, of the same name.
    walk.unless_left(&mut || {
        directory.remove_if_there(&unnamed)?;
        file = Some(directory.open(&unnamed, OpenMode::CreateNew)?);
        Ok(())
    })?;
    let filled = file.as_ref().map_or(Ok(()), |file| fill(&Begun { file, walk }));
    let named = filled.and_then(|()| walk.unless_left(&mut || directory.rename(&unnamed, &name)));
    if named.is_err() {
        // What cannot be removed now is removed by the next attempt, or with the segment.
        drop(walk.unless_left(&mut || directory.remove_if_there(&unnamed)));
    }
    named
}

/// The same, of entries in any order.
pub(super) fn write_entries(
    directory: &Directory,
    stamp: KeyStamp,
    entries: Vec<KeyEntry>,
    walk: &dyn Walk,
) -> Result<()> {
    write_file(directory, stamp.base, walk, |file| {
        let encoded = encode_key_index(stamp, entries);
        let bytes = encoded.map_err(|malformed| malformed.in_file(file.path()))?;
        directory.check_space(bytes.len() as u64)?;
        file.write_at(&bytes, 0)
    })
}

/// Removes the key index of another `.log` that had the segment's name before.
pub(crate) fn remove_other(directory: &Directory, stamp: &KeyStamp) -> Result<()> {
    let name = segment_file_name(stamp.base, SegmentFile::KeyIndex);
    let file = match directory.open(&name, OpenMode::Read) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    match KeyIndexHeader::decode(&file.read(0, PAGE_BYTES)?) {
        Ok(header) if header.stamp == *stamp => Ok(()),
        _ => directory.remove_if_there(&name),
    }
}

/// Whether anything has the name of a segment's key index, as far as that can be seen.
pub(super) fn is_there(directory: &Directory, base: Offset) -> bool {
    directory.open(&segment_file_name(base, SegmentFile::KeyIndex), OpenMode::Read).is_ok()
}

/// Removes a segment's key index.
pub(super) fn remove(directory: &Directory, base: Offset) -> Result<()> {
    directory.remove_if_there(&segment_file_name(base, SegmentFile::KeyIndex))
}
