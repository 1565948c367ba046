//! The outcomes so far, a line of JSON each, so that a run that was cut off can be continued.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::judge::Outcome;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The mutant's.
    pub name: String,
    pub outcome: Outcome,
    /// The test that failed, or how many did not.
    pub by: String,
    pub seconds: f64,
}

pub struct Journal {
    file: Mutex<File>,
    /// By the mutants' names.
    pub before: HashMap<String, Entry>,
}

impl Journal {
    /// A new journal of the source with this digest, or the one that is there, if it is of the same source.
    pub fn open(path: &Path, digest: &str, resume: bool) -> Result<Self> {
        let mut before = HashMap::new();
        if resume {
            let text = fs::read_to_string(path).map_err(|e| format!("--resume: {}: {e}", path.display()))?;
            let mut lines = text.lines();
            if lines.next() != Some(digest) {
                return Err("--resume: source, tests or list of mutants are not what they were".into());
            }
            for line in lines {
                // A last line can be half: what wrote it was cut off.
                if let Ok(entry) = serde_json::from_str::<Entry>(line) {
                    before.insert(entry.name.clone(), entry);
                }
            }
        } else {
            fs::write(path, format!("{digest}\n"))?;
        }
        let mut file = OpenOptions::new().append(true).open(path)?;
        if resume {
            writeln!(file)?;
        }
        Ok(Self { file: Mutex::new(file), before })
    }

    pub fn add(&self, entry: &Entry) -> Result {
        let mut file = self.file.lock().map_err(|e| e.to_string())?;
        Ok(writeln!(file, "{}", serde_json::to_string(entry)?)?)
    }
}
