//! Do the tests notice? Bugs, each put into a copy of the source, each with the tests that must fail then.
//!
//! ```sh
//! cargo test --test planted                                   # every bug still fits the source
//! cargo test --release --test planted -- --ignored --nocapture   # every bug is caught: half an hour on two cores
//! ANNALS_PLANTED=no-data-sync cargo test --test planted -- --ignored --nocapture
//! ```
//!
//! The product has no switch for any of them: what is released cannot hold one.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test reads and writes files"
)]

mod catalogue;
mod workshop;

use std::path::Path;

use catalogue::BUGS;
use workshop::{Verdict, Workshop};

#[test]
fn every_bug_fits_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut misfits = Vec::new();
    for bug in BUGS {
        let source = std::fs::read_to_string(root.join(bug.file)).unwrap_or_default();
        let times = source.matches(bug.good).count();
        if times != 1 {
            misfits.push(format!("{}: {times} places in {}", bug.name, bug.file));
        }
        assert!(!bug.caught_by.is_empty(), "{} is caught by nothing", bug.name);
    }
    assert!(misfits.is_empty(), "{misfits:#?}");
    assert!(BUGS.len() >= 25, "{} bugs", BUGS.len());
}

#[test]
#[ignore = "builds and tests the crate once for every bug"]
fn every_bug_is_caught() {
    let only = std::env::var("ANNALS_PLANTED").ok();
    let chosen = BUGS.iter().filter(|bug| only.as_deref().is_none_or(|name| bug.name == name));
    let workshop = Workshop::new();
    let (mut caught, mut missed) = (0, Vec::new());
    for bug in chosen {
        for tests in bug.caught_by {
            let verdict = workshop.try_out(bug, tests);
            println!("{:<28} {:<46} {verdict:?}", bug.name, tests.join(" "));
            match verdict {
                Verdict::Caught => caught += 1,
                Verdict::Missed | Verdict::DoesNotBuild => missed.push((bug.name, *tests)),
            }
        }
    }
    println!("{} bugs, {caught} catches, {} misses", BUGS.len(), missed.len());
    assert!(caught > 0, "no bug of that name");
    assert!(missed.is_empty(), "{missed:#?}");
}
