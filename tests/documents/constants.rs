//! Numbers in the documents that are constants of the source. Below the paragraph or table that names such a number stands a
//! comment, which a reader of the page does not see:
//!
//! ```text
//! <!-- 300 µs = src/log/write/group_sync.rs: const GATHER: Duration = Duration::from_micros(300); -->
//! ```
//!
//! The words before ` = ` are in the paragraph, what follows the file's name is in that file, once. So neither can change alone.

use std::fs::read_to_string;
use std::path::Path;

const DOCUMENTS: [&str; 4] = ["README.md", "docs/design.md", "docs/format.md", "docs/guarantees.md"];

/// A comment that ties words to a place in the source.
struct Tie<'a> {
    words: &'a str,
    file: &'a str,
    source: &'a str,
}

fn tie(line: &str) -> Option<Tie<'_>> {
    let inside = line.trim().strip_prefix("<!-- ")?.strip_suffix(" -->")?;
    let (words, place) = inside.split_once(" = ")?;
    let (file, source) = place.split_once(": ")?;
    file.starts_with("src/").then_some(Tie { words, file, source })
}

/// What is wrong with the ties of a document, and how many there are.
fn misfits(document: &str, source_of: &dyn Fn(&str) -> String) -> (Vec<String>, usize) {
    let (mut found, mut count) = (Vec::new(), 0);
    let (mut paragraph, mut is_over) = (String::new(), false);
    for line in document.lines() {
        if let Some(Tie { words, file, source }) = tie(line) {
            count += 1;
            is_over = true;
            if !paragraph.contains(words) {
                found.push(format!("{words:?} is not in the paragraph above {line}"));
            }
            let times = source_of(file).matches(source).count();
            if times != 1 {
                found.push(format!("{source:?} is {times} times in {file}"));
            }
        } else if line.trim().is_empty() {
            is_over = true;
        } else {
            if std::mem::take(&mut is_over) {
                paragraph.clear();
            }
            paragraph.push_str(line);
            paragraph.push(' ');
        }
    }
    (found, count)
}

#[test]
fn constants_in_the_documents_are_those_of_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let source_of = |file: &str| read_to_string(root.join(file)).unwrap_or_default();
    let mut all = 0;
    for name in DOCUMENTS {
        let (found, count) = misfits(&source_of(name), &source_of);
        assert!(found.is_empty(), "{name}: {found:#?}");
        all += count;
    }
    assert!(all >= 20, "{all} constants");
}

#[test]
fn a_number_that_changes_in_one_of_both_is_seen() {
    let source_of = |_: &str| "const WAIT: u32 = 300;".to_owned();
    let seen = |document: &str| misfits(document, &source_of).0.len();
    assert_eq!(seen("It waits 300 µs.\n\n<!-- 300 µs = src/a.rs: const WAIT: u32 = 300; -->\n"), 0);
    assert_eq!(seen("It waits 100 µs.\n\n<!-- 300 µs = src/a.rs: const WAIT: u32 = 300; -->\n"), 1);
    assert_eq!(seen("It waits 300 µs.\n\n<!-- 300 µs = src/a.rs: const WAIT: u32 = 100; -->\n"), 1);
    assert_eq!(seen("300 µs.\n\nMore.\n<!-- 300 µs = src/a.rs: const WAIT: u32 = 300; -->\n"), 1);
}
