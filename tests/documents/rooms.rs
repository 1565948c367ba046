//! `docs/rooms.md` lists files: those that it names are there, and of a directory it lists all or none.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "the source is read from outside the crate"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{read_dir, read_to_string};
use std::path::Path;

/// A directory with so many files has a table.
const MANY: usize = 15;

/// The files that the first cells of its tables name, below `src/`; and all others that it names, with the directory of their table.
#[derive(Default)]
struct Named {
    listed: BTreeSet<String>,
    elsewhere: BTreeSet<(String, String)>,
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn names_in(document: &str) -> Named {
    let (mut named, mut directory) = (Named::default(), String::new());
    for line in document.lines() {
        let row = line.strip_prefix("| ").and_then(|row| row.split_once(" | "));
        let (first, rest) = row.unwrap_or(("", line));
        if first.starts_with("file in ") {
            quoted(first).next().unwrap_or_default().clone_into(&mut directory);
            continue;
        }
        let files = |text| quoted(text).filter(|word| word.ends_with(".rs"));
        named.listed.extend(files(first).map(|file| format!("{directory}{file}")));
        named.elsewhere.extend(files(rest).map(|file| (directory.clone(), file.to_owned())));
    }
    named
}

/// The source files of each directory below `root`, without tables of contents and tests.
fn files_of(root: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let (mut found, mut todo) = (BTreeMap::new(), vec![String::new()]);
    while let Some(directory) = todo.pop() {
        let mut files = BTreeSet::new();
        for entry in read_dir(root.join(&directory)).expect("a directory") {
            let entry = entry.expect("an entry");
            let path = format!("{directory}{}", entry.file_name().to_string_lossy());
            let is_dir = entry.file_type().expect("a type").is_dir();
            if is_dir && !path.ends_with("tests") {
                todo.push(format!("{path}/"));
            } else if path.ends_with(".rs") && !path.ends_with("mod.rs") && !path.ends_with("tests.rs") {
                files.insert(path);
            }
        }
        found.insert(directory, files);
    }
    found
}

fn directory_of(file: &str) -> &str {
    file.rfind('/').and_then(|at| file.get(..=at)).unwrap_or_default()
}

fn misfits(
    document: &str,
    files: &BTreeMap<String, BTreeSet<String>>,
    is_there: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let named = names_in(document);
    let mut found = Vec::new();
    for file in named.listed.iter().filter(|file| !is_there(&format!("src/{file}"))) {
        found.push(format!("{file} is listed, and is not there"));
    }
    let places = |(directory, file): &(String, String)| {
        [format!("src/{directory}{file}"), format!("src/{file}"), file.clone()]
    };
    for one in named.elsewhere.iter().filter(|one| !places(one).iter().any(|path| is_there(path))) {
        found.push(format!("{} is named, and is not there", one.1));
    }
    let tables: BTreeSet<_> = named.listed.iter().map(|file| directory_of(file)).collect();
    for (directory, files) in files {
        if tables.contains(directory.as_str()) {
            let missing = files.difference(&named.listed);
            found.extend(missing.map(|file| format!("{file} is not listed, others of its directory are")));
        } else if files.len() >= MANY {
            found.push(format!("{directory} has {} files and no table", files.len()));
        }
    }
    found
}

#[test]
fn the_list_of_files_is_that_of_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = read_to_string(root.join("docs/rooms.md")).expect("the document");
    let found = misfits(&document, &files_of(&root.join("src")), &|path| root.join(path).exists());
    assert!(found.is_empty(), "docs/rooms.md: {found:#?}");
}

#[test]
fn a_file_that_is_not_listed_or_not_there_is_found() {
    let document = "| file in `log/` | does |\n|---|---|\n| `log.rs`, `read/reader.rs` | what `topic/cut.rs` and `gone.rs` say |\n";
    let there = ["log/log.rs", "log/new.rs", "log/read/reader.rs", "topic/cut.rs"];
    let mut files: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for file in there {
        files.entry(directory_of(file).to_owned()).or_default().insert(file.to_owned());
    }
    let many = (0..MANY).map(|number| format!("share/{number}.rs")).collect();
    files.insert("share/".to_owned(), many);
    let found = misfits(document, &files, &|path| there.iter().any(|file| path == format!("src/{file}")));
    assert_eq!(
        found,
        [
            "gone.rs is named, and is not there",
            "log/new.rs is not listed, others of its directory are",
            "share/ has 15 files and no table"
        ]
    );
    let listed = document.replace("`log.rs`", "`lost.rs`");
    assert!(
        misfits(&listed, &files, &|_| false).contains(&"log/lost.rs is listed, and is not there".to_owned())
    );
}
