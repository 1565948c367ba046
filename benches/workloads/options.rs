//! What the command line asks for.

use std::path::PathBuf;

use crate::harness::Outcome;
use crate::report::Style;

pub(crate) struct Options {
    /// Beginnings of the names of workloads; none asks for all.
    filters: Vec<String>,
    /// Only rows whose name holds it; for a profile of one.
    pub(crate) row: String,
    pub(crate) dir: PathBuf,
    pub(crate) style: Style,
    pub(crate) repetitions: usize,
    /// Records are divided by it.
    pub(crate) scale: usize,
}

/// Where files are unless the command line says otherwise.
const FILES: &str = match option_env!("CARGO_TARGET_TMPDIR") {
    Some(dir) => dir,
    None => concat!(env!("CARGO_MANIFEST_DIR"), "/target"),
};

impl Options {
    pub(crate) fn from_args(mut args: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut options = Self {
            filters: Vec::new(),
            row: String::new(),
            dir: PathBuf::from(FILES),
            style: Style::Table,
            repetitions: 7,
            scale: 1,
        };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                // Cargo says it to every benchmark.
                "--bench" => {}
                "--json" => options.style = Style::JsonLines,
                "--quick" => (options.repetitions, options.scale) = (2, 20),
                "--dir" => options.dir = args.next().ok_or("--dir needs a directory")?.into(),
                "--row" => options.row = args.next().ok_or("--row needs a part of a name")?,
                "--repetitions" => options.repetitions = args.next().ok_or("how many?")?.parse()?,
                other if other.starts_with('-') => return Err(format!("unknown option {other}").into()),
                _ => options.filters.push(arg),
            }
        }
        Ok(options)
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.starts_with(filter))
    }
}
