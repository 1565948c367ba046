//! A backup that is finished.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::backup::list;
use crate::backup::pace::OnProgress;
use crate::backup::report::{BackedUp, BackupProgress, RestoreReport};
use crate::backup::restore::RestoreOptions;
use crate::error::{Error, Result};
use crate::format::{BackedUpPartition, BackupList, SegmentFile, partition_dir_name, segment_file_name};
use crate::io::{Directory, FileSystem, OpenMode, OsFileSystem, SystemClock};
use crate::log::{LogOptions, Plan, VerifyReport};
use crate::segment::ReadMode;
use crate::topic::{StoreCut, TopicContext};
use crate::types::{Timestamp, TopicPartition};
use crate::upkeep::Agenda;

/// Checks the backup in a directory: its list, and every byte of what it lists. Changes nothing.
///
/// # Errors
/// [`Backup`](Error::Backup) when there is none, or one that was not finished; otherwise as for [`Backup::verify`]. Damage is not an error here: it is
/// what is looked for.
pub fn verify(directory: impl AsRef<Path>) -> Result<VerifyReport> {
    Backup::open(directory)?.verify(|_| ControlFlow::Continue(()))
}

/// Restores the backup in a directory to a new store. The store has an identity of its own; [`Backup::restore`] can give it the old one.
///
/// # Errors
/// As for [`Backup::restore`].
pub fn restore(directory: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<RestoreReport> {
    Backup::open(directory)?.restore(target, RestoreOptions::new())
}

/// A finished backup.
///
/// ```
/// # use annals::{Store, TopicConfig};
/// use annals::backup::{Backup, RestoreOptions};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path().join("shop-log"))?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # store.backup(dir.path().join("monday"))?;
/// let backup = Backup::open(dir.path().join("monday"))?;
/// for partition in backup.partitions() {
///     println!("{}: {} to {}", partition.topic_partition, partition.start, partition.end);
/// }
/// backup.restore(dir.path().join("again"), RestoreOptions::new().independent())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Backup {
    pub(super) root: Directory,
    pub(super) list: BackupList,
    pub(super) max_expanded_bytes: usize,
}

/// What a store expands that is opened as it comes.
const MAX_EXPANDED_BYTES: usize = 64 << 20;

impl fmt::Debug for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backup").field("path", &self.root.path()).finish_non_exhaustive()
    }
}

