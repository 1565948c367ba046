//! Locks that processes hold of each other: bytes of `annals.live`. The system gives them back when a process dies.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::{File, Process};
use crate::locks::Mutex;

/// The byte that is locked while the spool is changed. Byte 0 is the owner's.
const SPOOL_BYTE: u64 = 1;
/// Groups and queues have bytes from here on, far behind any end of the file.
const GROUPS_FROM: u64 = 1 << 62;

/// The locks that one process takes.
#[derive(Debug, Clone)]
pub(crate) struct Locks {
    file: File,
    /// A child of a fork has its parent's locks, and they are not its own to give back.
    process: Process,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: BTreeSet<u64>,
    /// None is taken any more.
    is_barred: bool,
}

impl Locks {
    pub(super) fn new(file: File) -> Self {
        Self { file, process: Process::current(), held: Arc::default() }
    }

    pub(super) fn try_lock(&self, at: u64) -> Result<bool> {
        let mut held = self.held.lock();
        if held.is_barred {
            let path = self.file.path();
            return Err(Error::StoreClosed { path: path.parent().unwrap_or(path).to_path_buf() });
        }
        let is_locked = self.file.try_lock_byte(at)?;
        if is_locked {
            held.bytes.insert(at);
        }
        Ok(is_locked)
    }

    fn unlock(&self, at: u64) {
        if self.process.may_unlock() && self.held.lock().bytes.remove(&at) {
            // The system gives it back with the process.
            drop(self.file.unlock_byte(at));
        }
    }

    /// From here on none is taken.
    pub(crate) fn bar(&self) {
        self.held.lock().is_barred = true;
    }

    /// Gives all of them back, whoever has them still: nobody does anything for which they are there any more. They were [barred](Self::bar),
    /// and nobody is in the middle of a change of a file: what another process did there meanwhile would be lost by it.
    pub(crate) fn give_back(&self) {
        let held = std::mem::take(&mut self.held.lock().bytes);
        for at in held.into_iter().filter(|_| self.process.may_unlock()) {
            drop(self.file.unlock_byte(at));
        }
    }

    /// Makes a group this process's; false when it is another's. A second call of the same process succeeds.
    pub(crate) fn try_lock_group(&self, group: &str) -> Result<bool> {
        self.try_lock(byte_of(group))
    }

    pub(crate) fn unlock_group(&self, group: &str) {
        self.unlock(byte_of(group));
    }

    /// The same of a queue, by the name of the file of its steps.
    pub(crate) fn try_lock_queue(&self, steps: &str) -> Result<bool> {
        self.try_lock(byte_of(&format!("\0queue\0{steps}")))
    }

    pub(crate) fn unlock_queue(&self, steps: &str) {
        self.unlock(byte_of(&format!("\0queue\0{steps}")));
    }

    /// For whoever changes the file of its steps.
    pub(crate) fn try_lock_steps(&self, steps: &str) -> Result<bool> {
        self.try_lock(byte_of(&format!("\0steps\0{steps}")))
    }

    pub(crate) fn unlock_steps(&self, steps: &str) {
        self.unlock(byte_of(&format!("\0steps\0{steps}")));
    }

    pub(crate) fn try_lock_spool(&self) -> Result<bool> {
        self.try_lock(SPOOL_BYTE)
    }

    pub(crate) fn unlock_spool(&self) {
        self.unlock(SPOOL_BYTE);
    }
}

/// FNV-1a of the name. Two names with the same byte keep each other out, and nothing else.
fn byte_of(group: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in group.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    GROUPS_FROM + hash % (GROUPS_FROM - 1)
}
