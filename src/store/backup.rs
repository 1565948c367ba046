//! Backups of an open store.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::backup::{BackupProgress, BackupReport, Check, Making, Options};
use crate::error::Result;
use crate::log::Links;
use crate::store::store::Store;

/// Makes a backup with settings other than the defaults. Made by [`Store::backup_builder`].
///
/// ```
/// # use annals::{Store, TopicConfig};
/// # use std::ops::ControlFlow;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path().join("shop-log"))?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// let monday = dir.path().join("monday");
/// store.backup(&monday)?;
/// let report = store
///     .backup_builder()
///     .parent(&monday)
///     .max_bytes_per_second(50 << 20)
///     .progress(|so_far| {
///         println!("{} of {} bytes", so_far.bytes, so_far.total_bytes);
///         ControlFlow::Continue(())
///     })
///     .run(dir.path().join("tuesday"))?;
/// assert_eq!(report.partitions.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing until it runs"]
pub struct BackupBuilder<'a> {
    store: Store,
    options: Options<'a>,
}

impl fmt::Debug for BackupBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupBuilder").field("store", &self.store).finish_non_exhaustive()
    }
}

impl<'a> BackupBuilder<'a> {
    /// Sets an earlier backup of this store as the parent: sealed segments that it has are linked from there, where the store's own cannot be
    /// linked. The new backup is complete by itself.
    pub fn parent(mut self, directory: impl Into<PathBuf>) -> Self {
        self.options.parent = Some(directory.into());
        self
    }

    /// Makes a backup that shares no file with the store or the parent by a link. Where the file system can, the files share blocks;
    /// otherwise they are copied. A medium that fails under a linked file destroys both.
    pub fn independent(mut self) -> Self {
        self.options.links = Links::Forbidden;
        self
    }

    /// Leaves topics out, for example those that cannot be read. To whoever opens the copy they never existed. Leaving out an internal topic
    /// leaves out what it decides: without `__consumer_offsets` groups begin again, and without `__transaction_state` transactions that are
    /// committed and not yet ended in every partition count as aborted there.
    pub fn leave_out<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.options.left_out.extend(topics.into_iter().map(Into::into));
        self
    }

    /// Sets the most bytes that are copied in a second. Default: no limit.
    pub fn max_bytes_per_second(mut self, bytes: u64) -> Self {
        self.options.max_bytes_per_second = Some(bytes);
        self
    }

    /// Calls `report` after each file and each MiB, while waiting for [the pace](Self::max_bytes_per_second), and after each segment that is
    /// [read back](Self::verify), on this thread and without a lock of the store. `Break` ends the backup with
    /// [`Cancelled`](crate::Error::Cancelled).
    pub fn progress(mut self, report: impl FnMut(&BackupProgress) -> ControlFlow<()> + Send + 'a) -> Self {
        self.options.on_progress = Some(Box::new(report));
        self
    }

    /// Reads the whole backup back once it is written, and fails at the first damage.
    pub fn verify(mut self) -> Self {
        self.options.check = Check::Everything;
        self
    }

    /// Makes the backup in `directory`, which must be missing or empty.
    ///
    /// # Errors
    /// As for [`Store::backup`].
    pub fn run(mut self, directory: impl AsRef<Path>) -> Result<BackupReport> {
        let _work = self.store.work()?;
        // What consumers and workers in other processes have done before this call is to be in it.
        self.store.fold_for_copy()?;
        let making = Making { topics: self.store.shared_topics(), clock: self.store.clock() };
        making.run(directory.as_ref(), &mut self.options)
    }
}

impl Store {
    /// Makes a backup in `directory`, which must be missing or empty, while the store is in use: one cut through all partitions,
    /// committed offsets and transactions. Appends stop for microseconds, for the cut. When the call returns, the backup is
    /// complete and durable. `docs/backup.md` says what it holds.
    ///
    /// Sealed segments are linked where the directory is in the store's file system, and copied elsewhere. While a partition
    /// is copied, its retention frees no space, and its compaction and erasure wait or return [`Held`](crate::Error::Held).
    ///
    /// ```
    /// # use annals::{Record, Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::open(dir.path().join("shop-log"))?;
    /// store.create_topic("orders", TopicConfig::new())?;
    /// store.producer().send(Record::to("orders").value("2 apples"))?;
    /// let report = store.backup(dir.path().join("monday"))?;
    /// assert_eq!((report.partitions[0].start, report.partitions[0].end), (0, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Backup`](crate::Error::Backup) when the directory cannot be used, or is in the store; [`Poisoned`](crate::Error::Poisoned)
    /// and whatever error kept a topic from being opened, until it is [left out](BackupBuilder::leave_out);
    /// [`Corrupt`](crate::Error::Corrupt), [`Io`](crate::Error::Io), also when what consumers in other processes have committed cannot
    /// be taken over first; what is still owed, or is in a broken file of a queue elsewhere, or in one that a stopped process keeps locked
    /// and that a crash has left uncut, is missing in the copy (`docs/backup.md`), which is not an error;
    /// [`StoreClosed`](crate::Error::StoreClosed) when it is closed meanwhile. Nothing of the backup is left, as far as it can be removed.
    /// The store is as it was.
    pub fn backup(&self, directory: impl AsRef<Path>) -> Result<BackupReport> {
        self.backup_builder().run(directory)
    }

    /// Returns a builder that makes a backup with other settings.
    pub fn backup_builder<'a>(&self) -> BackupBuilder<'a> {
        let options = Options {
            parent: None,
            links: Links::Allowed,
            left_out: Default::default(),
            max_bytes_per_second: None,
            on_progress: None,
            check: Check::Nothing,
        };
        BackupBuilder { store: self.clone(), options }
    }
}
