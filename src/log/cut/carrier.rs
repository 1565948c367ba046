//! Bringing files from one directory into another: as names of the same file, as shared blocks, or as copies.

use crate::error::{Error, Result};
use crate::format::{Identity, SegmentFile, SegmentSummary, segment_file_name};
use crate::io::{Directory, File, Link, OpenMode};
use crate::log::table::names;

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// How a file came to be where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Another name of the source's file.
    Linked,
    /// Another name of a file of the parent.
    Parent,
    /// It shares the blocks of the source's file.
    Shared,
    Copied,
}

/// Whether files that never change may be the same file in two directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    Allowed,
    Forbidden,
}

/// What the bytes of a file are to whoever waits for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    Bytes,
    Nothing,
}

/// Where the parent has a segment, if it does.
pub(crate) type Parent<'a> = &'a dyn Fn(Identity, &SegmentSummary) -> Option<Directory>;

/// Brings files over.
pub(crate) struct Carrier<'a> {
    pub(crate) links: Links,
    pub(crate) parent: Option<Parent<'a>>,
    /// Is told of bytes that are there now, and of how many of them were copied. May wait, or end it.
    pub(crate) step: &'a mut dyn FnMut(u64, u64) -> Result<()>,
}

impl Carrier<'_> {
    /// Brings over a `.log` that is sealed, synced, and what was derived from it.
    pub(super) fn bring(
        &mut self,
        (source, identity): (&Directory, Identity),
        segment: &SegmentSummary,
        target: &Directory,
    ) -> Result<How> {
        let name = segment_file_name(segment.base, SegmentFile::Log);
        let mut how = None;
        if self.links == Links::Allowed {
            how = link(source, &name, (target, segment.bytes))?.then_some(How::Linked);
            if how.is_none()
                && let Some(kept) = self.parent.and_then(|parent| parent(identity, segment))
            {
                // A file that is not there any more is copied from the source, as one that has another length.
                let linked = absent(link(&kept, &name, (target, segment.bytes)))?;
                how = linked.unwrap_or(false).then_some(How::Parent);
            }
        }
        let how = match how {
            Some(how) => {
                (self.step)(segment.bytes, 0)?;
                how
            }
            None => self.bring_bytes(source, &name, (target, segment.bytes))?,
        };
        self.bring_derived(source, segment, target)?;
        Ok(how)
    }

    /// Indexes are hints: one that is not there, or not what was written, is made again by its reader.
    pub(super) fn bring_derived(
        &mut self,
        source: &Directory,
        segment: &SegmentSummary,
        target: &Directory,
    ) -> Result<()> {
        for name in names::derived(segment.base) {
            let linked = self.links == Links::Allowed
                && absent(target.link(source, &name, (&name, Link::Hard)))?.unwrap_or(false);
            if linked {
                continue;
            }
            // By its name it may be another file, or none, at the next look: readers make it again, and whoever needs the room removes it.
            let Some(from) = absent(source.open(&name, OpenMode::Read))? else { continue };
            self.copy(&from, &name, (target, from.len()?), Counts::Nothing)?;
        }
        Ok(())
    }

    /// Makes a file of the first `len` bytes of another one, synced, which is nobody else's.
    pub(super) fn bring_bytes(
        &mut self,
        source: &Directory,
        name: &str,
        (target, len): (&Directory, u64),
    ) -> Result<How> {
        if target.link(source, name, (name, Link::Blocks))? {
            let file = target.open(name, OpenMode::ReadWrite)?;
            if file.len()? < len {
                return Err(short(source, name, file.len()?));
            }
            file.set_len(len)?;
            file.sync()?;
            (self.step)(len, 0)?;
            return Ok(How::Shared);
        }
        let copied = self.copy(&source.open(name, OpenMode::Read)?, name, (target, len), Counts::Bytes)?;
        if copied < len { Err(short(source, name, copied)) } else { Ok(How::Copied) }
    }

    /// Copies the first `len` bytes, or all where there are fewer, and says how many.
    fn copy(
        &mut self,
        from: &File,
        name: &str,
        (target, len): (&Directory, u64),
        counts: Counts,
    ) -> Result<u64> {
        let to = target.open(name, OpenMode::CreateNew)?;
        let mut position = 0;
        while position < len {
            let want = usize::try_from(len - position).unwrap_or(CHUNK).min(CHUNK);
            let bytes = from.read(position, want)?;
            if bytes.is_empty() {
                break;
            }
            to.write_at(&bytes, position)?;
            position += bytes.len() as u64;
            let there = if counts == Counts::Bytes { bytes.len() as u64 } else { 0 };
            (self.step)(there, bytes.len() as u64)?;
        }
        to.sync()?;
        Ok(position)
    }
}

/// Gives a file of that many bytes another name, synced. False where that cannot be, or it is another file.
fn link(source: &Directory, name: &str, (target, bytes): (&Directory, u64)) -> Result<bool> {
    if !target.link(source, name, (name, Link::Hard))? {
        return Ok(false);
    }
    let file = target.open(name, OpenMode::Read)?;
    if file.len()? != bytes {
        target.remove(name)?;
        return Ok(false);
    }
    file.sync().map(|()| true)
}

/// `None` for what is not there.
fn absent<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        outcome => outcome.map(Some),
    }
}

fn short(source: &Directory, name: &str, position: u64) -> Error {
    let reason = "the file ends before its segment does".to_owned();
    Error::corrupt(source.join(name), position, None, reason)
}
