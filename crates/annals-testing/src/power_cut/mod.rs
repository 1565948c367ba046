//! A disk in memory whose power can be cut.
//!
//! It is weaker than any real one. What was written and not synced is split into units of 512 bytes; each of them, each length
//! and each name that was not synced is lost or kept by itself, in any order. Units also come back as zeros, as garbage or
//! half written. A sync that was made to fail leaves the page cache lying, as Linux does: reads show what no later sync writes.
//!
//! [`PowerCutFileSystem`] is all that most tests need. Those that want to try *every* state a cut can leave take the
//! [`Disk`] and decide: [`points`], [`all_fates`], [`drawn_fates`], [`cut`].

mod cut;
mod disk;
mod file_system;

pub use cut::{Fate, Point, all_fates, cut, drawn_fates, points};
pub use disk::{DirectoryNode, Disk, FileNode, NameChange, Names, Node, Piece, UNIT};
pub use file_system::{Change, Observer, PowerCutFileSystem};
