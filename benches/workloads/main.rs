//! annals beside the bare system calls, in one process, interleaved.
//!
//! ```text
//! cargo bench                      every workload, about two minutes
//! cargo bench -- W5 W6             those whose name begins so
//! cargo bench -- --quick           a smoke run: small, two repetitions
//! cargo bench -- W1o --row annals  only rows whose name holds a word, for a profile
//! cargo bench -- --repetitions 15  instead of 7
//! cargo bench -- --json            one JSON object a row
//! cargo bench -- --dir /mnt/disk   where the files are
//! ```
//! Rows whose name begins with `~` are the machine without a library around it. Every row says what it read or wrote, and
//! the run ends with an error if a record or a byte is missing.
#![expect(
    clippy::disallowed_methods,
    reason = "the bare rows are system calls, and somebody has to hold the watch"
)]
#![expect(
    clippy::indexing_slicing,
    reason = "what a row reads it wrote itself; a panic ends the run, as it should"
)]

mod annals_store;
mod append;
mod durable;
mod framed;
mod harness;
mod kafka;
mod options;
mod partitions;
mod payload;
mod point;
mod queue;
mod report;
mod scan;
mod scratch;
mod streams;

use harness::{Outcome, Scope, Workload};
use options::Options;

/// A workload and how it is made. Made when its turn comes: its files are gone before the next begins.
type Make = fn(&Scope) -> Outcome<Workload>;

const WORKLOADS: [(&str, Make); 16] = [
    ("W1m", append::one_by_one_in_memory),
    ("W1o", append::one_by_one_to_the_os),
    ("W2", append::batches_of_100_bytes),
    ("W3", append::batches_of_1_kib),
    ("W4a", durable::one_thread),
    ("W4b", durable::eight_threads),
    ("W5", scan::hundred_bytes),
    ("W5k", scan::one_kib),
    ("W6", point::random_offsets),
    ("Q1", queue::to_the_os),
    ("Q2", queue::to_the_disk),
    ("Q3", queue::of_hot_keys),
    ("S1", streams::guarded),
    ("S2", streams::whole_streams),
    ("S3", streams::last_events),
    ("P1", partitions::many),
];

fn main() -> Outcome {
    let options = Options::from_args(std::env::args().skip(1))?;
    let scratch = scratch::Scratch::new(&options.dir)?;
    let scope = Scope { scratch, scale: options.scale };
    let mut report = report::Report::new(options.style);
    for (name, make) in WORKLOADS {
        if options.wants(name) {
            let mut workload = make(&scope)?;
            workload.rows.retain(|row| row.name.contains(&options.row));
            if workload.rows.is_empty() {
                continue;
            }
            let measured = harness::measure(workload, options.repetitions)?;
            report.print(name, &measured);
        }
    }
    Ok(())
}
