//! Bytes on the disk, and how long an open takes until a stream can be read.

use std::path::Path;
use std::time::Duration;

use crate::harness::Outcome;
use crate::payload::Found;
use crate::peers;
use crate::watch::timed;
use crate::works::{fill, stream};

/// How often a store is opened: the median counts.
const OPENS: usize = 5;

/// After the number of events: how many are appended together, and the beginning of a peer's name.
pub(crate) fn run(events: usize, rest: &[&str]) -> Outcome {
    let together = rest.first().map_or(Ok(1), |number| number.parse())?;
    let only = rest.get(1).copied().unwrap_or_default();
    println!("{:<42} {:>12} {:>12} {:>14} {:>14}", "", "B an event", "open, ms", "append, ns", "all, ns");
    for peer in peers::ALL.iter().filter(|peer| peer.name.starts_with(only)) {
        let dir = tempfile::TempDir::with_prefix("annals-events-")?;
        let store = (peer.open)(dir.path())?;
        let (_, filled) = timed(|| fill(&*store, events / 10, together))?;
        store.close()?;
        drop(store);
        let bytes = allocated(dir.path())?;
        let mut opens = Vec::new();
        for _ in 0..OPENS {
            let (store, elapsed) = timed(|| {
                let store = (peer.open)(dir.path())?;
                let mut found = Found::default();
                store.read(&stream(7), &mut found)?;
                if found.records == 10 { Ok(store) } else { Err("events are missing".into()) }
            })?;
            opens.push(elapsed);
            store.close()?;
        }
        opens.sort();
        let store = (peer.open)(dir.path())?;
        let mut found = Found::default();
        let ((), read) = timed(|| store.read_all(&mut found))?;
        if found.records != events / 10 * 10 {
            return Err(format!("{}: {} events of {events}", peer.name, found.records).into());
        }
        store.close()?;
        let each = |time: Duration| time.as_secs_f64() * 1e9 / events as f64;
        println!(
            "{:<42} {:>12.1} {:>12.2} {:>14.0} {:>14.0}",
            peer.name,
            bytes as f64 / events as f64,
            opens[OPENS / 2].as_secs_f64() * 1e3,
            each(filled),
            each(read)
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
