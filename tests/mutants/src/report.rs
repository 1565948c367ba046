//! The score of each area.

use std::collections::BTreeMap;

use crate::journal::Entry;
use crate::judge::Outcome;
use crate::list::Mutant;

/// What became of the mutants of an area.
#[derive(Debug, Default, Clone, Copy)]
struct Row {
    listed: usize,
    fixed: usize,
    unviable: usize,
    caught: usize,
    timeout: usize,
    missed: usize,
}

/// What is known of one mutant.
pub enum Fate<'a> {
    /// Not switchable.
    Fixed,
    /// Does not compile.
    Unviable,
    /// Not in the sample.
    Left,
    Ran(&'a Entry),
}

#[derive(Debug, Default)]
pub struct Report {
    areas: BTreeMap<String, Row>,
}

impl Report {
    pub fn add(&mut self, mutant: &Mutant, fate: &Fate<'_>) {
        let row = self.areas.entry(mutant.area().to_owned()).or_default();
        row.listed += 1;
        match fate {
            Fate::Fixed => row.fixed += 1,
            Fate::Unviable => row.unviable += 1,
            Fate::Left => {}
            Fate::Ran(entry) => match entry.outcome {
                Outcome::Caught => row.caught += 1,
                Outcome::Timeout => row.timeout += 1,
                Outcome::Missed => row.missed += 1,
            },
        }
    }

    pub fn print(&self) {
        println!(
            "{:<12}{:>8}{:>16}{:>10}{:>8}{:>8}{:>9}{:>8}{:>8}",
            "area", "listed", "not switchable", "unviable", "run", "caught", "timeout", "missed", "score"
        );
        for (area, row) in &self.areas {
            row.print(area);
        }
        let total = self.areas.values().fold(Row::default(), |sum, row| Row {
            listed: sum.listed + row.listed,
            fixed: sum.fixed + row.fixed,
            unviable: sum.unviable + row.unviable,
            caught: sum.caught + row.caught,
            timeout: sum.timeout + row.timeout,
            missed: sum.missed + row.missed,
        });
        total.print("all");
    }

    /// The areas whose score is below `percent`.
    pub fn below(&self, percent: f64) -> Vec<&str> {
        let low = self.areas.iter().filter(|(_, row)| row.score().is_some_and(|score| score < percent));
        low.map(|(area, _)| area.as_str()).collect()
    }
}

impl Row {
    fn ran(&self) -> usize {
        self.caught + self.timeout + self.missed
    }

    /// Percent noticed of those that ran.
    fn score(&self) -> Option<f64> {
        (self.ran() > 0).then(|| (self.caught + self.timeout) as f64 * 100.0 / self.ran() as f64)
    }

    fn print(&self, area: &str) {
        let score = self.score().map_or_else(|| "-".to_owned(), |score| format!("{score:.1} %"));
        println!(
            "{area:<12}{:>8}{:>16}{:>10}{:>8}{:>8}{:>9}{:>8}{score:>8}",
            self.listed,
            self.fixed,
            self.unviable,
            self.ran(),
            self.caught,
            self.timeout,
            self.missed
        );
    }
}
