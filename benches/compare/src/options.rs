//! The command line.

use std::path::PathBuf;

use crate::harness::Outcome;
use crate::results::Results;
use crate::scratch::Scratch;

pub(crate) struct Options {
    /// Words that are no option: workloads to run, or files to report.
    pub(crate) words: Vec<String>,
    pub(crate) repetitions: usize,
    /// Divides what is done: 1, or 20 in a quick run.
    pub(crate) scale: usize,
    pub(crate) large: bool,
    /// Only rows whose names contain it.
    pub(crate) row: String,
    /// Seconds that one run of a row may take, about.
    pub(crate) budget: f64,
    pub(crate) out: PathBuf,
    dir: PathBuf,
    json: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut options = Self {
            words: Vec::new(),
            repetitions: 5,
            scale: 1,
            large: false,
            row: String::new(),
            budget: 0.25,
            out: concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs").into(),
            dir: concat!(env!("CARGO_MANIFEST_DIR"), "/target").into(),
            json: None,
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--quick" => (options.repetitions, options.scale, options.budget) = (2, 20, 0.03),
                "--large" => options.large = true,
                "--repetitions" => options.repetitions = value()?.parse()?,
                "--row" => options.row = value()?,
                "--dir" => options.dir = value()?.into(),
                "--json" => options.json = Some(value()?.into()),
                "--out" => options.out = value()?.into(),
                other if other.starts_with('-') => return Err(format!("unknown option {other}").into()),
                _ => options.words.push(arg),
            }
        }
        Ok(options)
    }

    /// Whether a workload, or a part of one, is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| word.eq_ignore_ascii_case(name))
    }

    pub(crate) fn wants_row(&self, name: &str) -> bool {
        self.row.is_empty() || name.contains(&self.row)
    }

    /// So many, or fewer in a quick run; a multiple of 800, so that it can be cut into batches and shares.
    pub(crate) fn records(&self, full: usize) -> usize {
        (full / self.scale).next_multiple_of(800)
    }

    pub(crate) fn scratch(&self) -> Outcome<Scratch> {
        Scratch::new(&self.dir)
    }

    pub(crate) fn results(&self) -> Outcome<Results> {
        Results::create(self.json.as_deref())
    }
}
