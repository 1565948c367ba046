//! Figures as a table or as JSON lines.

use crate::harness::Measured;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Table,
    JsonLines,
}

pub(crate) struct Report {
    style: Style,
}

impl Report {
    pub(crate) fn new(style: Style) -> Self {
        if style == Style::Table {
            println!(
                "ns per record; ratio to the row marked *, as the median of the ratios within each repetition"
            );
        }
        Self { style }
    }

    pub(crate) fn print(&mut self, workload: &str, measured: &Measured) {
        match self.style {
            Style::Table => table(workload, measured),
            Style::JsonLines => json_lines(workload, measured),
        }
    }
}

fn table(workload: &str, measured: &Measured) {
    println!("\n{workload}  {}, {} records", measured.title, measured.records);
    println!("  {:<42} {:>10} {:>22} {:>7}", "", "median", "least .. most", "ratio");
    for row in &measured.rows {
        let mark = if row.is_limit { "*" } else { " " };
        let (median, ratio) = (ns(row.median), row.ratio);
        let spread = format!("{} .. {}", ns(row.least), ns(row.most));
        println!("{mark} {:<42} {median:>10} {spread:>22} {ratio:>7.2}", row.name);
    }
}

/// Three digits are more than any machine repeats.
fn ns(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// Names hold no character that JSON escapes.
fn json_lines(workload: &str, measured: &Measured) {
    for row in &measured.rows {
        println!(
            "{{\"workload\":\"{workload}\",\"row\":\"{}\",\"records\":{},\"median_ns\":{:.2},\"least_ns\":{:.2},\
             \"most_ns\":{:.2},\"ratio\":{:.3},\"is_limit\":{}}}",
            row.name, measured.records, row.median, row.least, row.most, row.ratio, row.is_limit
        );
    }
}
