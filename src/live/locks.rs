//! Locks that processes hold of each other: bytes of `annals.live`. The system gives them back when a process dies.

use crate::error::Result;
use crate::io::File;

/// The byte that is locked while the spool is changed. Byte 0 is the owner's.
const SPOOL_BYTE: u64 = 1;
/// Groups and queues have bytes from here on, far behind any end of the file.
const GROUPS_FROM: u64 = 1 << 62;

/// The locks that one process takes.
#[derive(Debug, Clone)]
pub(crate) struct Locks {
    pub(super) file: File,
}

impl Locks {
    /// Makes a group this process's; false when it is another's. A second call of the same process succeeds.
    pub(crate) fn try_lock_group(&self, group: &str) -> Result<bool> {
        self.file.try_lock_byte(byte_of(group))
    }

    pub(crate) fn unlock_group(&self, group: &str) {
        // The system gives it back with the process.
        drop(self.file.unlock_byte(byte_of(group)));
    }

    /// The same of a queue, by the name of the file of its steps.
    pub(crate) fn try_lock_queue(&self, steps: &str) -> Result<bool> {
        self.file.try_lock_byte(byte_of(&format!("\0queue\0{steps}")))
    }

    pub(crate) fn unlock_queue(&self, steps: &str) {
        drop(self.file.unlock_byte(byte_of(&format!("\0queue\0{steps}"))));
    }

    /// For whoever changes the file of its steps.
    pub(crate) fn try_lock_steps(&self, steps: &str) -> Result<bool> {
        self.file.try_lock_byte(byte_of(&format!("\0steps\0{steps}")))
    }

    pub(crate) fn unlock_steps(&self, steps: &str) {
        drop(self.file.unlock_byte(byte_of(&format!("\0steps\0{steps}"))));
    }

    pub(crate) fn try_lock_spool(&self) -> Result<bool> {
        self.file.try_lock_byte(SPOOL_BYTE)
    }

    pub(crate) fn unlock_spool(&self) {
        drop(self.file.unlock_byte(SPOOL_BYTE));
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
