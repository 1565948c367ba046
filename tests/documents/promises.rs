//! `docs/guarantees.md` names the tests that hold each promise: they exist, and each promise has one.

use std::fs::read_to_string;
use std::path::Path;

/// What stands between back quotes and begins like a place in the repository.
fn places(line: &str) -> Vec<&str> {
    let is_place = |word: &&str| ["tests/", "src/", "fuzz/"].iter().any(|root| word.starts_with(root));
    line.split('`').skip(1).step_by(2).filter(is_place).collect()
}

#[test]
fn every_promise_is_held_by_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = read_to_string(root.join("docs/guarantees.md")).unwrap();
    let mut promises = 0;
    for line in document.lines().filter(|line| line.starts_with("| P")) {
        promises += 1;
        let places = places(line);
        assert!(!places.is_empty(), "held by nothing: {line}");
        for place in places {
            let (file, test) = place.split_once("::").unwrap_or((place, ""));
            assert!(root.join(file).exists(), "{place} does not exist");
            if !test.is_empty() {
                let source = read_to_string(root.join(file)).unwrap();
                assert!(source.contains(&format!("fn {test}()")), "{place} does not exist");
            }
        }
    }
    assert_eq!(promises, 20);
}
