//! A group that stays this process's though its consumers may be gone.

use std::sync::Arc;

use crate::error::Result;
use crate::group::group::Group;
use crate::group::groups::Groups;
use crate::io::Process;

/// As long as this is there no other process has the group: it could commit below what is to be committed here, or over what nobody knows
/// whether it was.
#[derive(Debug)]
pub(crate) struct TakenGroup {
    groups: Arc<Groups>,
    group: Arc<Group>,
    process: Process,
}

impl TakenGroup {
    pub(crate) fn new(groups: &Arc<Groups>, name: &str) -> Result<Self> {
        let group = groups.take(name)?;
        Ok(Self { groups: Arc::clone(groups), group, process: Process::current() })
    }
}

impl Drop for TakenGroup {
    fn drop(&mut self) {
        // A child's copy holds nothing, and another thread may have held the locks when the child was made.
        if self.process.is_current() {
            self.groups.give_back(&self.group);
        }
    }
}
