//! A file system in memory, which knows what a kill and what a power cut would leave.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::io::{DirectoryLock, Entry, EntryKind, FileHandle, FileSystem, OpenMode, View};
use crate::locks::Mutex;

/// What the disk holds. No file may grow beyond it.
const MOST_BYTES: u64 = 64 << 20;

/// Files and directories. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    tree: Arc<Mutex<Tree>>,
}

#[derive(Debug, Default)]
struct Tree {
    files: BTreeMap<PathBuf, Arc<Node>>,
    /// Names as of the last sync of their directory.
    durable_files: BTreeMap<PathBuf, Arc<Node>>,
    directories: BTreeSet<PathBuf>,
}

#[derive(Debug, Default)]
struct Node {
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// As of the last sync.
    durable: Vec<u8>,
}

/// The content of every file, by path.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

impl Memory {
    /// A disk with these files, all of them durable.
    pub(super) fn with(files: Files) -> Self {
        let memory = Self { tree: Arc::default() };
        let mut tree = memory.tree.lock();
        tree.directories.insert(PathBuf::from("/"));
        for (path, bytes) in files {
            tree.directories.extend(path.ancestors().skip(1).map(Path::to_path_buf));
            let content = Content { durable: bytes.clone(), bytes };
            let node = Arc::new(Node { content: Mutex::new(content) });
            tree.durable_files.insert(path.clone(), Arc::clone(&node));
            tree.files.insert(path, node);
        }
        drop(tree);
        memory
    }

    /// What is there now, and what a killed process leaves.
    pub(super) fn files(&self) -> Files {
        let tree = self.tree.lock();
        let copy = |(path, node): (&PathBuf, &Arc<Node>)| (path.clone(), node.content.lock().bytes.clone());
        tree.files.iter().map(copy).collect()
    }

    /// What a power cut leaves when everything that was not synced is lost.
    pub(super) fn durable_files(&self) -> Files {
        let tree = self.tree.lock();
        let copy = |(path, node): (&PathBuf, &Arc<Node>)| (path.clone(), node.content.lock().durable.clone());
        tree.durable_files.iter().map(copy).collect()
    }
}

impl Tree {
    fn check_dir(&self, dir: &Path) -> io::Result<()> {
        if self.directories.contains(dir) { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
    }

    fn get(&self, path: &Path) -> io::Result<Arc<Node>> {
        self.files.get(path).cloned().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

fn is_in(dir: &Path, path: &Path) -> bool {
    path.parent() == Some(dir)
}

impl FileSystem for Memory {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let mut tree = self.tree.lock();
        tree.check_dir(path.parent().unwrap_or(Path::new("")))?;
        if mode == OpenMode::CreateNew {
            if tree.files.contains_key(path) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            tree.files.insert(path.to_path_buf(), Arc::default());
        }
        Ok(tree.get(path)?)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let tree = self.tree.lock();
        tree.check_dir(dir)?;
        let files = tree.files.keys().map(|path| (path, EntryKind::File));
        let directories = tree.directories.iter().map(|path| (path, EntryKind::Directory));
        let inside = files.chain(directories).filter(|(path, _)| is_in(dir, path));
        let entry = |(path, kind): (&PathBuf, EntryKind)| {
            path.file_name().and_then(|name| name.to_str()).map(|name| Entry { name: name.to_owned(), kind })
        };
        Ok(inside.filter_map(entry).collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if self.tree.lock().directories.insert(dir.to_path_buf()) {
            Ok(())
        } else {
            Err(ErrorKind::AlreadyExists.into())
        }
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        tree.check_dir(dir)?;
        if tree.files.keys().chain(&tree.directories).any(|path| is_in(dir, path)) {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        tree.directories.remove(dir);
        tree.durable_files.retain(|path, _| !is_in(dir, path));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.tree.lock().files.remove(path).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        let node = tree.get(from)?;
        tree.files.remove(from);
        tree.files.insert(to.to_path_buf(), node);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        tree.check_dir(dir)?;
        let Tree { files, durable_files, .. } = &mut *tree;
        durable_files.retain(|path, _| !is_in(dir, path));
        let inside = files.iter().filter(|(path, _)| is_in(dir, path));
        durable_files.extend(inside.map(|(path, node)| (path.clone(), Arc::clone(node))));
        Ok(())
    }

    fn lock_dir(&self, _dir: &Path) -> io::Result<DirectoryLock> {
        Ok(DirectoryLock::Held(Box::new(())))
    }
}

impl FileHandle for Node {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().bytes.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let content = self.content.lock();
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        let there = content.bytes.get(position..).unwrap_or_default();
        let pairs = buf.iter_mut().zip(there);
        let len = pairs.len();
        pairs.for_each(|(to, from)| *to = *from);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let end = position.saturating_add(bytes.len() as u64);
        let len = self.len()?.max(end);
        self.set_len(len)?;
        let (Ok(position), Ok(end)) = (usize::try_from(position), usize::try_from(end)) else {
            return Err(ErrorKind::StorageFull.into());
        };
        self.content.lock().bytes.get_mut(position..end).unwrap_or_default().copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        match usize::try_from(len) {
            Ok(size) if len <= MOST_BYTES => {
                self.content.lock().bytes.resize(size, 0);
                Ok(())
            }
            _ => Err(ErrorKind::StorageFull.into()),
        }
    }

    /// Nothing is allocated ahead: sixty-four kibibytes of zeros for every file are most of what a run would do.
    fn allocate(&self, _len: u64) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut content = self.content.lock();
        content.durable = content.bytes.clone();
        Ok(())
    }

    fn map(&self, _len: u64) -> io::Result<Option<View>> {
        Ok(None)
    }
}
