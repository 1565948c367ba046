//! A disk in memory whose power can be cut.
//!
//! It is weaker than any real one. What was written but not synced is split into units of 512 bytes; each unit, each length
//! and each name that was not synced is lost or kept on its own, in any order. Units also come back as zeros, as garbage or
//! half written. A sync that was made to fail leaves the page cache wrong, as on Linux: reads show what no later sync writes.
//!
//! [`PowerCutFileSystem`] is all that most tests need. Tests that want to try *every* state that a cut can leave take the
//! [`Disk`] and decide: [`points`], [`all_fates`], [`drawn_fates`], [`cut`].

mod cut;
mod disk;
mod file_system;

pub use cut::{Fate, Point, all_fates, cut, drawn_fates, points};
pub use disk::{DirectoryNode, Disk, FileNode, NameChange, Names, Node, Piece, UNIT};
pub use file_system::{Change, Observer, PowerCutFileSystem};
