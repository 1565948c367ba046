//! The promises of `docs/design.md` on real file systems: power cuts, failed syncs, failing calls.
//!
//! `run.sh` beside this file sets up what the campaigns need, which is root, and starts them; README.md has the commands.
//! Started by `cargo test` this does nothing: it only has to compile.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    clippy::disallowed_methods,
    reason = "a test may stop at what it did not expect, and looks at the files from outside"
)]

mod acknowledgements;
mod believing_log;
#[path = "../common/mod.rs"]
#[cfg(test)]
mod common;
mod content;
mod cuts;
mod device;
mod failed_sync;
mod injection;
mod judge;
mod life;
mod process;
mod report;
mod transactions;
mod worker;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

/// What went wrong, in words.
type Outcome<T = ()> = Result<T, String>;

/// `name=value` words behind the name of a campaign.
struct Options(BTreeMap<String, String>);

impl Options {
    fn of(words: &[String]) -> Outcome<Self> {
        let pair =
            |word: &String| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let pairs: Option<_> = words.iter().map(pair).collect();
        pairs.map(Self).ok_or_else(|| format!("name=value, not {words:?}"))
    }

    fn text(&self, name: &str) -> Outcome<String> {
        self.0.get(name).cloned().ok_or_else(|| format!("{name}= is missing"))
    }

    fn number(&self, name: &str) -> Outcome<u64> {
        self.text(name)?.parse().map_err(|_| format!("{name}= is no number"))
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::from(3)
        }
    }
}

fn run(words: &[String]) -> Outcome {
    let campaign = words.first().map_or("", String::as_str);
    let rest = words.get(1..).unwrap_or_default();
    match campaign {
        "cuts" => cuts::run(&Options::of(rest)?),
        "transactions" => transactions::run(&Options::of(rest)?),
        "unsynced" => cuts::run_unsynced(&Options::of(rest)?),
        "failed-sync" => failed_sync::run(&Options::of(rest)?),
        "failed-sync-naive" => failed_sync::run_naive(&Options::of(rest)?),
        "injection" => injection::run(&Options::of(rest)?),
        "transact" | "transact-look" | "work" | "little" | "look" | "last" | "ten" | "ten-after-eviction"
        | "naive" => live(campaign, rest),
        _ => {
            println!("nothing is done here: see tests/real_disk/run.sh");
            Ok(())
        }
    }
}

/// A process of a campaign.
fn live(kind: &str, rest: &[String]) -> Outcome {
    let [dir, life] = rest else { return Err("a directory and a life".to_owned()) };
    let (dir, life) = (Path::new(dir), life.parse().map_err(|_| "a number of a life")?);
    match kind {
        "transact" => transactions::transact(dir, life),
        "transact-look" => transactions::look(dir),
        "work" => life::work(dir, life),
        "little" => life::little(dir, life),
        "look" => life::look(dir),
        "last" => life::last(dir, life),
        "ten" => life::ten(dir, life),
        "ten-after-eviction" => life::ten_after_eviction(dir, life),
        _ => believing_log::ten(dir, life),
    }
}
