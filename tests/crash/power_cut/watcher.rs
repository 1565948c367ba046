//! Orders of calls that no crash may come between: looked at in every call, whatever is explored.

use std::ffi::OsStr;
use std::path::Path;

use annals_testing::power_cut::{Change, Disk, FileNode, NameChange, Names};

/// What is wrong with this change at this moment.
pub(crate) fn verdict(disk: &Disk, change: &Change<'_>) -> Option<String> {
    match change {
        Change::Rename { from, to } => rename(disk, from, to),
        Change::Remove(path) => removal(disk, path),
        Change::Write { path, node, at, .. } | Change::SetLen { path, node, len: at } => {
            write(disk.file(*node).ok()?, *at, path)
        }
        _ => None,
    }
}

const STATE: &str = "annals.state";

fn is_log(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("log"))
}

/// What gets its name must be on the disk before: the name may be there first.
fn rename(disk: &Disk, from: &Path, to: &Path) -> Option<String> {
    let file = disk.file(disk.find(from).ok()?).ok()?;
    (!file.is_synced()).then(|| format!("{} got its name before a sync of its bytes", to.display()))
}

/// What stands in the place of a removed segment must have its bytes and its name: its own, or the table that does not
/// list it any more, or the catalog that does not list the topic. Of a segment whose own name was not synced nothing was
/// promised.
fn removal(disk: &Disk, path: &Path) -> Option<String> {
    let (parent, _) = disk.place(path).ok()?;
    let name = path.file_name()?.to_str()?;
    if !is_log(path) || !disk.directory(parent).ok()?.durable.contains_key(name) {
        return None;
    }
    let is_early = match Listed::find(disk, path) {
        Some(listed) if !listed.now => listed.for_good,
        _ => {
            let changes = &disk.directory(parent).ok()?.changes;
            changes.iter().any(|change| matches!(change, NameChange::Rename { .. }))
        }
    };
    is_early.then(|| format!("{} is removed before what replaces it has its name for good", path.display()))
}

/// Whether the catalog lists the topic of a file.
struct Listed {
    /// As the system shows it.
    now: bool,
    /// After a power cut.
    for_good: bool,
}

impl Listed {
    fn find(disk: &Disk, path: &Path) -> Option<Self> {
        let directory = path.parent()?;
        let (topic, _) = directory.file_name()?.to_str()?.rsplit_once('-')?;
        let root = disk.directory(disk.find(directory.parent()?).ok()?).ok()?;
        let lists = |bytes: &[u8]| bytes.windows(topic.len()).any(|found| found == topic.as_bytes());
        let catalog = |names: &Names| disk.file(*names.get("annals.topics")?).ok();
        let now = lists(&catalog(&root.current)?.current);
        let for_good = catalog(&root.durable).is_some_and(|file| lists(&file.durable));
        Some(Self { now, for_good })
    }
}

/// A segment's bytes stay as they were when it was sealed.
fn write(file: &FileNode, at: usize, path: &Path) -> Option<String> {
    (is_log(path) && at < file.sealed)
        .then(|| format!("{} is changed at {at}, sealed up to {}", path.display(), file.sealed))
}

/// A new table seals all segments but the last.
pub(crate) fn note_sealed(disk: &mut Disk, to: &Path) {
    if to.file_name() != Some(OsStr::new(STATE)) {
        return;
    }
    let Ok(directory) = disk.place(to).and_then(|(parent, _)| disk.directory(parent)) else { return };
    let logs: Vec<_> = directory.current.iter().filter(|(name, _)| is_log(Path::new(name))).collect();
    let sealed: Vec<_> =
        logs.split_last().map_or(&[][..], |(_, sealed)| sealed).iter().map(|(_, node)| **node).collect();
    for node in sealed {
        if let Ok(file) = disk.file_mut(node) {
            file.sealed = file.current.len();
        }
    }
}
