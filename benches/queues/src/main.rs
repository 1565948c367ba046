//! Queues in one process, interleaved: messages sent, and taken and acknowledged, one at a time and by 100, by one worker and by
//! eight.
//!
//! ```text
//! cargo run --release --manifest-path benches/queues/Cargo.toml                   everything, about ten minutes
//! cargo run --release --manifest-path benches/queues/Cargo.toml -- os             those whose name begins so
//! cargo run --release --manifest-path benches/queues/Cargo.toml -- --quick        to see that it works
//! cargo run --release --manifest-path benches/queues/Cargo.toml -- --dir /mnt/disk --repetitions 9 --row annals --json
//! cargo run --release --manifest-path benches/queues/Cargo.toml -- cpu os         the processor's time, of all threads, instead of
//!                                                                             the clock's: what others do on the machine counts for little
//! cargo run --release --manifest-path benches/queues/Cargo.toml -- scale DIR 10000000 1000000   so many waiting and delayed
//! … --no-default-features --features sqlite                                       beside one peer alone
//! ```
//! What a row has to guarantee is in the names: `os` survives a SIGKILL, `disk` a power cut; `memory` may lose answers with the
//! process. Everywhere a message that is out is with nobody else, and how often it was out is written before it goes, as far as the
//! class says. Every row says what its workers were handed, and the run ends with an error where a message is missing or came
//! twice. Ratios are to annals, medians of those within each repetition.
#[path = "../../workloads/harness.rs"]
mod harness;
mod jobs;
#[path = "../../workloads/options.rs"]
mod options;
#[path = "../../workloads/payload.rs"]
#[expect(dead_code, reason = "other benchmarks use more of it")]
mod payload;
mod peers;
#[path = "../../workloads/report.rs"]
mod report;
mod scale;
#[path = "../../workloads/scratch.rs"]
#[expect(dead_code, reason = "other benchmarks use more of it")]
mod scratch;
mod watch;
mod works;

use harness::{Outcome, Scope};
use jobs::Class;
use options::Options;
use works::{WORKS, Work};

fn main() -> Outcome {
    let mut words = std::env::args().skip(1);
    let word = words.next().unwrap_or_default();
    let is_cpu = word == "cpu";
    watch::count_processor_time(is_cpu);
    if word.starts_with("scale") {
        let dir = std::path::PathBuf::from(words.next().ok_or("scale needs a directory")?);
        let sizes = scale::Sizes::parse(words)?;
        return if word == "scale" { scale::run(&dir, &sizes) } else { scale::child(&dir, &sizes) };
    }
    let options = Options::from_args(std::env::args().skip(1 + usize::from(is_cpu)))?;
    let scratch = scratch::Scratch::new(&options.dir)?;
    let scope = Scope { scratch, scale: options.scale };
    let mut report = report::Report::new(options.style);
    for class in Class::ALL {
        for work @ Work { name, .. } in WORKS {
            let name = format!("{} {name}", class.word());
            if !options.wants(&name) {
                continue;
            }
            let mut workload = works::workload(&scope, class, work)?;
            workload.rows.retain(|row| row.name.contains(&options.row));
            if !workload.rows.is_empty() {
                let measured = harness::measure(workload, options.repetitions)?;
                report.print(&name, &measured);
            }
        }
    }
    Ok(())
}
