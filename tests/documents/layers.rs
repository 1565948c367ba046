//! The layers of the crate, checked against its source: which of them uses which, where `unsafe` and `std::fs` are.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "the source is read from outside the crate"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Each layer and what it may use. The order is the order of the layers, lowest first.
const LAYERS: &[(&str, &[&str])] = &[
    // Its unit tests use files that fail.
    ("io", &["doubles"]),
    ("format", &[]),
    ("upkeep", &["io"]),
    ("live", &["io"]),
    // Its unit tests grow one on a full disk.
    ("segment", &["doubles", "io", "format"]),
    // Its unit tests make one over disks that fail.
    ("log", &["doubles", "io", "live", "format", "segment", "upkeep"]),
    ("topic", &["io", "live", "format", "segment", "upkeep", "log"]),
    ("producer", &["io", "format", "segment", "upkeep", "log", "topic"]),
    // Its unit tests have a spool on disks that fail.
    ("group", &["doubles", "io", "live", "format", "segment", "upkeep", "log", "topic"]),
    ("consumer", &["io", "format", "segment", "upkeep", "log", "topic", "group"]),
    // Its unit tests make one without a store, over disks that fail.
    (
        "transaction",
        &["doubles", "io", "format", "segment", "upkeep", "log", "topic", "producer", "group", "consumer"],
    ),
    (
        "share",
        &[
            "doubles",
            "io",
            "live",
            "format",
            "upkeep",
            "log",
            "topic",
            "producer",
            "group",
            "consumer",
            "transaction",
        ],
    ),
    // What copies a store, and makes one of a copy.
    ("backup", &["io", "format", "segment", "upkeep", "log", "topic"]),
    // The store puts all of them together, and never sees a byte layout.
    (
        "store",
        &[
            "io",
            "live",
            "segment",
            "upkeep",
            "log",
            "topic",
            "producer",
            "group",
            "consumer",
            "transaction",
            "share",
            "backup",
        ],
    ),
    // On the store: what an event store asks for.
    ("stream", &["io", "log", "topic", "producer", "group", "consumer", "transaction", "store"]),
    // Beside the store, not on it: it looks at files.
    ("dump", &["io", "format"]),
    // Above all of them, in tests and with `--cfg fuzzing` alone: it looks at everything.
    (
        "fuzzing",
        &[
            "doubles", "io", "format", "segment", "upkeep", "log", "topic", "producer", "group", "consumer",
            "store",
        ],
    ),
    // Documents alone.
    ("manual", &[]),
    // What everybody may use; each uses nothing but its like.
    ("error", &[]),
    ("types", &[]),
    ("locks", &[]),
    // Plain numbers and words: whoever does something notes it there.
    // Its unit tests draw numbers.
    ("figures", &["doubles"]),
];

/// What everybody may use.
const SHARED: &[&str] = &["error", "types", "locks", "figures"];

/// Words that occur in one layer alone. Unit tests may look at files from outside.
const CONFINED: &[(&str, &str)] = &[("unsafe", "io"), ("std::fs", "io"), ("memmap2", "io"), ("libc", "io")];

/// What a file is allowed, and what it does.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    why: String,
}

#[test]
fn no_layer_uses_one_above_it() {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../src"));
    assert!(files.len() > 50, "the source was not found");
    let found: Vec<_> = files.iter().flat_map(|(name, text)| violations(name, text)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_planted_upward_import_is_reported() {
    let planted = [
        ("log/log.rs", "use crate::topic::Topic;\n", "log uses topic"),
        ("segment/cursor.rs", "fn f() -> crate::log::Log {}\n", "segment uses log"),
        (
            "producer/sticky.rs",
            "use crate::{\n    error::Error,\n    group::Groups,\n};\n",
            "producer uses group",
        ),
        ("group/groups.rs", "use crate::{io, producer::Producer as P};\n", "group uses producer"),
        ("consumer/builder.rs", "pub(in crate::producer) fn f() {}\n", "consumer uses producer"),
        ("store/store.rs", "use crate::format::Codec;\n", "store uses format"),
        ("error.rs", "use crate::io::File;\n", "error uses io"),
        ("io/os.rs", "use crate::Store;\n", "io uses Store"),
        ("io/os.rs", "use super::super::format::Codec;\n", "super::super"),
        ("topic/topics.rs", "fn f() { unsafe { g() } }\n", "unsafe"),
        ("store/store.rs", "use std::fs::File;\n", "std::fs"),
        ("store/store.rs", "use std::{fmt, fs};\n", "std::fs"),
        ("log/tests.rs", "use crate::consumer::Consumer;\n", "log uses consumer"),
        ("shiny/mod.rs", "", "no layer"),
    ];
    for (file, text, expected) in planted {
        let found = violations(file, text);
        assert!(found.iter().any(|violation| violation.why.contains(expected)), "{file}: {text}: {found:?}");
    }
    let innocent = "//! Not [`Store`](crate::Store) nor unsafe, nor std::fs.\nuse crate::{error::Result, io::File};\n\
                    /* crate::store */ fn f() { g(\"crate::store // unsafe\") } // crate::store\n\
                    #[expect(unsafe_code)]\nfn h() {}\n";
    assert_eq!(violations("segment/cursor.rs", innocent), []);
}

/// A test that is no target is never run, and nothing else would say so.
#[test]
fn every_file_of_tests_is_a_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
    let mut missing = Vec::new();
    for entry in fs::read_dir(root).expect("the directory").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let path = if entry.is_dir() { format!("{name}/main.rs") } else { name };
        let is_test = path.ends_with(".rs") && root.join(&path).exists();
        let is_module = || is_module_of_a_target(root, path.trim_end_matches(".rs"));
        if is_test && !manifest.contains(&format!("path = \"{path}\"")) && !is_module() {
            missing.push(path);
        }
    }
    assert!(missing.is_empty(), "no [[test]] in tests/Cargo.toml: {missing:?}");
}

