//! What is on the disk, what the system shows, and the changes that are in between.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "numbers of nodes and places in them were checked before"
)]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The number of bytes that the disk writes together, all of them or none.
pub const UNIT: usize = 512;
/// The node of `/`.
const ROOT: usize = 0;

/// The names in a directory, each with the number of the node under it.
pub type Names = BTreeMap<String, usize>;

/// Files and directories. Clones share what neither of them changes.
#[derive(Debug, Clone)]
pub struct Disk {
    /// By number. What cannot be reached any more may be left out.
    nodes: Vec<Option<Arc<Node>>>,
}

/// The node that a number refers to.
#[derive(Debug, Clone)]
pub enum Node {
    /// A file.
    File(FileNode),
    /// A directory.
    Directory(DirectoryNode),
}

/// One file, under whatever names.
#[derive(Debug, Clone, Default)]
pub struct FileNode {
    /// What a power cut leaves for certain.
    pub durable: Arc<Vec<u8>>,
    /// What reads show.
    pub current: Arc<Vec<u8>>,
    /// Written but not synced, in the order of the writes; none spans two units.
    pub pieces: Vec<Piece>,
    /// Lengths that it has had since the last sync.
    pub lengths: Vec<usize>,
    /// True if a sync has failed: `current` shows bytes that no later sync will write.
    pub lies: bool,
    /// A mark of an [`Observer`](super::Observer); the disk itself does not use it.
    pub sealed: usize,
}

/// Bytes that were written, in one unit.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The position in the file.
    pub at: usize,
    /// The bytes.
    pub bytes: Arc<[u8]>,
}

/// One directory.
#[derive(Debug, Clone, Default)]
pub struct DirectoryNode {
    /// What a power cut leaves for certain.
    pub durable: Arc<Names>,
    /// What the system shows.
    pub current: Arc<Names>,
    /// Changes that are not synced, in the order in which they were made.
    pub changes: Vec<NameChange>,
}

/// A change of a directory.
#[derive(Debug, Clone)]
pub enum NameChange {
    /// A name was added.
    Link {
        /// The name.
        name: String,
        /// The number of the node under it.
        node: usize,
    },
    /// A name was removed.
    Unlink {
        /// The name.
        name: String,
    },
    /// A name was replaced by another.
    Rename {
        /// The old name.
        from: String,
        /// The new name.
        to: String,
    },
}

impl Piece {
    /// Writes it into the bytes of its file.
    pub fn put(&self, image: &mut Vec<u8>) {
        let end = self.at + self.bytes.len();
        if image.len() < end {
            image.resize(end, 0);
        }
        image[self.at..end].copy_from_slice(&self.bytes);
    }
}

impl NameChange {
    /// Returns the names that the change concerns.
    pub fn names(&self) -> [&String; 2] {
        match self {
            Self::Link { name, .. } | Self::Unlink { name } => [name, name],
            Self::Rename { from, to } => [from, to],
        }
    }

