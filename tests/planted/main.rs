//! Do the tests notice? Bugs, each put into a copy of the source, each with the tests that must fail then.
//!
//! ```sh
//! cargo test --test planted                                   # every bug still fits the source
//! cargo test --test planted -- --ignored --nocapture          # every bug is caught by each of its tests
//! ANNALS_PLANTED=no-data-sync,cut-not-synced cargo test --test planted -- --ignored --nocapture
//! ```
//!
//! More than 100 bugs; 10 to 25 seconds a bug on two cores that others use too.
//!
//! The copy is built in `target/planted`, which the first run fills; after that a bug costs one incremental build. All tests
//! are run without a bug first. A set of tests ends with its first failure. Whatever is planted, the product has no switch
//! for it: what is released cannot hold one.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test reads and writes files")]

mod catalogue;
mod copy_of_source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use catalogue::{Bug, bugs};
use copy_of_source::{CopyOfSource, Verdict};

#[test]
fn every_bug_fits_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut misfits = Vec::new();
    for bug in bugs() {
        let source = std::fs::read_to_string(root.join(bug.file)).unwrap_or_default();
        let times = source.matches(bug.good).count();
        if times != 1 {
            misfits.push(format!("{}: {times} places in {}", bug.name, bug.file));
        }
        assert!(!bug.caught_by.is_empty(), "{} is caught by nothing", bug.name);
    }
    assert!(misfits.is_empty(), "{misfits:#?}");
    let mut names = BTreeMap::new();
    let without_tests: Vec<_> =
        bugs().flat_map(|bug| filters_without_tests(bug, &root, &mut names)).collect();
    assert!(without_tests.is_empty(), "{without_tests:#?}");
    let document = std::fs::read_to_string(root.join("docs/guarantees.md")).unwrap();
    let (_, rest) = document.split_once("| more than ").unwrap();
    let (count, _) = rest.split_once(" bugs planted in a copy of the source").unwrap();
    let promised: usize = count.parse().unwrap();
    assert!(
        bugs().count() > promised,
        "{} bugs, and docs/guarantees.md says more than {promised}",
        bugs().count()
    );
}

/// What a bug names that no test has in its name: nothing would be run, and nothing caught.
fn filters_without_tests(
    bug: &Bug,
    root: &Path,
    known: &mut BTreeMap<&'static str, Vec<String>>,
) -> Vec<String> {
    let mut missing = Vec::new();
    for tests in bug.caught_by {
        let names = known.entry(tests.binary).or_insert_with(|| {
            let at =
                if tests.binary == "lib" { root.join("src") } else { root.join("tests").join(tests.binary) };
            let mut names = Vec::new();
            names_in(&at, "", &mut names);
            names
        });
        let lacks = |filter: &&&str| !names.iter().any(|name| name.contains(**filter));
        let none = tests.filters.iter().filter(lacks);
        missing.extend(none.map(|filter| format!("{}: {} has no {filter}", bug.name, tests.binary)));
    }
    missing
}

/// The functions of all files below a directory, by their paths as modules.
fn names_in(directory: &Path, above: &str, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let file_name = entry.file_name().into_string().unwrap();
        let stem = file_name.trim_end_matches(".rs");
        let path =
            if ["mod", "main"].contains(&stem) { above.to_owned() } else { format!("{above}{stem}::") };
        if entry.path().is_dir() {
            names_in(&entry.path(), &path, names);
        } else if file_name.ends_with(".rs") {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let functions = text.lines().filter_map(|line| line.trim_start().strip_prefix("fn "));
            for name in functions.filter_map(|line| line.split(['(', '<']).next()) {
                names.extend([format!("{path}{name}"), format!("{path}tests::{name}")]);
            }
        }
    }
}

#[test]
#[ignore = "builds and tests the crate once for every bug"]
fn every_bug_is_caught() {
    let only = std::env::var("ANNALS_PLANTED").ok();
    let is_chosen =
        |bug: &&Bug| only.as_deref().is_none_or(|names| names.split(',').any(|name| name == bug.name));
    let chosen: Vec<_> = bugs().filter(is_chosen).collect();
    assert!(!chosen.is_empty(), "no bug of that name");
    let copy = CopyOfSource::new();
    pass_without_a_bug(&copy, &chosen);
    let (mut caught, mut missed) = (0, Vec::new());
    for bug in &chosen {
        for (tests, verdict) in bug.caught_by.iter().zip(copy.try_out(bug, bug.caught_by)) {
            println!("{:<40} {:<12} {verdict:?}", bug.name, tests.binary);
            match verdict {
                Verdict::Caught(_) | Verdict::Stopped => caught += 1,
                Verdict::Missed | Verdict::DoesNotBuild => missed.push((bug.name, *tests)),
            }
        }
    }
    println!("{} bugs, {caught} catches, {} misses", chosen.len(), missed.len());
    assert!(missed.is_empty(), "{missed:#?}");
}

/// A test that fails anyway catches nothing.
fn pass_without_a_bug(copy: &CopyOfSource, chosen: &[&Bug]) {
    let tests: BTreeSet<_> = chosen.iter().flat_map(|bug| bug.caught_by).copied().collect();
    let tests: Vec<_> = tests.into_iter().collect();
    for (tests, verdict) in tests.iter().zip(copy.run_all(&tests)) {
        println!("{:<40} {:<12} {:?} {verdict:?}", "no bug", tests.binary, tests.filters);
        assert_eq!(verdict, Verdict::Missed, "without a bug: {tests:?}");
    }
}