/// True of a file that another one beside it takes in.
fn is_module_of_a_target(root: &Path, name: &str) -> bool {
    let entries = fs::read_dir(root).expect("the directory").map(|entry| entry.expect("an entry").path());
    let mut sources = entries.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let taken_in = format!("\nmod {name};");
    sources.any(|path| fs::read_to_string(path).expect("a source file").contains(&taken_in))
}

/// Every `.rs` file below `root`, by its path there.
fn sources(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut todo: Vec<PathBuf> = vec![root.to_path_buf()];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(
                fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
            found.push((name, fs::read_to_string(path).expect("a source file")));
        }
    }
    found.sort();
    found
}

/// What is wrong with one file.
fn violations(file: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut report = |line: usize, why: String| found.push(Violation { file: file.to_owned(), line, why });
    let own = file.split('/').next().unwrap_or(file).trim_end_matches(".rs");
    if own == "lib" {
        // It declares the layers and re-exports the public names.
        return found;
    }
    let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == own) else {
        report(1, format!("{own} is no layer: give it a line in the table, or a place in one"));
        return found;
    };
    let code = without_comments_and_strings(text);
    for (line, used) in crate_paths(&code) {
        let is_allowed = used == own || SHARED.contains(&used.as_str()) || allowed.contains(&used.as_str());
        if !is_allowed {
            report(line, format!("{own} uses {used}"));
        }
    }
    if let Some(at) = code.find("super::super").filter(|_| file.matches('/').count() < 2) {
        report(line_of(&code, at), "super::super leads out of the layer: name it from crate".to_owned());
    }
    let is_test = file.contains("/tests/") || file.ends_with("/tests.rs");
    for (word, layer) in
        CONFINED.iter().filter(|(word, layer)| own != *layer && !(is_test && *word == "std::fs"))
    {
        for at in words(&code, word) {
            report(line_of(&code, at), format!("{word} belongs to {layer}"));
        }
    }
    if own != "io" && !is_test {
        for (at, names) in groups_behind(&code, "std::") {
            if names.iter().any(|name| name == "fs") {
                report(line_of(&code, at), "std::fs belongs to io".to_owned());
            }
        }
    }
    found
}

/// The first name behind each `crate::`, groups in braces included.
fn crate_paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for at in words(code, "crate") {
        let rest = code.get(at + "crate".len()..).unwrap_or_default().trim_start();
        let Some(rest) = rest.strip_prefix("::").map(str::trim_start) else { continue };
        if !rest.starts_with('{') {
            paths.push((line_of(code, at), first_name(rest)));
        }
    }
    for (at, names) in groups_behind(code, "crate::") {
        paths.extend(names.into_iter().map(|name| (line_of(code, at), name)));
    }
    paths
}

/// The first names of each item in the braces behind `prefix`.
fn groups_behind(code: &str, prefix: &str) -> Vec<(usize, Vec<String>)> {
    let mut groups = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let Some(group) = code.get(at + prefix.len()..).and_then(|rest| rest.trim_start().strip_prefix('{'))
        else {
            continue;
        };
        let mut depth = 0;
        let mut names = Vec::new();
        let mut begins = true;
        for (offset, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                letter if begins && depth == 0 && !letter.is_whitespace() => {
                    names.push(first_name(group.get(offset..).unwrap_or_default()));
                    begins = false;
                }
                _ => {}
            }
        }
        groups.push((at, names));
    }
    groups
}

fn first_name(text: &str) -> String {
    text.chars().take_while(|letter| is_name(*letter)).collect()
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Where `word` stands as a word of its own.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = code.get(..*at).and_then(|text| text.chars().next_back());
        let behind = code.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(is_name) && !behind.is_some_and(is_name)
    })
}

fn line_of(code: &str, at: usize) -> usize {
    code.get(..at).unwrap_or_default().matches('\n').count() + 1
}

/// The code with comments and the insides of string literals blanked, line breaks kept. Enough for this crate: it knows no
/// raw strings with quotes inside.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '/' if letters.peek() == Some(&'/') => {
                while letters.peek().is_some_and(|next| *next != '\n') {
                    letters.next();
                }
            }
            '/' if letters.peek() == Some(&'*') => {
                let mut last = ' ';
                for next in letters.by_ref() {
                    if next == '\n' {
                        code.push('\n');
                    }
                    if last == '*' && next == '/' {
                        break;
                    }
                    last = next;
                }
            }
            '"' => {
                code.push('"');
                while let Some(next) = letters.next() {
                    match next {
                        '\\' => _ = letters.next(),
                        '"' => break,
                        '\n' => code.push('\n'),
                        _ => {}
                    }
                }
                code.push('"');
            }
            '\'' => {
                code.push('\'');
                // A character literal, or a lifetime: only a quote or a backslash in it matters here.
                if letters.peek() == Some(&'\\') {
                    letters.next();
                    letters.next();
                } else if letters.peek() == Some(&'"') {
                    letters.next();
                }
            }
            other => code.push(other),
        }
    }
    code
}