    /// Applies the change.
    pub fn apply(&self, names: &mut Names) {
        match self {
            Self::Link { name, node } => _ = names.insert(name.clone(), *node),
            Self::Unlink { name } => _ = names.remove(name),
            Self::Rename { from, to } => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

impl FileNode {
    /// Returns true when a power cut decides nothing about it.
    pub fn is_synced(&self) -> bool {
        self.pieces.is_empty() && self.lengths.is_empty()
    }

    /// Writes bytes at a position.
    pub fn write(&mut self, bytes: &[u8], at: usize) {
        let end = at + bytes.len();
        let mut from = at;
        while from < end {
            let until = end.min((from / UNIT + 1) * UNIT);
            self.pieces.push(Piece { at: from, bytes: bytes[from - at..until - at].into() });
            from = until;
        }
        let current = Arc::make_mut(&mut self.current);
        if current.len() < end {
            current.resize(end, 0);
            self.lengths.push(end);
        }
        current[at..end].copy_from_slice(bytes);
    }

    /// Truncates it, or extends it with zeros.
    pub fn set_len(&mut self, len: usize) {
        if len == self.current.len() {
            return;
        }
        if len < self.current.len() {
            self.pieces.push(Piece { at: len, bytes: vec![0; self.current.len() - len].into() });
        }
        Arc::make_mut(&mut self.current).resize(len, 0);
        self.lengths.push(len);
    }

    /// Makes it durable, except for what a failed sync left.
    pub fn sync(&mut self) {
        if self.lies {
            let durable = Arc::make_mut(&mut self.durable);
            self.pieces.iter().for_each(|piece| piece.put(durable));
            durable.resize(self.current.len(), 0);
        } else {
            self.durable = Arc::clone(&self.current);
        }
        self.pieces.clear();
        self.lengths.clear();
    }

    /// Fails a sync: the pages count as clean from here on; the length is in the journal, which works.
    pub fn fail_sync(&mut self) {
        self.lies = true;
        self.pieces.clear();
    }

    /// The system needs the memory of clean pages: what is read of those that `goes` chooses comes from the disk again.
    fn evict(&mut self, mut goes: impl FnMut() -> bool) {
        let current = Arc::make_mut(&mut self.current);
        for from in (0..current.len()).step_by(UNIT) {
            let until = current.len().min(from + UNIT);
            let is_dirty = self.pieces.iter().any(|piece| piece.at / UNIT == from / UNIT);
            if is_dirty || !goes() {
                continue;
            }
            let there = self.durable.get(from..until.min(self.durable.len())).unwrap_or_default();
            current[from..until].fill(0);
            current[from..from + there.len()].copy_from_slice(there);
        }
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

impl Disk {
    /// Returns an empty disk.
    pub fn new() -> Self {
        let root = Node::Directory(DirectoryNode::default());
        Self { nodes: vec![Some(Arc::new(root))] }
    }

    /// Iterates over all files and directories.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.iter().flatten()
    }

    /// Returns a disk with the same nodes, each as `change` makes it.
    pub fn map(&self, mut change: impl FnMut(&Arc<Node>) -> Arc<Node>) -> Self {
        Self { nodes: self.nodes.iter().map(|node| node.as_ref().map(&mut change)).collect() }
    }

    /// Returns the disk without the nodes that no name leads to, whatever a crash does to the names.
    pub fn reachable(&self) -> Self {
        let mut nodes = vec![None; self.nodes.len()];
        let mut open = vec![ROOT];
        while let Some(number) = open.pop() {
            if nodes[number].is_some() {
                continue;
            }
            nodes[number].clone_from(&self.nodes[number]);
            if let Some(Node::Directory(directory)) = self.nodes[number].as_deref() {
                open.extend(directory.durable.values().chain(directory.current.values()));
                open.extend(directory.changes.iter().filter_map(|change| match change {
                    NameChange::Link { node, .. } => Some(*node),
                    _ => None,
                }));
            }
        }
        Self { nodes }
    }

    /// Returns true when some file shows what is not on the disk and never will be.
    pub fn lies(&self) -> bool {
        self.nodes().any(|node| matches!(&**node, Node::File(file) if file.lies))
    }

    /// Makes the system forget those of the pages that no sync will write which `goes` chooses.
    pub fn evict(&mut self, mut goes: impl FnMut() -> bool) {
        for node in self.nodes.iter_mut().flatten() {
            if matches!(&**node, Node::File(file) if file.lies)
                && let Node::File(file) = Arc::make_mut(node)
            {
                file.evict(&mut goes);
            }
        }
    }

    /// Returns the number of the node under a path.
    pub fn find(&self, path: &Path) -> io::Result<usize> {
        let path = path.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        path.split('/').filter(|name| !name.is_empty()).try_fold(ROOT, |at, name| {
            self.directory(at)?.current.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    /// Returns the directory that holds a path, and the path's name in it.
    pub fn place(&self, path: &Path) -> io::Result<(usize, String)> {
        let parent = self.find(path.parent().unwrap_or(Path::new("/")))?;
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok((parent, name.to_owned()))
    }

    /// Returns the node of that number.
    pub fn node(&self, number: usize) -> &Node {
        self.nodes[number].as_ref().unwrap()
    }

    /// Returns the directory of that number.
    pub fn directory(&self, number: usize) -> io::Result<&DirectoryNode> {
        match self.nodes.get(number).and_then(Option::as_deref) {
            Some(Node::Directory(directory)) => Ok(directory),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Returns the file of that number.
    pub fn file(&self, number: usize) -> io::Result<&FileNode> {
        match self.nodes.get(number).and_then(Option::as_deref) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// Returns the file of that number, to change it.
    pub fn file_mut(&mut self, number: usize) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(number).and_then(Option::as_mut).map(Arc::make_mut) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn directory_mut(&mut self, number: usize) -> io::Result<&mut DirectoryNode> {
        match self.nodes.get_mut(number).and_then(Option::as_mut).map(Arc::make_mut) {
            Some(Node::Directory(directory)) => Ok(directory),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Creates a file or a directory, and returns its number.
    pub fn create(&mut self, (parent, name): (usize, String), node: Node) -> io::Result<usize> {
        if self.directory(parent)?.current.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let number = self.nodes.len();
        self.nodes.push(Some(Arc::new(node)));
        self.change_names(parent, NameChange::Link { name, node: number })?;
        Ok(number)
    }

    /// Changes a directory.
    pub fn change_names(&mut self, parent: usize, change: NameChange) -> io::Result<()> {
        let directory = self.directory_mut(parent)?;
        if !matches!(change, NameChange::Link { .. }) && !directory.current.contains_key(change.names()[0]) {
            return Err(io::ErrorKind::NotFound.into());
        }
        change.apply(Arc::make_mut(&mut directory.current));
        directory.changes.push(change);
        Ok(())
    }

    /// Makes the names in a directory durable.
    pub fn sync_names(&mut self, number: usize) -> io::Result<()> {
        let directory = self.directory_mut(number)?;
        directory.durable = Arc::clone(&directory.current);
        directory.changes.clear();
        Ok(())
    }
}
