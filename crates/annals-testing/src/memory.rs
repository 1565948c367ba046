//! A file system in memory.

#![expect(
    clippy::unwrap_used,
    reason = "a lock is poisoned after a test has failed; paths of a store are text"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::image::{Files, Image};
use super::memory_file::{Calls, Content, Fixed, Node};
use annals::io::{DirectoryLock, Entry, EntryKind, FileHandle, FileSystem, OpenMode};

/// Files in memory: those of an [`Image`], which many can share, and the changes to them. Making one costs next to nothing.
/// Clones share the same files.
///
/// It knows what was changed, what a killed process leaves and what a power cut leaves when everything that was not synced is
/// lost. Space reserved ahead of the writes is zeros at the end of the file, until it is truncated. [`PowerCutFileSystem`](crate::PowerCutFileSystem) covers everything else that a power cut can leave.
///
/// ```
/// use annals::{Durability, Record, Store, TopicConfig};
/// use annals_testing::{Image, MemoryFileSystem};
/// use std::sync::Arc;
///
/// let disk = MemoryFileSystem::new();
/// let store = Store::builder("/store").file_system(Arc::new(disk.clone())).open()?;
/// let orders = store.create_topic("orders", TopicConfig::new())?.partition(0)?;
/// orders.append(&[Record::new().value("one")], Durability::Disk)?;
/// orders.append(&[Record::new().value("two")], Durability::Os)?;
///
/// let after = |files| MemoryFileSystem::over(&Image::new(files));
/// let killed = Store::builder("/store").file_system(Arc::new(after(disk.files()))).open()?;
/// assert_eq!(killed.topic("orders")?.partition(0)?.end(), 2);
/// let cut = Store::builder("/store").file_system(Arc::new(after(disk.durable_files()))).open()?;
/// assert_eq!(cut.topic("orders")?.partition(0)?.end(), 1);
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemoryFileSystem {
    image: Arc<Image>,
    changed: Arc<Mutex<Changed>>,
    calls: Arc<Calls>,
}

#[derive(Debug, Clone, Default)]
struct Changed {
    /// Those that are not as in the image.
    files: BTreeMap<String, Slot>,
    /// The same, as of the last sync of their directory.
    durable: BTreeMap<String, Slot>,
    /// Those that are not as in the image: whether they are there.
    directories: BTreeMap<String, bool>,
    durable_directories: BTreeMap<String, bool>,
    /// Written, renamed, made or removed since this began.
    touched: BTreeSet<String>,
}

/// What stands under a name.
#[derive(Debug, Clone)]
enum Slot {
    Gone,
    Fixed(Arc<[u8]>),
    Node(Arc<Node>),
}

pub(crate) fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some(parts) => parts,
        None => ("/", path),
    }
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

impl Default for MemoryFileSystem {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryFileSystem {
    /// Returns an empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::over(&Image::new(Files::new()))
    }

    /// Returns a disk with the files of an image, all of them durable.
    #[must_use]
    pub fn over(image: &Arc<Image>) -> Self {
        Self { image: Arc::clone(image), changed: Arc::default(), calls: Arc::default() }
    }

    /// Returns a disk with the image, with some of its files replaced or removed.
    #[must_use]
    pub fn with(image: &Arc<Image>, changes: &[(String, Option<Arc<[u8]>>)]) -> Self {
        let this = Self::over(image);
        let slot = |bytes: &Option<Arc<[u8]>>| bytes.clone().map_or(Slot::Gone, Slot::Fixed);
        let changed: BTreeMap<_, _> =
            changes.iter().map(|(path, bytes)| (path.clone(), slot(bytes))).collect();
        {
            let mut all = this.changed.lock().unwrap();
            all.durable = changed.clone();
            all.files = changed;
        }
        this
    }

    /// Makes every call that changes something fail, from the call of that number on.
    pub fn stop_after(&self, calls: u64) {
        self.calls.most.store(calls, Ordering::Relaxed);
    }

    /// Makes the disk full for files of more than so many bytes, counting space that is reserved and not written.
    pub fn limit_files(&self, bytes: u64) {
        self.calls.longest.store(bytes, Ordering::Relaxed);
    }

    /// From here on makes no file longer ahead of what is written to it, like a file system that has no such call: the call is
    /// refused as unsupported, and not counted among the [calls](Self::calls). A file then ends with what was written last.
    pub fn refuse_space_ahead(&self) {
        self.calls.refuses_space_ahead.store(true, Ordering::Relaxed);
    }

    /// Freezes the disk: from here on nothing changes.
    pub fn freeze(&self) {
        self.stop_after(0);
    }

