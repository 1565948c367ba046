//! Documents and pictures from a file of results.

mod bars;
mod comparison;
mod curves;
mod page;
mod scaling;
mod svg;
mod table;

use crate::harness::Outcome;
use crate::options::Options;
use crate::results::Line;

/// Writes what the lines of the files are good for into the directory of documents.
pub(crate) fn report(options: &Options) -> Outcome {
    let mut lines = Vec::new();
    for path in &options.words {
        for line in std::fs::read_to_string(path)?.lines() {
            lines.push(serde_json::from_str::<Line>(line)?);
        }
    }
    std::fs::create_dir_all(&options.out)?;
    if lines.iter().any(|line| matches!(line, Line::Row(_))) {
        comparison::write(&lines, &options.out)?;
    }
    if lines.iter().any(|line| matches!(line, Line::Point(_) | Line::Latency(_) | Line::Memory(_))) {
        scaling::write(&lines, &options.out)?;
    }
    Ok(())
}
