//! Rows that are compared.

use crate::harness::median;
use crate::peer::Kind;
use crate::results::Row;

/// Rows that did the same job, the best first.
pub(crate) struct Table<'a> {
    pub(crate) rows: Vec<&'a Row>,
}

impl<'a> Table<'a> {
    pub(super) fn first(&self) -> &'a Row {
        self.rows[0]
    }

    pub(crate) fn heading(&self) -> String {
        let Row { workload, title, .. } = self.first();
        format!("{workload} {title}")
    }

    pub(crate) fn subtitle(&self) -> String {
        let Row { variant, unit, .. } = self.first();
        if variant.is_empty() { unit.clone() } else { format!("{variant}; {unit}") }
    }

    pub(super) fn best(&self, who: Kind) -> Option<&'a Row> {
        self.rows.iter().copied().find(|row| row.who == who.word())
    }

    /// How many times the figure of `row` that of `other` is: the median over repetitions.
    pub(super) fn ratio(row: &Row, other: &Row) -> f64 {
        let ratios: Vec<f64> =
            row.samples.iter().zip(&other.samples).map(|(row, other)| row / other).collect();
        median(&ratios)
    }
}