    /// Returns how many calls changed something, or were meant to.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.made.load(Ordering::Relaxed)
    }

    /// Returns the paths under which anything was changed.
    #[must_use]
    pub fn touched(&self) -> Vec<String> {
        self.changed.lock().unwrap().touched.iter().cloned().collect()
    }

    /// Returns the files that are there, which are those that a killed process leaves.
    #[must_use]
    pub fn files(&self) -> Files {
        let changed = self.changed.lock().unwrap();
        let content = |node: &Node| node.content.lock().unwrap().bytes.as_slice().into();
        self.merged(&changed.files, &changed.directories, content)
    }

    /// Returns what a power cut leaves when everything that was not synced is lost.
    #[must_use]
    pub fn durable_files(&self) -> Files {
        let changed = self.changed.lock().unwrap();
        let content = |node: &Node| node.content.lock().unwrap().durable.as_slice().into();
        let mut files = self.merged(&changed.durable, &changed.durable_directories, content);
        files.retain(|path, _| self.is_reachable(&changed.durable_directories, path));
        files
    }

    fn merged(
        &self,
        over: &BTreeMap<String, Slot>,
        directories: &BTreeMap<String, bool>,
        content: impl Fn(&Node) -> Arc<[u8]>,
    ) -> Files {
        let mut files = self.image.files.clone();
        for (path, slot) in over {
            match slot {
                Slot::Gone => _ = files.remove(path),
                Slot::Fixed(bytes) => _ = files.insert(path.clone(), Arc::clone(bytes)),
                Slot::Node(node) => _ = files.insert(path.clone(), content(node)),
            }
        }
        if directories.values().any(|is_there| !is_there) {
            // What was in one that is gone is nowhere, whatever is known of it.
            files.retain(|path, _| self.is_reachable(directories, path));
        }
        let all = self.image.names.keys().chain(directories.keys());
        for dir in all.filter(|dir| *dir != "/" && self.has_directory(directories, dir)) {
            let below = format!("{dir}/");
            let is_empty =
                files.range(below.clone()..).next().is_none_or(|(path, _)| !path.starts_with(&below));
            if is_empty {
                files.insert(below, Arc::from([]));
            }
        }
        files
    }

    fn slot(&self, changed: &Changed, path: &str) -> io::Result<Slot> {
        match changed.files.get(path) {
            Some(Slot::Gone) => Err(ErrorKind::NotFound.into()),
            Some(slot) => Ok(slot.clone()),
            None => {
                let there = self.image.files.get(path).cloned().map(Slot::Fixed);
                there.ok_or_else(|| ErrorKind::NotFound.into())
            }
        }
    }

    fn exists(&self, changed: &Changed, dir: &str) -> io::Result<()> {
        if self.has_directory(&changed.directories, dir) {
            return Ok(());
        }
        Err(ErrorKind::NotFound.into())
    }

    fn is_reachable(&self, changed: &BTreeMap<String, bool>, path: &str) -> bool {
        Path::new(path).ancestors().skip(1).all(|dir| self.has_directory(changed, &text(dir)))
    }

    fn has_directory(&self, changed: &BTreeMap<String, bool>, dir: &str) -> bool {
        changed.get(dir).copied().unwrap_or_else(|| self.image.names.contains_key(dir))
    }

    /// The file as one that can be written.
    fn node(&self, changed: &mut Changed, path: &str) -> io::Result<Arc<Node>> {
        match self.slot(changed, path)? {
            Slot::Node(node) => Ok(node),
            Slot::Fixed(bytes) => {
                let content = Content { bytes: bytes.to_vec(), durable: bytes.to_vec() };
                let node = self.new_node(content);
                changed.files.insert(path.to_owned(), Slot::Node(Arc::clone(&node)));
                changed.durable.insert(path.to_owned(), Slot::Node(Arc::clone(&node)));
                Ok(node)
            }
            Slot::Gone => Err(ErrorKind::NotFound.into()),
        }
    }

    fn new_node(&self, content: Content) -> Arc<Node> {
        Arc::new(Node { content: Mutex::new(content), calls: Arc::clone(&self.calls) })
    }

    /// The names of files and directories in `dir`.
    fn names_in(&self, changed: &Changed, dir: &str) -> Vec<Entry> {
        let mut entries = Vec::new();
        let entry = |name: &str, kind| Entry { name: name.to_owned(), kind };
        for name in self.image.names.get(dir).into_iter().flatten() {
            let is_changed =
                !changed.files.is_empty() && changed.files.contains_key(&format!("{dir}/{name}"));
            if !is_changed {
                entries.push(entry(name, EntryKind::File));
            }
        }
        for (path, slot) in &changed.files {
            if split(path).0 == dir && !matches!(slot, Slot::Gone) {
                entries.push(entry(split(path).1, EntryKind::File));
            }
        }
        let directories = &changed.directories;
        let unchanged = self.image.names.keys().filter(|path| !directories.contains_key(*path));
        for path in unchanged.chain(directories.keys().filter(|path| directories.get(*path) == Some(&true))) {
            if path != "/" && split(path).0 == dir {
                entries.push(entry(split(path).1, EntryKind::Directory));
            }
        }
        entries
    }

    fn change(&self, path: &Path) -> io::Result<(std::sync::MutexGuard<'_, Changed>, String)> {
        self.calls.take()?;
        let path = text(path);
        let mut changed = self.changed.lock().unwrap();
        changed.touched.insert(path.clone());
        Ok((changed, path))
    }
}

