//! Bytes on the disk, and how long an open takes until a stream can be read.

use std::path::Path;

use crate::harness::{Outcome, timed};
use crate::payload::Found;
use crate::peers;
use crate::works::{fill, stream};

pub(crate) fn run(events: usize) -> Outcome {
    println!("{:<42} {:>16} {:>12}", "", "bytes an event", "open, ms");
    for peer in peers::ALL {
        let dir = tempfile::TempDir::with_prefix("annals-events-")?;
        let store = (peer.open)(dir.path())?;
        fill(&*store, events / 10)?;
        store.close()?;
        drop(store);
        let bytes = allocated(dir.path())?;
        let (store, elapsed) = timed(|| {
            let store = (peer.open)(dir.path())?;
            let mut found = Found::default();
            store.read(&stream(7), &mut found)?;
            if found.records == 10 { Ok(store) } else { Err("events are missing".into()) }
        })?;
        drop(store);
        println!(
            "{:<42} {:>16.1} {:>12.2}",
            peer.name,
            bytes as f64 / events as f64,
            elapsed.as_secs_f64() * 1e3
        );
    }
    Ok(())
}

/// Bytes of the blocks that files take.
fn allocated(dir: &Path) -> Outcome<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { allocated(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}
