//! `tests/golden/kafka`: directories that a broker of Kafka wrote, and what Kafka's own consumer read of them.

use std::fs;
use std::path::{Path, PathBuf};

/// A record as Kafka's consumer handed it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/kafka")
}

/// The directories of partitions, by name.
pub(crate) fn partitions() -> Vec<PathBuf> {
    let entries = fs::read_dir(golden().join("logs")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

/// What a consumer reads of a partition (`tx-0`) at `read_uncommitted` or, if `committed`, at `read_committed`.
pub(crate) fn expected(partition: &str, committed: bool) -> Vec<Expected> {
    let file = |isolation| golden().join(format!("expected/{partition}.{isolation}.jsonl"));
    let wanted = file(if committed { "committed" } else { "uncommitted" });
    // Where both read the same there is one file.
    let text = fs::read_to_string(&wanted).or_else(|_| fs::read_to_string(file("uncommitted"))).unwrap();
    text.lines().map(Expected::parse).collect()
}

/// A number from a partition's line in `partitions.jsonl`: `start`, `stable`, `end` or `max_timestamp_at`.
pub(crate) fn offset(partition: &str, name: &str) -> i64 {
    number(&line(partition), name)
}

/// For some times, the first record at or after each, as Kafka's log finds it; `None` when it finds none.
pub(crate) fn times(partition: &str) -> Vec<(i64, Option<i64>)> {
    let line = line(partition);
    let times = after(&line, "times").trim_start_matches('{');
    let times = times.split_once('}').unwrap().0;
    let pair = |pair: &str| {
        let (time, offset) = pair.split_once(':').unwrap();
        let offset: i64 = offset.parse().unwrap();
        (time.trim_matches('"').parse().unwrap(), (offset >= 0).then_some(offset))
    };
    times.split(',').map(pair).collect()
}

fn line(partition: &str) -> String {
    let text = fs::read_to_string(golden().join("expected/partitions.jsonl")).unwrap();
    let begin = format!("{{\"partition\":\"{partition}\",");
    text.lines().find(|line| line.starts_with(&begin)).unwrap().to_owned()
}

/// What follows a field's name. The files are written by one program, without spaces and with no name within a text.
fn after<'a>(line: &'a str, name: &str) -> &'a str {
    line.split_once(&format!("\"{name}\":")).unwrap().1
}

fn number(line: &str, name: &str) -> i64 {
    let digits = after(line, name);
    let end = digits.find([',', '}']).unwrap();
    digits[..end].parse().unwrap()
}

/// Hexadecimal digits in quotes, or null; and what follows.
fn bytes(text: &str) -> (Option<Vec<u8>>, &str) {
    if let Some(rest) = text.strip_prefix("null") {
        return (None, rest);
    }
    let (digits, rest) = text.strip_prefix('"').unwrap().split_once('"').unwrap();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (Some((0..digits.len()).step_by(2).map(byte).collect()), rest)
}

impl Expected {
    fn parse(line: &str) -> Self {
        let mut headers = Vec::new();
        let mut rest = after(line, "headers").strip_prefix('[').unwrap();
        while let Some(pair) = rest.trim_start_matches(',').strip_prefix('[') {
            let (name, value) = bytes(pair);
            let (value, end) = bytes(value.strip_prefix(',').unwrap());
            headers.push((String::from_utf8(name.unwrap()).unwrap(), value));
            rest = end.strip_prefix(']').unwrap();
        }
        Self {
            offset: number(line, "offset"),
            timestamp: number(line, "timestamp"),
            leader_epoch: number(line, "epoch").try_into().unwrap(),
            key: bytes(after(line, "key")).0,
            value: bytes(after(line, "value")).0,
            headers,
        }
    }
}
