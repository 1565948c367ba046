//! Event streams in one process, interleaved: appends that expect a version of their stream, one at a time and by 64, by one thread and
//! by eight; the events of one stream; all events in their order; how long an open takes, and bytes on the disk.
//!
//! ```text
//! cargo run --release --manifest-path benches/events/Cargo.toml                   everything, a few minutes
//! cargo run --release --manifest-path benches/events/Cargo.toml -- read           those whose name begins so
//! cargo run --release --manifest-path benches/events/Cargo.toml -- --quick        to see that it works
//! cargo run --release --manifest-path benches/events/Cargo.toml -- size 1000000   bytes of an event on the disk, and the open
//! … -- size 10000000 10                                                           the same, ten events an append
//! … -- size 10000000 10 annals                                                    … of one store alone
//! … -- large 10000000 DIR                                                         annals alone: a million streams, warm and cold
//! … -- cpu …                                                                     the processor's time, of all threads, instead of the clock's
//! … --no-default-features --features sqlite                                       beside one peer alone
//! ```
//! Every append survives a SIGKILL, but those of redb: a commit that is not durable may be lost with its process there. Each event has 100 B and
//! is in one of many streams; everywhere an append checks that its stream has the version that its sender has seen, and all events
//! have one order. Every row says what it read, and the run ends with an error where an event is missing. Ratios are to annals, medians of
//! those within each repetition.
#[path = "../../workloads/harness.rs"]
mod harness;
mod large;
#[path = "../../workloads/options.rs"]
mod options;
#[path = "../../workloads/payload.rs"]
#[expect(dead_code, reason = "other benchmarks use more of it")]
mod payload;
mod peers;
#[path = "../../workloads/report.rs"]
mod report;
#[path = "../../workloads/scratch.rs"]
#[expect(dead_code, reason = "other benchmarks use more of it")]
mod scratch;
mod size;
#[path = "../../queues/src/watch.rs"]
mod watch;
mod works;

use harness::{Outcome, Scope};
use options::Options;

fn main() -> Outcome {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let is_cpu = words.first().is_some_and(|word| word == "cpu");
    watch::count_processor_time(is_cpu);
    words.drain(..usize::from(is_cpu));
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["size", events, rest @ ..] => return size::run(events.parse()?, rest),
        ["large", events] => return large::run(events.parse()?, None),
        ["large", events, dir] => return large::run(events.parse()?, Some(dir.as_ref())),
        _ => {}
    }
    let options = Options::from_args(words.into_iter())?;
    let scratch = scratch::Scratch::new(&options.dir)?;
    let scope = Scope { scratch, scale: options.scale };
    let mut report = report::Report::new(options.style);
    for (name, make) in works::WORKS {
        if options.wants(name) {
            let mut workload = make(&scope)?;
            workload.rows.retain(|row| row.name.contains(&options.row));
            if !workload.rows.is_empty() {
                report.print(name, &harness::measure(workload, options.repetitions)?);
            }
        }
    }
    Ok(())
}
