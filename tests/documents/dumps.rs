//! The hexadecimal dumps in `docs/format.md` are what the library writes. To see the files again after a change of the
//! format: `FORMAT_STORE=/tmp/example cargo test --test documents`, then `hexdump -C` on what is there.
#![expect(clippy::disallowed_methods, reason = "the test reads files behind the library's back")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{Durability, Record, Store, TopicConfig};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const DOCUMENT: &str = include_str!("../../docs/format.md");
/// In the line before a dump: the file that it shows.
const FILE: &str = "<!-- file: ";
/// What stands for a byte that differs from one store to the next.
const ANY: &str = "..";

/// The store that the document shows: two records in one batch, read and committed by one group, closed.
fn make(dir: &Path) -> Outcome {
    let store = Store::builder(dir).clock(Arc::new(ManualClock::at(1_000_000))).open()?;
    let config = TopicConfig::new().segment_bytes(1 << 20);
    let partition = store.create_topic("orders", config)?.partition(0)?;
    let batch = [
        Record::new().key("key1").value("value1").timestamp(283_843),
        Record::new().key("key2").value("value2").timestamp(1234),
    ];
    partition.append(&batch, Durability::Disk)?;
    let mut billing = store.consumer("billing")?;
    billing.subscribe(["orders"])?;
    billing.poll(Duration::ZERO)?;
    billing.commit()?;
    drop(billing);
    Ok(store.close()?)
}

/// The bytes that the document shows, by file and position. `None` is a byte that may be any.
fn shown() -> Outcome<BTreeMap<&'static str, BTreeMap<usize, Option<u8>>>> {
    let mut files: BTreeMap<&str, BTreeMap<usize, Option<u8>>> = BTreeMap::new();
    let mut file = None;
    for line in DOCUMENT.lines() {
        if let Some(name) = line.strip_prefix(FILE) {
            file = Some(name.trim_end_matches(" -->"));
        } else if line == "```" {
            file = None;
        } else if let (Some(file), Some((position, rest))) = (file, line.split_once("  ")) {
            let position = usize::from_str_radix(position, 16)?;
            let bytes = rest.split(" |").next().unwrap_or_default().split_whitespace();
            let shown = files.entry(file).or_default();
            for (number, byte) in bytes.enumerate() {
                let byte = if byte == ANY { None } else { Some(u8::from_str_radix(byte, 16)?) };
                shown.insert(position + number, byte);
            }
        }
    }
    Ok(files)
}

#[test]
fn the_dumps_in_the_format_document_are_what_is_written() -> Outcome {
    let temporary = tempfile::tempdir()?;
    let dir = std::env::var_os("FORMAT_STORE").map_or(temporary.path().join("store"), Into::into);
    make(&dir)?;
    let files = shown()?;
    assert_eq!(files.len(), 4, "{:?}", files.keys());
    for (file, shown) in files {
        let bytes = std::fs::read(dir.join(file))?;
        assert_eq!(shown.last_key_value().map_or(0, |(last, _)| last + 1), bytes.len(), "length of {file}");
        for (position, expected) in shown {
            let found = bytes[position];
            assert!(
                expected.is_none_or(|expected| expected == found),
                "{file} byte {position:#x}: {found:02x}"
            );
        }
    }
    Ok(())
}
