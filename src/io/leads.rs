//! Where a path leads, seen from a directory that nothing is to be put into.

use std::path::{Component, Path, PathBuf};

use super::directory::Directory;
use crate::error::{Error, Result};

/// As many as Linux follows.
const MOST_LINKS: usize = 40;

/// Where a path leads, whatever links and `..` it goes by, and whatever of it is missing still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leads {
    /// To the directory, or to a place in it.
    Inside,
    Outside,
    /// Up from a directory that is not there: making that one would change where it leads.
    Astray,
}

impl Directory {
    /// Where a path leads that is whole. What lies in a directory goes with it, and is taken for its own.
    pub(crate) fn leads(&self, path: &Path) -> Result<Leads> {
        match self.there_of(path)? {
            There::Up(there) => Ok(if there.is_in(self)? { Leads::Inside } else { Leads::Outside }),
            There::Nothing => Ok(Leads::Outside),
            There::Astray => Ok(Leads::Astray),
        }
    }

    /// The directories that a path leads through, of those that are there, each under its one path: that of the path itself first, if it is there.
    pub(crate) fn around(&self, path: &Path) -> Result<Vec<Self>> {
        let There::Up(there) = self.there_of(path)? else { return Ok(Vec::new()) };
        Ok(there.path().ancestors().map(|above| self.at(above)).collect())
    }

    /// The places under which what stands under `path` has a name: that itself, and where it points, link by link.
    pub(crate) fn names_of(&self, path: &Path) -> Result<Vec<PathBuf>> {
        let whole = std::path::absolute(path).map_err(|e| Error::io(path, "find the place of", e))?;
        // Without a slash at its end, behind which there is no link.
        let mut names: Vec<PathBuf> = vec![whole.components().collect()];
        while let Some(name) = names.last().filter(|_| names.len() <= MOST_LINKS) {
            let target = self.fs().read_link(name).map_err(|e| Error::io(name, "read the link", e))?;
            let Some(target) = target else { break };
            names.push(name.parent().unwrap_or(name).join(target).components().collect());
        }
        Ok(names)
    }

    fn there_of(&self, path: &Path) -> Result<There> {
        for above in path.ancestors() {
            if self.at(above).exists()? {
                return self.elsewhere(above).map(There::Up);
            }
            if above.components().next_back() == Some(Component::ParentDir) {
                return Ok(There::Astray);
            }
        }
        Ok(There::Nothing)
    }
}

/// What is there of a path.
enum There {
    /// This directory, and what lies above it.
    Up(Directory),
    Nothing,
    /// It goes up from one that is not.
    Astray,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use super::*;
    use crate::io::OsFileSystem;

    #[test]
    fn a_path_leads_where_its_links_and_its_ways_up_do() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        let store = Directory::new(Arc::new(OsFileSystem), &at("store"));
        store.child("orders-0").ensure().unwrap();
        Directory::new(Arc::new(OsFileSystem), &at("beside")).ensure().unwrap();
        symlink(at("store/orders-0"), at("link")).unwrap();
        for (path, leads) in [
            ("store", Leads::Inside),
            ("store/orders-0/new/er", Leads::Inside),
            ("beside/../store/new", Leads::Inside),
            ("link", Leads::Inside),
            ("link/new", Leads::Inside),
            ("link/../new", Leads::Inside),
            ("store/../new", Leads::Outside),
            ("store/orders-0/../../new", Leads::Outside),
            ("store.old/new", Leads::Outside),
            ("missing/../store/new", Leads::Astray),
            ("store/missing/../../new", Leads::Astray),
        ] {
            assert_eq!(store.leads(&at(path)).unwrap(), leads, "{path}");
            assert_eq!(store.clone().anchored().unwrap().leads(&at(path)).unwrap(), leads, "{path}");
        }
    }
}
