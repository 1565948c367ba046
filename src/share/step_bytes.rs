//! What stands in a file of steps, for whoever reads it: no lock is taken for that.

use std::io::ErrorKind;

use crate::error::{Error, Result};
use crate::format::{StepsHead, decode_frames, decode_steps};
use crate::io::{Directory, File, OpenMode};
use crate::share::queue_steps::Steps;
use crate::share::step_files::{FoundSteps, topic_of};

/// Far more than one may have.
const MOST_READ: usize = 512 << 20;

pub(super) fn list(root: &Directory) -> Result<Vec<String>> {
    let names = root.list()?.into_iter().map(|entry| entry.name);
    Ok(names.filter(|name| topic_of(name).is_some()).collect())
}

pub(super) fn read(root: &Directory, name: &str) -> Result<Option<FoundSteps>> {
    let Some(file) = open(root, name)? else { return Ok(None) };
    let head = head_of(root, name, &file)?;
    let frames = bytes_of(root, name, (&file, StepsHead::LEN))?;
    let content = decode_steps(&frames, &head).map_err(|malformed| malformed.in_file(&root.join(name)))?;
    let (id, is_doubtful) = (head.id, head.marks.is_doubtful);
    let (end, last) = (content.end, content.last);
    Ok(Some(FoundSteps { id, is_doubtful, steps: Steps::of(content.steps), end, last }))
}

pub(super) fn open(root: &Directory, name: &str) -> Result<Option<File>> {
    match root.open(name, OpenMode::Read) {
        Ok(file) => Ok(Some(file)),
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn head_of(root: &Directory, name: &str, file: &File) -> Result<StepsHead> {
    let head = StepsHead::decode(&file.read(0, StepsHead::LEN)?);
    head.map_err(|malformed| malformed.in_file(&root.join(name)))
}

/// The frames from a position on that are whole. The head was read before: what it says was synced is there by now, however the file grows
/// meanwhile.
pub(super) fn whole_frames(
    root: &Directory,
    name: &str,
    (file, head, from): (&File, &StepsHead, usize),
) -> Result<Vec<u8>> {
    let mut frames = bytes_of(root, name, (file, from))?;
    let content = decode_frames(&frames, from, head.marks.durable());
    let end = content.map_err(|malformed| malformed.in_file(&root.join(name)))?.end;
    frames.truncate(end.saturating_sub(from));
    Ok(frames)
}

fn bytes_of(root: &Directory, name: &str, (file, from): (&File, usize)) -> Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    if len > MOST_READ {
        let reason = format!("{len} bytes, more than the {MOST_READ} such a file can have");
        return Err(Error::corrupt(root.join(name), 0, None, reason));
    }
    file.read(from as u64, len.saturating_sub(from))
}
