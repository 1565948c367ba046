//! Figures on their way to a file of JSON lines and to the terminal.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::harness::{Outcome, digits, median};

/// One line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Line {
    Machine(Machine),
    Row(Row),
    Kill(Kill),
    Sync(Sync),
    Point(Point),
    Latency(Latency),
    Memory(Memory),
}

/// Where and how it was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) command: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
    pub(crate) memory_gib: u64,
    /// Of annals.
    pub(crate) commit: String,
}

/// One row of one workload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) title: String,
    /// Class, codec and threads: what tells this table from others of the workload.
    pub(crate) variant: String,
    pub(crate) class: String,
    pub(crate) codec: String,
    pub(crate) threads: usize,
    pub(crate) row: String,
    /// `bare`, `annals` or `peer`.
    pub(crate) who: String,
    pub(crate) call: String,
    pub(crate) note: String,
    pub(crate) records: usize,
    pub(crate) unit: String,
    pub(crate) samples: Vec<f64>,
}

/// What a SIGKILL left.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kill {
    pub(crate) row: String,
    pub(crate) class: String,
    pub(crate) call: String,
    pub(crate) appended: usize,
    pub(crate) found: usize,
    /// Whether the bytes are those of the records found.
    pub(crate) sound: bool,
}

/// How many syncs an append makes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sync {
    pub(crate) row: String,
    pub(crate) class: String,
    pub(crate) call: String,
    pub(crate) appended: usize,
    pub(crate) fsync: f64,
    pub(crate) fdatasync: f64,
    pub(crate) msync: f64,
    pub(crate) sync_file_range: f64,
    /// Files opened with O_SYNC or O_DSYNC.
    pub(crate) synchronous_files: usize,
}

/// One point of a curve.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) plot: String,
    pub(crate) title: String,
    pub(crate) series: String,
    pub(crate) x_name: String,
    pub(crate) x: f64,
    pub(crate) unit: String,
    pub(crate) samples: Vec<f64>,
}

/// From a send on one thread to the record on another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) row: String,
    pub(crate) title: String,
    pub(crate) messages: usize,
    /// Microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) most: f64,
}

/// What a process of its own took, in KiB.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) row: String,
    pub(crate) what: String,
    /// VmHWM.
    pub(crate) peak: u64,
    /// VmRSS at the end of the work.
    pub(crate) resident: u64,
    /// RssAnon at the end of the work.
    pub(crate) anonymous: u64,
    /// RssFile at the end of the work: pages of mapped files, which the system takes back when it needs them.
    pub(crate) file: u64,
}

/// A file of lines, and the terminal.
pub(crate) struct Results {
    file: Option<File>,
    table: String,
}

impl Results {
    pub(crate) fn create(path: Option<&Path>) -> Outcome<Self> {
        // Lines are added: several commands may share a file.
        let file = path.map(|path| File::options().create(true).append(true).open(path)).transpose()?;
        let mut results = Self { file, table: String::new() };
        results.write(&Line::Machine(machine()))?;
        Ok(results)
    }

    pub(crate) fn add(&mut self, line: Line) -> Outcome {
        self.write(&line)?;
        self.print(&line);
        Ok(())
    }

    fn write(&mut self, line: &Line) -> Outcome {
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", serde_json::to_string(line)?)?;
        }
        Ok(())
    }

    fn heading(&mut self, title: String) {
        if self.table != title {
            println!("\n{title}");
            self.table = title;
        }
    }

    fn print(&mut self, line: &Line) {
        match line {
            Line::Machine(_) => {}
            Line::Row(row) => {
                self.heading(format!("{} {}: {} ({})", row.workload, row.variant, row.title, row.unit));
                let (least, most) = spread(&row.samples);
                let middle = digits(median(&row.samples));
                let records = row.records;
                println!(
                    "  {:<48} {middle:>10}  {:>10} .. {:<10} {records}",
                    row.row,
                    digits(least),
                    digits(most)
                );
            }
            Line::Kill(kill) => {
                self.heading("left by a SIGKILL behind the last append".into());
                let Kill { row, class, found, appended, sound, .. } = kill;
                let unsound = if *sound { "" } else { ", not those that were appended" };
                println!("  {row:<48} {class:<8} {found:>7} of {appended}{unsound}");
            }
            Line::Sync(sync) => {
                self.heading(
                    "syncs for each append: fsync, fdatasync, msync, sync_file_range; files opened O_(D)SYNC"
                        .into(),
                );
                let Sync { row, class, fsync, fdatasync, msync, sync_file_range, synchronous_files, .. } =
                    sync;
                println!(
                    "  {row:<48} {class:<8} {fsync:>6.2} {fdatasync:>6.2} {msync:>6.2} {sync_file_range:>6.2} {synchronous_files:>4}"
                );
            }
            Line::Point(point) => {
                self.heading(format!("{}: {} ({})", point.plot, point.title, point.unit));
                let (least, most) = spread(&point.samples);
                println!(
                    "  {:<32} {:>12} {:<12} {:>12}  {:>10} .. {}",
                    point.series,
                    digits(point.x),
                    point.x_name,
                    digits(median(&point.samples)),
                    digits(least),
                    digits(most)
                );
            }
            Line::Latency(latency) => {
                self.heading(format!("{}: p50, p99, p99.9, most, µs", latency.title));
                let Latency { row, p50, p99, p999, most, .. } = latency;
                println!("  {row:<48} {p50:>9.1} {p99:>9.1} {p999:>9.1} {most:>9.1}");
            }
            Line::Memory(memory) => {
                self.heading("MiB: peak resident; at the end resident, anonymous, of files".into());
                let mib = |kib: u64| digits(kib as f64 / 1024.0);
                let Memory { row, what, peak, resident, anonymous, file } = memory;
                println!(
                    "  {row:<28} {what:<48} {:>8} {:>8} {:>8} {:>8}",
                    mib(*peak),
                    mib(*resident),
                    mib(*anonymous),
                    mib(*file)
                );
            }
        }
    }
}

/// The least and the most.
pub(crate) fn spread(samples: &[f64]) -> (f64, f64) {
    let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
    (least, samples.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

fn machine() -> Machine {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let kib: u64 = field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    Machine {
        command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        processor: field(&read("/proc/cpuinfo"), "model name"),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        file_system: output("df", &["--output=fstype", env!("CARGO_MANIFEST_DIR")])
            .lines()
            .last()
            .unwrap_or_default()
            .into(),
        memory_gib: kib >> 20,
        commit: output("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]),
    }
}

fn output(program: &str, args: &[&str]) -> String {
    let output = std::process::Command::new(program).args(args).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