impl Backup {
    /// Opens the backup in a directory.
    ///
    /// # Errors
    /// [`Backup`](Error::Backup) when there is none, or one that was not finished; [`Corrupt`](Error::Corrupt) when its list is
    /// damaged; [`UnsupportedFormat`](Error::UnsupportedFormat), [`Io`](Error::Io).
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        Self::open_on(Arc::new(OsFileSystem), directory)
    }

    /// Opens a backup on a file system other than the machine's.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_on(file_system: Arc<dyn FileSystem>, directory: impl AsRef<Path>) -> Result<Self> {
        let path = directory.as_ref();
        let path = std::path::absolute(path).map_err(|error| Error::io(path, "find the place of", error))?;
        let root = Directory::new(file_system, &path);
        let list = list::read(&root)?;
        Ok(Self { root, list, max_expanded_bytes: MAX_EXPANDED_BYTES })
    }

    /// The most that one compressed batch may expand to when it is [verified](Self::verify): what the store was opened
    /// [with](crate::StoreBuilder::max_expanded_bytes), where that was more than the default. Default: 64 MiB.
    #[must_use]
    pub fn max_expanded_bytes(mut self, bytes: usize) -> Self {
        self.max_expanded_bytes = bytes;
        self
    }

    /// Returns when the cut was made, by the clock of its store.
    pub fn time(&self) -> Timestamp {
        self.list.time
    }

    /// Returns the partitions in it, by topic and number.
    pub fn partitions(&self) -> Vec<BackedUp> {
        let partition = |one: &BackedUpPartition| {
            BackedUp::new(TopicPartition::new(one.topic.as_str(), one.number), (one.start, one.end))
        };
        self.list.partitions.iter().map(partition).collect()
    }

    /// Checks that everything in its list is there, and every byte of it. Reports after each segment how much was
    /// checked; `Break` stops it there. Changes nothing.
    ///
    /// # Errors
    /// [`Io`](Error::Io); [`BatchTooLarge`](Error::BatchTooLarge) for a batch of more than [`max_expanded_bytes`](Self::max_expanded_bytes).
    /// Damage is not an error here: it is what is looked for.
    pub fn verify(&self, mut progress: impl FnMut(&VerifyReport) -> ControlFlow<()>) -> Result<VerifyReport> {
        let options = LogOptions {
            read_mode: ReadMode::Positional,
            sync_every_bytes: u64::MAX,
            max_expanded_bytes: self.max_expanded_bytes,
            compaction_memory_bytes: 0,
        };
        let agenda = Arc::new(Agenda::new(Duration::MAX, Duration::MAX));
        let context = TopicContext {
            clock: Arc::new(SystemClock),
            agenda,
            options,
            spares: Arc::default(),
            figures: Arc::default(),
            clearing: Arc::default(),
            owner: None,
            is_read_only: true,
        };
        let mut found = crate::topic::verify(&self.root, &context, &mut progress)?;
        for partition in &self.list.partitions {
            if let Err(error) = self.plan(partition) {
                found.note(error)?;
            }
        }
        if let Err(error) = self.check_topics() {
            found.note(error)?;
        }
        Ok(found)
    }

    /// Restores it to a store, in a directory that must be missing or empty.
    ///
    /// # Errors
    /// [`Backup`](Error::Backup) when the directory is neither missing nor empty, or lies in a store or a backup, open or not;
    /// [`Corrupt`](Error::Corrupt) when files are not those of the list, [`Io`](Error::Io). Nothing of the new store is left then, as far as
    /// it can be removed. [`Forked`](Error::Forked) in a child of the process that has opened the backup.
    pub fn restore(&self, target: impl AsRef<Path>, options: RestoreOptions) -> Result<RestoreReport> {
        super::restore::restore(self, target.as_ref(), &options, None)
    }

    /// Restores it as [`restore`](Self::restore) does. `progress` is called after each file and each MiB, and while waiting for the pace;
    /// `Break` stops the restore.
    ///
    /// ```
    /// # use annals::Store;
    /// # use annals::backup::{Backup, RestoreOptions};
    /// # use std::ops::ControlFlow;
    /// # let dir = tempfile::tempdir()?;
    /// # Store::open(dir.path().join("shop-log"))?.backup(dir.path().join("monday"))?;
    /// let backup = Backup::open(dir.path().join("monday"))?;
    /// backup.restore_with(dir.path().join("again"), RestoreOptions::new(), |so_far| {
    ///     println!("{} of {} bytes", so_far.bytes, so_far.total_bytes);
    ///     ControlFlow::Continue(())
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`restore`](Self::restore); [`Cancelled`](Error::Cancelled), and nothing of the new store is left, as far as it can be removed.
    pub fn restore_with<'a>(
        &self,
        target: impl AsRef<Path>,
        options: RestoreOptions,
        progress: impl FnMut(&BackupProgress) -> ControlFlow<()> + Send + 'a,
    ) -> Result<RestoreReport> {
        let mut on_progress: OnProgress<'a> = Box::new(progress);
        super::restore::restore(self, target.as_ref(), &options, Some(&mut on_progress))
    }

    pub(super) fn directory_of(&self, partition: &BackedUpPartition) -> Directory {
        self.root.child(&partition_dir_name(&partition.topic, partition.number))
    }

    /// What a partition's files are, which must be what the list says.
    pub(super) fn plan(&self, partition: &BackedUpPartition) -> Result<Plan> {
        let directory = self.directory_of(partition);
        let plan = Plan::of_closed(&directory)?;
        let told =
            partition.segments.iter().map(|one| (one.base, one.next_offset, one.bytes, one.headers_crc));
        let is_told = plan.bounds() == (partition.start, partition.end)
            && plan.segments().map(|one| (one.base, one.next_offset, one.bytes, one.headers_crc)).eq(told);
        if is_told {
            return Ok(plan);
        }
        let reason = "it is not the partition that the backup's list tells of".to_owned();
        Err(Error::corrupt(directory.path().to_path_buf(), 0, None, reason))
    }

    /// Each `.log` has the length that the list tells: no more, either.
    pub(super) fn check_lengths(&self, partition: &BackedUpPartition) -> Result<()> {
        let directory = self.directory_of(partition);
        for one in &partition.segments {
            let name = segment_file_name(one.base, SegmentFile::Log);
            let len = directory.open(&name, OpenMode::Read)?.len()?;
            if len != one.bytes {
                let reason = format!("it has {len} bytes, and the backup's list tells of {}", one.bytes);
                return Err(Error::corrupt(directory.join(&name), len.min(one.bytes), None, reason));
            }
        }
        Ok(())
    }

    /// The list of topics must be of the partitions that the backup's list tells of.
    pub(super) fn check_topics(&self) -> Result<crate::format::Catalog> {
        let path = self.root.join(list::LIST_FILE);
        let corrupt = |reason: &str| Err(Error::corrupt(path.clone(), 0, None, reason));
        let Some(catalog) = StoreCut::listed_topics(&self.root)? else {
            return corrupt("the backup has lost its list of topics");
        };
        let count: u64 = catalog.topics.values().map(|topic| u64::from(topic.partitions)).sum();
        let is_listed = |one: &BackedUpPartition| {
            catalog
                .topics
                .get(&one.topic)
                .is_some_and(|topic| topic.id == one.topic_id && one.number < topic.partitions)
        };
        if catalog.store != self.list.store
            || count != self.list.partitions.len() as u64
            || !self.list.partitions.iter().all(is_listed)
        {
            return corrupt("it tells of other partitions than the list of topics does");
        }
        Ok(catalog)
    }
}
