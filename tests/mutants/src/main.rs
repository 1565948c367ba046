//! How much the tests notice: changes one thing of annals' source at a time and counts which changes no test fails for.
//!
//! ```sh
//! cargo run --release --manifest-path tests/mutants/Cargo.toml -- --sample 600
//! ```
//!
//! The changes ("mutants") are those that [cargo-mutants](https://mutants.rs/) lists (`cargo install cargo-mutants`) with
//! the settings in `.cargo/mutants.toml`, and so are the tests. cargo-mutants itself builds anew for each of them, which takes
//! days for all. Here all of them are compiled into one copy of the source, each behind a switch that an environment
//! variable turns on, so that one build serves all, and a mutant takes seconds. For that,
//!
//! - `list.rs` asks cargo-mutants for its list, `places.rs` finds each mutant in the syntax, `sites.rs` puts those of one
//!   place together, and `rewrite.rs` writes a copy of the source (`tree.rs`) in which they can be switched;
//! - `compile.rs` builds the copy and leaves out what the compiler refuses, until it refuses nothing ("unviable": as
//!   cargo-mutants has it, such a mutant says nothing about tests);
//! - `trace.rs` runs each test once, with nothing changed, and records which sites it evaluates and how long it takes;
//! - `judge.rs` runs, for each mutant, the tests that evaluate its site, quick ones first, until one fails (`process.rs`);
//! - `journal.rs` keeps the outcomes and `report.rs` sums them up.
//!
//! A mutant is caught by a test that fails, crashes, wants more than 4 GiB or does not end. Constants, `const fn` and bodies of
//! functions that return an `impl Trait` cannot be switched; they are counted, and are for `cargo mutants -f FILE`.
//! Tests that evaluate a site only sometimes may not have done so when they were traced: `--all-tests` gives them every
//! mutant that no other has noticed.
//!
//! Missed mutants are printed as they are found. All outcomes, and which tests noticed, are in `outcomes.jsonl` in
//! `target/mutants`; what was left out is in `left-out.txt` there. It runs on Linux, with `prlimit` and git.

mod compile;
mod journal;
mod judge;
mod list;
mod options;
mod parallel;
mod places;
mod process;
mod report;
mod rewrite;
mod run;
mod sample;
mod sites;
#[cfg(test)]
mod tests;
mod trace;
mod tree;

use std::process::ExitCode;

use options::Options;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| run::run(&options)) {
        Ok(low) if low.is_empty() => ExitCode::SUCCESS,
        Ok(low) => {
            eprintln!("too few noticed: {}", low.join(", "));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
