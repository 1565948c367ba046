//! annals beside its peers and the bare system calls, in one process, interleaved. `README.md` has the commands.

mod append;
mod batches;
mod child;
#[path = "../../workloads/framed.rs"]
mod framed;
mod guarantees;
mod harness;
#[path = "../../workloads/kafka.rs"]
mod kafka;
mod kill;
mod latency;
mod memory;
mod open;
mod options;
mod payload;
mod peer;
mod peers;
mod read;
mod report;
mod results;
mod rows;
mod run;
mod scaling;
mod scratch;
mod size;

use harness::Outcome;
use options::Options;

fn main() -> Outcome {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    if command == "child" {
        return child::main(args, memory::child);
    }
    let options = Options::parse(args)?;
    match command.as_str() {
        "run" => run::run(&options),
        "check-kill" => guarantees::check_kill(&options),
        "check-sync" => guarantees::check_sync(&options),
        "scaling" => scaling::run(&options),
        "latency" => latency::run(&options),
        "memory" => memory::run(&options),
        "report" => report::report(&options),
        "peers" => guarantees::list(),
        _ => {
            Err("run, check-kill, check-sync, scaling, latency, memory or report: README.md says more".into())
        }
    }
}
