//! The command line.

use std::num::NonZero;
use std::time::Duration;

use crate::Result;

#[derive(Debug)]
pub struct Options {
    pub sample: usize,
    pub seed: u64,
    pub only: Vec<String>,
    pub jobs: usize,
    pub patience: Duration,
    pub all_tests: bool,
    pub resume: bool,
    pub at_least: Option<f64>,
}

pub const USAGE: &str = "\
  --sample N       so many of the mutants, chosen at random [all of them]
  --seed N         of the choice; a larger sample with the same seed contains the smaller one [1]
  --only TEXT      only mutants whose name contains this: a path, a line, a function; may be repeated
  --jobs N         mutants at a time [processors]
  --patience N     seconds that tests may take beyond three times their own time [30]
  --all-tests      gives what would be missed to the tests, too, that did not reach it when they were traced
  --resume         keeps the outcomes of the last run, if it was of the same source
  --at-least N     fails if fewer percent of an area's mutants are noticed";

impl Options {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let jobs = std::thread::available_parallelism().map_or(1, NonZero::get);
        let mut options = Self {
            sample: usize::MAX,
            seed: 1,
            only: Vec::new(),
            jobs,
            patience: Duration::from_secs(30),
            all_tests: false,
            resume: false,
            at_least: None,
        };
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{name}: a value is missing\n{USAGE}"));
            match name.as_str() {
                "--sample" => options.sample = value()?.parse()?,
                "--seed" => options.seed = value()?.parse()?,
                "--only" => options.only.push(value()?),
                "--jobs" => options.jobs = value()?.parse::<usize>()?.max(1),
                "--patience" => options.patience = Duration::from_secs(value()?.parse()?),
                "--all-tests" => options.all_tests = true,
                "--resume" => options.resume = true,
                "--at-least" => options.at_least = Some(value()?.parse()?),
                _ => return Err(format!("{name}: not an option\n{USAGE}").into()),
            }
        }
        Ok(options)
    }
}
