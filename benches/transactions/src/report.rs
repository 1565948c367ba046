//! Commits a second, one line a workload, or JSON lines.

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
            println!("commits a second, medians; in brackets how many annals makes meanwhile");
        }
        Self { style }
    }

    pub(crate) fn print(&self, workload: &str, records: usize, measured: &Measured) {
        let commits = |ns: f64| 1e9 / ns / records as f64;
        if self.style == Style::Table {
            print!("{workload:<24}");
            for row in &measured.rows {
                print!("  {} {:.0}", row.name, commits(row.median));
                if !row.is_limit {
                    print!(" ({:.2})", row.ratio);
                }
            }
            println!();
            return;
        }
        for row in &measured.rows {
            println!(
                "{{\"workload\":\"{workload}\",\"title\":\"{}\",\"row\":\"{}\",\"records\":{},\"commits\":{:.1},\"least\":{:.1},\
                 \"most\":{:.1},\"ratio\":{:.3}}}",
                measured.title,
                row.name,
                measured.records,
                commits(row.median),
                commits(row.most),
                commits(row.least),
                row.ratio
            );
        }
    }
}
