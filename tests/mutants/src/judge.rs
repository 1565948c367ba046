//! Whether the tests notice one mutant: those that reach it, quick ones and its own module's first, until one fails.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::compile::Program;
use crate::list::Mutant;
use crate::process::{End, Runner};
use crate::trace::Test;

/// The tests of the first run of a mutant take about this long, in seconds; of each further one four times as long.
const FIRST: f64 = 0.5;
/// A run may take this many times as long as without the mutant, and `patience` more.
const SLOWER: f64 = 3.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Caught,
    /// Caught too: a test did not end.
    Timeout,
    Missed,
}

/// Where a mutant is, for the switch and the traces.
#[derive(Debug, Clone, Copy)]
pub struct Switch {
    pub site: usize,
    /// From 1.
    pub variant: usize,
}

/// What tests there are.
pub struct Bench<'a> {
    pub runner: &'a Runner,
    pub programs: &'a [Program],
    pub tests: &'a [Test],
    pub patience: Duration,
    /// Gives what no test that reaches it noticed to all the others too.
    pub all: bool,
}

impl Bench<'_> {
    /// The outcome for `mutant`, and what noticed it.
    pub fn judge(&self, mutant: &Mutant, switch: Switch) -> Result<(Outcome, String)> {
        let (reaching, others): (Vec<_>, Vec<_>) =
            self.tests.iter().partition(|test| test.sites.contains(&switch.site));
        let reached = reaching.len();
        let mut steps = self.steps(reaching, &mutant.module());
        if self.all {
            steps.extend(self.steps(others, &mutant.module()));
        }
        let value = ((switch.site << 8) + switch.variant).to_string();
        for (program, tests) in steps {
            let program = &self.programs[program];
            let names: Vec<_> = tests.iter().map(|test| test.name.as_str()).collect();
            let seconds: f64 = tests.iter().map(|test| test.seconds).sum();
            let limit = self.patience + Duration::from_secs_f64(seconds * SLOWER);
            match self.runner.run(program, &names, ("ANNALS_MUTANT", &value), limit)? {
                End::Passed => {}
                End::Failed(by) => return Ok((Outcome::Caught, format!("{} {by}", program.name))),
                End::TimedOut => return Ok((Outcome::Timeout, program.name.clone())),
            }
        }
        Ok((Outcome::Missed, format!("{reached} tests reach it")))
    }

    /// Groups of tests of one program each, in the order in which they are likely to end the matter soonest.
    fn steps<'t>(&self, mut tests: Vec<&'t Test>, module: &str) -> Vec<(usize, Vec<&'t Test>)> {
        // A module's own tests notice most of what is changed in it.
        let cost =
            |test: &Test| if test.name.starts_with(module) { test.seconds / 10.0 } else { test.seconds };
        tests.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
        let mut steps: Vec<(usize, Vec<&Test>)> = Vec::new();
        let (mut budget, mut spent, mut group) = (FIRST, 0.0, 0);
        for test in tests {
            if spent > budget {
                (budget, spent, group) = (budget * 4.0, 0.0, steps.len());
            }
            spent += test.seconds;
            match steps[group..].iter_mut().find(|(program, _)| *program == test.program) {
                Some((_, tests)) => tests.push(test),
                None => steps.push((test.program, vec![test])),
            }
        }
        steps
    }
}
