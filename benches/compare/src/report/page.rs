//! What every document has.

use crate::harness::Outcome;
use crate::results::Line;

/// Writes a file and says so.
pub(super) fn save(path: &std::path::Path, text: &str) -> Outcome {
    std::fs::write(path, text)?;
    println!("{}", path.display());
    Ok(())
}

/// Where it was measured, as a paragraph.
pub(super) fn machines(lines: &[Line]) -> String {
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
