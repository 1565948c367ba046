//! A file that is there whole, or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// Written beside its place under another name, and put there when all of it is on the disk: what stood there stays until then.
/// Dropped before that, nothing of it is left.
#[derive(Debug)]
pub(super) struct NewFile {
    to: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
    is_placed: bool,
}

impl NewFile {
    pub(super) fn at(named: &Path) -> Outcome<Self> {
        let cannot = |error| Failure::at("make", named, error);
        // A link stays one.
        let path = fs::canonicalize(named).unwrap_or_else(|_| named.to_path_buf());
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let temporary = path.with_file_name(format!(".{name}.annals-{}", std::process::id()));
        // What has the name is of a process that was killed; a link there is not followed.
        if let Err(error) = fs::remove_file(&temporary)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(cannot(error));
        }
        let file = File::create_new(&temporary).map_err(cannot)?;
        let new = Self { to: BufWriter::with_capacity(256 << 10, file), temporary, path, is_placed: false };
        if let Ok(old) = fs::metadata(&new.path) {
            new.to.get_ref().set_permissions(old.permissions()).map_err(cannot)?;
        }
        Ok(new)
    }

    pub(super) fn writer(&mut self) -> &mut impl Write {
        &mut self.to
    }

    /// When it returns the file survives a power cut.
    pub(super) fn put_in_place(mut self) -> Outcome {
        let path = self.path.clone();
        let failed = |error| Failure::at("write", &path, error);
        self.to.flush().map_err(failed)?;
        self.to.get_ref().sync_all().map_err(failed)?;
        fs::rename(&self.temporary, &self.path).map_err(failed)?;
        self.is_placed = true;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new("."))).and_then(|one| one.sync_all()).map_err(failed)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_placed {
            drop(fs::remove_file(&self.temporary));
        }
    }
}
