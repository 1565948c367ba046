//! Directories, from outside.

use std::fs;
use std::path::Path;

use crate::Answer;

/// A directory with everything in it, but for what only a running broker needs.
pub fn copy(from: &Path, to: &Path) -> Answer<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if entry.file_name() != ".lock" {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
