//! The directory that a backup or a restored store is made in.

use std::io::ErrorKind;
use std::path::Path;

use crate::backup::list::{LIST_FILE, UNFINISHED};
use crate::backup::premises::refuse_premises_of_others;
use crate::error::{Error, Result};
use crate::io::{Directory, EntryKind, File, Leads, OpenMode, PublishFailure, in_drop};
use crate::topic::StoreCut;

/// An empty directory, and what was put into it so far. What is not finished is removed with it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) root: Directory,
    /// It, and those above it, where they were not there: the deepest first.
    made: Vec<Directory>,
    is_finished: bool,
}

impl Target {
    /// Makes the directory `path`, or takes an empty one. It must not lie in `store`.
    pub(super) fn new(store: &Directory, path: &Path) -> Result<Self> {
        if path.as_os_str().is_empty() {
            return Err(Error::invalid("the path of the directory is empty"));
        }
        let absolute =
            std::path::absolute(path).map_err(|error| Error::io(path, "find the place of", error))?;
        let there = store.at(&absolute);
        refuse_path(store, &absolute)?;
        let made = missing(store, &absolute)?;
        if made.is_empty() {
            refuse_full(&there, false)?;
        }
        let begun = there.ensure().and_then(|()| begin(&there));
        let (root, marker) = begun.inspect_err(|_| remove_empty(&made))?;
        let target = Self { root, made, is_finished: false };
        marker.sync()?;
        target.root.sync()?;
        Ok(target)
    }

    /// What is in it is a backup with that list. One of the two names is there at any time: to remove the one first would, for a
    /// moment, leave what opens as a store.
    pub(super) fn finish_list(&self, list: &[u8]) -> Result<()> {
        let file = self.root.open(UNFINISHED, OpenMode::ReadWrite)?;
        file.write_at(list, 0)?;
        file.sync()?;
        self.root.publish(LIST_FILE).map_err(PublishFailure::into_error)?;
        self.root.sync_above()
    }

    /// What is in it is a store.
    pub(super) fn finish_store(self) -> Result<()> {
        self.root.remove(UNFINISHED)?;
        self.root.sync()?;
        self.root.sync_above()?;
        self.finish();
        Ok(())
    }

    /// The directory of a partition in it, empty.
    pub(super) fn partition(&self, name: &str) -> Result<Directory> {
        let directory = self.root.child(name);
        directory.create()?;
        Ok(directory)
    }

    /// What is in it is to stay.
    pub(super) fn finish(mut self) {
        self.is_finished = true;
    }

    /// Makes it unfinished again, durably. Where that fails what is there stays, and is whole.
    fn mark(&self) -> Result<()> {
        match self.root.rename(LIST_FILE, UNFINISHED) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                match self.root.open(UNFINISHED, OpenMode::CreateNew) {
                    Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {}
                    marker => marker?.sync()?,
                }
            }
            renamed => renamed?,
        }
        self.root.sync()
    }

    /// Removes all of it. What cannot be removed is in nobody's way but that of the next backup into the same directory. A crash in
    /// between leaves nothing that opens: the marker is there until the last, and no list of topics after the first.
    fn clear(&self) -> Result<()> {
        self.mark()?;
        StoreCut::unlist_topics(&self.root)?;
        for entry in self.root.list()?.iter().filter(|entry| entry.name != UNFINISHED) {
            match entry.kind {
                EntryKind::Directory => self.root.child(&entry.name).remove_all()?,
                EntryKind::File | EntryKind::Other => self.root.remove_if_there(&entry.name)?,
            }
        }
        self.root.sync()?;
        // The last: until then nobody else begins here.
        self.root.remove_if_there(UNFINISHED)?;
        remove_empty(&self.made);
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.is_finished {
            in_drop(|| drop(self.clear()));
        }
    }
}

/// The directories on the way to a path, and at it, that are not there: the deepest first.
fn missing(beside: &Directory, path: &Path) -> Result<Vec<Directory>> {
    let mut missing = Vec::new();
    for above in path.ancestors() {
        let above = beside.at(above);
        if above.exists()? {
            break;
        }
        missing.push(above);
    }
    Ok(missing)
}

/// Removes those in which there is nothing.
fn remove_empty(made: &[Directory]) {
    made.iter().for_each(|directory| drop(directory.remove_empty()));
}

/// Makes an empty directory this one's own: it under its one path, whatever links lead there, and its marker.
fn begin(there: &Directory) -> Result<(Directory, File)> {
    let root = there.elsewhere(there.path())?;
    // Before anything else: a crash leaves nothing that passes for a store, or for the beginning of one. Of two that come at
    // once one makes it.
    let marker = root.open(UNFINISHED, OpenMode::CreateNew).map_err(|error| being_made(&root, error))?;
    // From here on what is in it is this one's own, if nothing else is.
    if let Err(error) = refuse_full(&root, true) {
        drop(root.remove_if_there(UNFINISHED));
        return Err(error);
    }
    Ok((root, marker))
}

/// An error when there is something in it, but the marker of the one that has begun.
fn refuse_full(root: &Directory, is_begun: bool) -> Result<()> {
    let entries = root.list()?;
    if entries.iter().all(|entry| entry.name == UNFINISHED) && entries.len() <= usize::from(is_begun) {
        return Ok(());
    }
    let why = match entries.iter().any(|entry| entry.name == LIST_FILE) {
        true => "it holds a backup already: give another directory for this one",
        false => {
            "it is not empty: give another directory, or remove what is in it. A backup that was cut off leaves one like this"
        }
    };
    Err(Error::backup(root.path(), why))
}

/// An error when what is to be made at `path` would lie in the store, or elsewhere than the path says now.
fn refuse_path(store: &Directory, path: &Path) -> Result<()> {
    match store.leads(path)? {
        Leads::Outside => refuse_premises_of_others(store, path),
        Leads::Inside if store.has(LIST_FILE)? => {
            Err(Error::backup(path, "it lies in the backup: give a directory outside"))
        }
        Leads::Inside => Err(Error::backup(path, "it lies in the store: give a directory outside")),
        Leads::Astray => {
            let why = "it goes up (..) from a directory that does not exist: give the path without";
            Err(Error::backup(path, why))
        }
    }
}

fn being_made(root: &Directory, error: Error) -> Error {
    match &error {
        Error::Io { source, .. } if source.kind() == ErrorKind::AlreadyExists => Error::backup(
            root.path(),
            "another backup or restore is being made in it: give another directory",
        ),
        _ => error,
    }
}
