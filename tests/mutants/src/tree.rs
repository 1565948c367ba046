//! The copy of the repository that is changed, built and tested.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::list::Mutant;
use crate::rewrite::{Refused, rewrite};
use crate::sites::Sites;

/// The switch, which only the copy has.
const SWITCH: &str = include_str!("../switch.rs");
const LIB: &str = "src/lib.rs";

/// What git would commit, and where its copy is.
pub struct Tree {
    files: BTreeMap<String, Vec<u8>>,
    pub copy: PathBuf,
}

impl Tree {
    /// Reads the repository at `root`; nothing is written yet.
    pub fn read(root: &Path, copy: PathBuf) -> Result<Self> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()?;
        let mut files = BTreeMap::new();
        for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            let path = root.join(name);
            if path.is_file() && !name.starts_with("tests/mutants/") {
                files.insert(name.to_owned(), fs::read(path)?);
            }
        }
        if !files.contains_key(LIB) {
            return Err(format!("`git ls-files` in {} names no {LIB}", root.display()).into());
        }
        Ok(Self { files, copy })
    }

    /// Of the mutants and everything that is built: runs with the same one judge the same source with the same tests.
    pub fn digest(&self, mutants: &[Mutant]) -> String {
        let mut hash = Fnv::new();
        for (name, content) in &self.files {
            if ["src/", "tests/", "Cargo.", ".cargo/"].iter().any(|part| name.starts_with(part)) {
                hash.add(name.as_bytes());
                hash.add(content);
            }
        }
        hash.add(SWITCH.as_bytes());
        mutants.iter().for_each(|mutant| hash.add(mutant.name.as_bytes()));
        format!("{:016x}", hash.0)
    }

    /// Writes the copy with its switches. A file that stays the same keeps its time, so that cargo need not build it anew.
    pub fn write(&self, sites: &Sites, refused: &Refused) -> Result {
        remove_others(&self.copy, &self.copy, &self.files)?;
        for (name, content) in &self.files {
            let path = self.copy.join(name);
            if name == LIB {
                let text = str::from_utf8(content)?.to_owned() + "\npub(crate) mod mutant;\n";
                write_if_changed(&path, text.as_bytes())?;
            } else if sites.all.iter().any(|site| site.file == *name) {
                let text = rewrite(name, str::from_utf8(content)?, sites, refused);
                write_if_changed(&path, text.as_bytes())?;
            } else {
                write_if_changed(&path, content)?;
            }
        }
        write_if_changed(&self.copy.join("src/mutant.rs"), SWITCH.as_bytes())
    }
}

fn write_if_changed(path: &Path, content: &[u8]) -> Result {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(fs::write(path, content)?)
}

/// A file that is no longer in the repository could be a test that is no longer in it.
fn remove_others(copy: &Path, directory: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result {
    if !directory.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.strip_prefix(copy)?.to_str().unwrap_or_default();
        if path.is_dir() {
            remove_others(copy, &path, files)?;
        } else if !files.contains_key(name) && name != "src/mutant.rs" {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// FNV-1a, 64 bits: the same number with every version of Rust.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&[0]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
