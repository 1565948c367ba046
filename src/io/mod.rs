//! The bottom layer: files, directories, maps, locks, syncs and clocks. It is the only code that talks to the operating system and the
//! only code with `unsafe`. It does not know that a log exists.
//!
//! [`FileSystem`], [`FileHandle`] and [`Clock`] are the interface: in production [`OsFileSystem`] and [`SystemClock`] implement it,
//! in tests a faulty or modelled file system and a [`ManualClock`].

mod allocate;
#[cfg(target_os = "linux")]
mod anchor;
mod blocks;
#[cfg(target_os = "linux")]
mod byte_locks;
mod caught;
mod clock;
mod cycles;
mod descriptors;
mod directory;
mod file;
mod id;
mod leads;
#[cfg(target_os = "linux")]
mod listing;
mod lock_file;
#[cfg(target_os = "linux")]
mod mapped_writes;
mod maps;
mod names;
mod os;
mod pool;
mod prefetch;
mod process;
mod read_only;
mod seam;
mod shared;
mod space;
mod threads;
#[cfg(target_os = "linux")]
mod ticks;
mod view;

pub(crate) use caught::{caught, in_drop, in_drop_each, undone_by_panic};
pub use clock::{Clock, ManualClock, SystemClock};
pub(crate) use clock::{Deadline, Stopwatch, pause};
pub(crate) use descriptors::{descriptor_limit, most_held};
pub(crate) use directory::{Directory, Guard, Link};
pub(crate) use file::{File, Unwritten};
pub(crate) use id::random_id;
pub(crate) use leads::Leads;
pub(crate) use maps::MapSlot;
pub(crate) use names::{NEW, Names, PublishFailure, as_seen};
pub use os::OsFileSystem;
pub(crate) use prefetch::{prefetch, will_need};
pub(crate) use process::Process;
pub use seam::{DirectoryHandle, DirectoryLock, Entry, EntryKind, FileHandle, FileSystem, OpenMode};
pub use shared::SharedMemory;
pub(crate) use threads::thread;
pub(crate) use ticks::tick;
pub use view::View;
pub(crate) use view::WeakView;
