//! What a disk holds, for any number of file systems in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::memory::{split, text};

/// The content of every file, by its path, a text with `/`. A path that ends with `/` is a directory without a file below it.
pub type Files = BTreeMap<String, Arc<[u8]>>;

/// Files that never change, and the names in each directory.
#[derive(Debug, Default)]
pub struct Image {
    pub(crate) files: Files,
    pub(crate) names: BTreeMap<String, Vec<String>>,
}

impl Image {
    /// Makes an image of these files, and the directories that they need.
    #[must_use]
    pub fn new(mut files: Files) -> Arc<Self> {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::from([("/".to_owned(), Vec::new())]);
        for path in files.keys() {
            let dir = match path.strip_suffix('/') {
                Some(dir) => {
                    names.entry(dir.to_owned()).or_default();
                    dir
                }
                None => {
                    let (dir, name) = split(path);
                    names.entry(dir.to_owned()).or_default().push(name.to_owned());
                    dir
                }
            };
            Path::new(dir).ancestors().skip(1).for_each(|above| _ = names.entry(text(above)).or_default());
        }
        files.retain(|path, _| !path.ends_with('/'));
        Arc::new(Self { files, names })
    }

    /// Returns the files.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }
}
