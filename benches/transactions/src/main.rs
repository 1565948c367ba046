//! Transactions in one process, interleaved: commits of 1, 10 and 100 records over 1, 2 and 8 partitions, by one thread and by eight.
//!
//! ```text
//! cargo run --release --manifest-path benches/transactions/Cargo.toml                  everything, about four minutes
//! cargo run --release --manifest-path benches/transactions/Cargo.toml -- disk          those whose name begins so
//! cargo run --release --manifest-path benches/transactions/Cargo.toml -- --quick       to see that it works
//! cargo run --release --manifest-path benches/transactions/Cargo.toml -- --dir /mnt/disk --repetitions 9 --row annals
//! cargo run --release --manifest-path benches/transactions/Cargo.toml -- cpu os        by the processor's time, of all threads, instead of
//!                                                                                  the clock's: commits a second of one processor
//! … --no-default-features --features redb                                          beside one peer alone
//! ```
//! What a row has to guarantee is in the names: `os` survives a SIGKILL, `disk` a power cut, `memory` neither. A partition of a store of
//! keys is a table, a keyspace or a column family of its own; a record goes under the next number. All threads write to the same
//! partitions. After each run everything is read and compared. Ratios are to annals, medians of those within each repetition: above 1
//! annals commits more in a second.
#[path = "../../workloads/harness.rs"]
#[expect(dead_code, reason = "other benchmarks use more of it")]
mod harness;
#[path = "../../workloads/options.rs"]
mod options;
#[path = "../../workloads/payload.rs"]
#[expect(dead_code, reason = "other benchmarks use more of it")]
mod payload;
mod peers;
mod report;
#[path = "../../workloads/scratch.rs"]
#[expect(dead_code, reason = "other benchmarks use more of it")]
mod scratch;
#[path = "../../queues/src/watch.rs"]
mod watch;
mod works;

use harness::{Outcome, Scope};
use options::Options;
use peers::Class;

fn main() -> Outcome {
    let is_cpu = std::env::args().nth(1).is_some_and(|word| word == "cpu");
    watch::count_processor_time(is_cpu);
    let options = Options::from_args(std::env::args().skip(1 + usize::from(is_cpu)))?;
    let scope = Scope { scratch: scratch::Scratch::new(&options.dir)?, scale: options.scale };
    let report = report::Report::new(options.style);
    for class in Class::ALL {
        for work in works::all() {
            let name = format!("{} {work}", class.word());
            if !options.wants(&name) {
                continue;
            }
            let mut workload = works::workload(&scope, class, work)?;
            workload.rows.retain(|row| row.name.contains(&options.row));
            if !workload.rows.is_empty() {
                report.print(&name, work.records, &harness::measure(workload, options.repetitions)?);
            }
        }
    }
    Ok(())
}
