//! Documents and pictures from a file of results.

mod bars;
mod comparison;
mod curves;
mod scaling;
mod svg;

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

/// Writes a file and says so.
fn save(path: &std::path::Path, text: &str) -> Outcome {
    std::fs::write(path, text)?;
    println!("{}", path.display());
    Ok(())
}

/// Where it was measured, as a paragraph.
fn machines(lines: &[Line]) -> String {
    let mut text = String::new();
    let machines =
        lines.iter().filter_map(|line| if let Line::Machine(machine) = line { Some(machine) } else { None });
    let mut last = String::new();
    for machine in machines {
        let one = format!(
            "{} cores of {}, {} GiB, Linux {}, {}; annals at {}.",
            machine.cores,
            machine.processor,
            machine.memory_gib,
            machine.kernel,
            machine.file_system,
            machine.commit
        );
        if one != last {
            text += &format!("{one}\n");
            last = one;
        }
        text += &format!("`compare {}`\n", machine.command);
    }
    text
}
