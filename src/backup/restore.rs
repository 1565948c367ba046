//! Making a store of a backup.

use std::path::Path;

use crate::backup::backup::Backup;
use crate::backup::pace::{OnProgress, Pace};
use crate::backup::report::{BackedUp, RestoreReport};
use crate::backup::target::Target;
use crate::error::Result;
use crate::format::{Identity, partition_dir_name};
use crate::io::random_id;
use crate::log::{Carrier, Links};
use crate::topic::StoreCut;
use crate::types::TopicPartition;

/// Settings of a restore.
///
/// ```
/// use annals::backup::RestoreOptions;
/// let disaster = RestoreOptions::new().same_identity().max_bytes_per_second(100 << 20);
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing by themselves"]
pub struct RestoreOptions {
    same_identity: bool,
    links: Links,
    max_bytes_per_second: Option<u64>,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self { same_identity: false, links: Links::Allowed, max_bytes_per_second: None }
    }
}

impl RestoreOptions {
    /// Returns the defaults: a store with an identity of its own, whose sealed files are links where they can be.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the store the identity of the one that the backup was made of: only when that store is gone. Whatever watches and fences stores
    /// would take two stores of one identity for each other.
    pub fn same_identity(mut self) -> Self {
        self.same_identity = true;
        self
    }

    /// Makes a store that shares no file with the backup by a link. Where the file system can, the files share blocks.
    pub fn independent(mut self) -> Self {
        self.links = Links::Forbidden;
        self
    }

    /// Sets the most bytes that are copied in a second.
    pub fn max_bytes_per_second(mut self, bytes: u64) -> Self {
        self.max_bytes_per_second = Some(bytes);
        self
    }
}

pub(super) fn restore(
    backup: &Backup,
    target: &Path,
    options: &RestoreOptions,
    on_progress: Option<&mut OnProgress<'_>>,
) -> Result<RestoreReport> {
    let mut catalog = backup.check_topics()?;
    let target = Target::new(&backup.root, target)?;
    if !options.same_identity {
        catalog.store = random_id();
    }
    let total = backup.list.partitions.iter().flat_map(|one| &one.segments).map(|one| one.bytes).sum();
    let mut pace = Pace::new("the restore", options.max_bytes_per_second, on_progress, total);
    let mut partitions = Vec::new();
    let mut bytes = 0;
    for partition in &backup.list.partitions {
        let plan = backup.plan(partition)?;
        backup.check_lengths(partition)?;
        let directory = target.partition(&partition_dir_name(&partition.topic, partition.number))?;
        let identity =
            Identity { store: catalog.store, topic: partition.topic_id, partition: partition.number };
        let mut step = |bytes, copied| pace.step((bytes, copied), &|| Ok(()));
        let mut carrier = Carrier { links: options.links, parent: None, step: &mut step };
        let carried = plan.copy(&backup.directory_of(partition), identity, &directory, &mut carrier)?;
        bytes += carried.segments.iter().map(|segment| segment.bytes).sum::<u64>();
        let place = TopicPartition::new(partition.topic.as_str(), partition.number);
        partitions.push(BackedUp::new(place, (carried.start, carried.end)));
    }
    target.root.sync()?;
    StoreCut::list_topics(catalog, &target.root)?;
    let path = target.root.path().to_path_buf();
    target.finish_store()?;
    Ok(RestoreReport { path, partitions, bytes, copied_bytes: pace.progress.copied_bytes })
}