impl FileSystem for MemoryFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        match mode {
            OpenMode::Read => {
                let changed = self.changed.lock().unwrap();
                Ok(match self.slot(&changed, path.to_str().unwrap())? {
                    Slot::Node(node) => node,
                    Slot::Fixed(bytes) => Arc::new(Fixed(bytes)),
                    Slot::Gone => return Err(ErrorKind::NotFound.into()),
                })
            }
            OpenMode::ReadWrite => {
                let (mut changed, path) = self.change(path)?;
                Ok(self.node(&mut changed, &path)?)
            }
            _ => {
                let (mut changed, path) = self.change(path)?;
                self.exists(&changed, split(&path).0)?;
                if self.slot(&changed, &path).is_ok() {
                    return Err(ErrorKind::AlreadyExists.into());
                }
                let node = self.new_node(Content::default());
                changed.files.insert(path, Slot::Node(Arc::clone(&node)));
                Ok(node)
            }
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let changed = self.changed.lock().unwrap();
        let dir = dir.to_str().unwrap();
        self.exists(&changed, dir)?;
        Ok(self.names_in(&changed, dir))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let (mut changed, dir) = self.change(dir)?;
        self.exists(&changed, split(&dir).0)?;
        if self.exists(&changed, &dir).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        changed.directories.insert(dir, true);
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let (mut changed, dir) = self.change(dir)?;
        self.exists(&changed, &dir)?;
        if !self.names_in(&changed, &dir).is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        changed.directories.insert(dir, false);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let (mut changed, path) = self.change(path)?;
        if self.slot(&changed, &path).is_err() {
            changed.touched.remove(&path);
            return Err(ErrorKind::NotFound.into());
        }
        changed.files.insert(path, Slot::Gone);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut changed, from) = self.change(from)?;
        let to = text(to);
        changed.touched.insert(to.clone());
        let slot = self.slot(&changed, &from)?;
        changed.files.insert(from, Slot::Gone);
        changed.files.insert(to, slot);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // It changes nothing that can be seen.
        self.calls.take()?;
        let (mut changed, dir) = (self.changed.lock().unwrap(), text(dir));
        self.exists(&changed, &dir)?;
        let Changed { files, durable, directories, durable_directories, .. } = &mut *changed;
        let inside = files.iter().filter(|(path, _)| split(path).0 == dir);
        durable.extend(inside.map(|(path, slot)| (path.clone(), slot.clone())));
        let inside = directories.iter().filter(|(path, _)| split(path).0 == dir);
        durable_directories.extend(inside.map(|(path, is_there)| (path.clone(), *is_there)));
        Ok(())
    }

    fn lock_dir(&self, _dir: &Path) -> io::Result<DirectoryLock> {
        Ok(DirectoryLock::Held(Box::new(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_came_with_an_image_could_not_be_removed() {
        let files = ["/s/t/a", "/s/u/"].map(|path| (path.to_owned(), Arc::from([])));
        let disk = MemoryFileSystem::over(&Image::new(files.into()));
        let names = |disk: &MemoryFileSystem| -> Vec<_> {
            disk.list(Path::new("/s")).unwrap().into_iter().map(|entry| entry.name).collect()
        };
        assert_eq!(disk.remove_dir(Path::new("/s/t")).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        disk.remove_file(Path::new("/s/t/a")).unwrap();
        for dir in ["/s/t", "/s/u"] {
            disk.remove_dir(Path::new(dir)).unwrap();
            assert_eq!(disk.remove_dir(Path::new(dir)).unwrap_err().kind(), ErrorKind::NotFound);
        }
        assert_eq!(names(&disk), [""; 0]);
        assert_eq!(disk.files().into_keys().collect::<Vec<_>>(), ["/s/"]);
        assert_eq!(disk.durable_files().into_keys().collect::<Vec<_>>(), ["/s/t/a", "/s/u/"]);
        disk.sync_dir(Path::new("/s")).unwrap();
        assert_eq!(disk.durable_files().into_keys().collect::<Vec<_>>(), ["/s/"]);
        disk.create_dir(Path::new("/s/t")).unwrap();
        assert_eq!(names(&disk), ["t"]);
    }
}
