//! Every transcript prints what it says. `ANNALS_BLESS=1` writes what is printed now into them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::schema::{check, documented};
use crate::transcript::run;

fn documents(dir: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let mut found: Vec<_> =
        std::fs::read_dir(&dir).into_iter().flatten().map(|entry| entry.expect("an entry").path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    found.sort();
    found
}

/// Runs a document, compares, and returns it.
fn hold(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).expect("the document can be read");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let again = run(&text, dir.path());
    if std::env::var_os("ANNALS_BLESS").is_some() {
        std::fs::write(path, &again).expect("the document can be written");
    } else if again != text {
        let (line, (old, new)) = text
            .lines()
            .chain(["(the end)"])
            .zip(again.lines().chain(["(the end)"]))
            .enumerate()
            .find(|(_, (old, new))| old != new)
            .expect("a line differs");
        return Err(format!("{}:{}\n  says   {old}\n  prints {new}", path.display(), line + 1));
    }
    Ok(again)
}

/// A time in a batch takes a byte more 64 ms after the first, and sizes are printed: a machine that is busy has another try.
fn hold_patiently(path: &Path) -> Result<String, String> {
    hold(path).or_else(|_| hold(path)).or_else(|_| hold(path))
}

#[test]
fn every_transcript_prints_what_it_says() {
    let documented = documented();
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    let (paths, manual) = (documents("tests/transcripts"), documents("../../docs/manual"));
    assert!(paths.len() >= 5 && manual.len() >= 10, "{paths:?} {manual:?}");
    for path in paths.into_iter().chain(manual) {
        match hold_patiently(&path) {
            Err(error) => wrong.push(error),
            Ok(text) => {
                for line in text.lines().filter(|line| line.starts_with("{\"type\"")) {
                    match check(&line.replace("NOW", "0"), &documented) {
                        Ok(kind) => drop(seen.insert(kind)),
                        Err(error) => wrong.push(error),
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // `refusals.rs` sees the others.
    let elsewhere = ["refused", "queue", "dead_letter", "redriven", "transaction", "aborted"];
    let in_refusals = ["index", "producer", "recovery", "snapshot", "torn", "transaction_index"];
    let elsewhere = [&elsewhere[..], &in_refusals].concat();
    let missing: Vec<_> = documented
        .keys()
        .filter(|kind| !seen.contains(*kind) && !elsewhere.contains(&kind.as_str()))
        .collect();
    assert!(missing.is_empty(), "no transcript prints {missing:?}");
}
