//! From a send in one process to the record in another: how long it takes, what the one that waits uses of the processor meanwhile, and
//! how long the send itself takes.
//!
//! ```text
//! cargo run --release --manifest-path benches/processes/Cargo.toml                   everything, about four minutes
//! cargo run --release --manifest-path benches/processes/Cargo.toml -- --quick        to see that it works
//! cargo run --release --manifest-path benches/processes/Cargo.toml -- --dir /dev/shm --repetitions 9 --row annals --json
//! … --no-default-features --features redb                                            beside one peer alone
//! ```
//! One process sends a record of 100 B every 0.5 to 1 ms, another one has nothing to do but to wait for it. Both read the same clock:
//! the one before the send, the other with the record in its hands. A record survives a SIGKILL when its send returns, but in the map and
//! in the pipe; in redb it survives a power cut, as it has no weaker commit that another process sees. The reader checks that every record
//! comes, once, and in order. It waits half a second before the first one, and says what it used of a processor in that time.
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
mod sides;
mod watch;

use harness::Outcome;
use options::Options;
use peers::Peer;
use sides::Figures;

/// So many records in each repetition.
const RECORDS: usize = 2_000;

fn main() -> Outcome {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(sides::READER) {
        return sides::read(words);
    }
    let options = Options::from_args(std::env::args().skip(1))?;
    let scratch = scratch::Scratch::new(&options.dir)?;
    let wanted = |peer: &&&Peer| options.wants(peer.name) && peer.name.contains(&options.row);
    let mut rows: Vec<_> = peers::ALL.iter().filter(wanted).map(|peer| (*peer, Figures::default())).collect();
    for repetition in 0..=options.repetitions {
        for (peer, figures) in &mut rows {
            let dir = scratch.fresh()?;
            let found = sides::send(peer, dir.path(), RECORDS / options.scale)?;
            // The first one warms the machine.
            if repetition > 0 {
                figures.add(found);
            }
        }
    }
    report::print(options.style, rows);
    Ok(())
}
