//! Settings of a store.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::backup::{refuse_backup, refuse_copies};
use crate::error::{Error, Result};
use crate::figures::Event;
use crate::io::{
    Clock, Directory, DirectoryLock, FileSystem, Leads, OsFileSystem, SystemClock, descriptor_limit,
    most_held,
};
use crate::live::Opened;
use crate::log::{LogOptions, RepairReport, VerifyReport};
use crate::segment::ReadMode;
use crate::store::failures::OnMaintenanceFailure;
use crate::store::reader::StoreReader;
use crate::store::store::Store;
use crate::store::teller::OnEvent;
use crate::topic::{TopicContext, repair, verify};
use crate::types::{Timestamp, TopicPartition};
use crate::upkeep::Agenda;

/// Opens a [`Store`] with settings other than the defaults.
///
/// ```
/// # use annals::{ReadMode, Store};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// let store = Store::builder(dir.path())
///     .read_mode(ReadMode::Positional)
///     .sync_every(Duration::from_millis(200))
///     .open()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it opens"]
pub struct StoreBuilder {
    pub(super) path: PathBuf,
    pub(super) file_system: Arc<dyn FileSystem>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) read_mode: ReadMode,
    pub(super) sync_every: Duration,
    pub(super) sync_every_bytes: u64,
    pub(super) retention_check_interval: Duration,
    pub(super) max_expanded_bytes: usize,
    pub(super) maintenance: Maintenance,
    pub(super) live_readers: LiveReaders,
    pub(super) max_open_files: usize,
    pub(super) compaction_memory_bytes: usize,
    pub(super) on_maintenance_failure: Option<OnMaintenanceFailure>,
    pub(super) on_event: Option<OnEvent>,
}

/// True of media that can only be read, and of directories of others.
fn cannot_be_written(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

/// The path from the root of the file system on, as of the working directory of this moment.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::io(path, "find the place of", error))
}

impl fmt::Debug for StoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreBuilder").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Who writes lingering batches and syncs in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maintenance {
    Thread,
    ByHand,
}

/// Whether other processes are shown what this one writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LiveReaders {
    Welcome,
    Refused,
}

/// A clock of the program, whose times are none that a record cannot have.
#[derive(Debug)]
struct Since1970(Arc<dyn Clock>);

impl Clock for Since1970 {
    fn now(&self) -> Timestamp {
        self.0.now().max(0)
    }
}

/// The rest of the process's descriptors are the application's own.
fn default_open_files() -> usize {
    let quarter = descriptor_limit().map_or(0, |limit| limit / 4);
    usize::try_from(quarter).unwrap_or(usize::MAX).clamp(192, 16 << 10)
}

impl StoreBuilder {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            file_system: Arc::new(OsFileSystem),
            clock: Arc::new(SystemClock),
            read_mode: ReadMode::default(),
            sync_every: Duration::from_secs(1),
            sync_every_bytes: 16 << 20,
            retention_check_interval: Duration::from_secs(300),
            max_expanded_bytes: 64 << 20,
            maintenance: Maintenance::Thread,
            live_readers: LiveReaders::Welcome,
            max_open_files: default_open_files(),
            compaction_memory_bytes: 32 << 20,
            on_maintenance_failure: None,
            on_event: None,
        }
    }

    /// Sets how segments are read. Default: [`ReadMode::Mapped`].
    pub fn read_mode(mut self, mode: ReadMode) -> Self {
        self.read_mode = mode;
        self
    }

    /// Sets how long written bytes wait at most for a background sync. This limits how much has to be checked after a
    /// crash, and how much a power cut can take of records sent at `Os` or `Memory`. Default: 1 s.
    pub fn sync_every(mut self, interval: Duration) -> Self {
        self.sync_every = interval;
        self
    }

    /// Sets how many written bytes of one partition trigger that sync before its time. Default: 16 MiB.
    pub fn sync_every_bytes(mut self, bytes: u64) -> Self {
        self.sync_every_bytes = bytes;
        self
    }

    /// `log.retention.check.interval.ms`: how often all partitions are checked for what retention does not keep.
    /// Default: 5 minutes. At least 1 ms; [`open`](Self::open) refuses a shorter interval.
    pub fn retention_check_interval(mut self, interval: Duration) -> Self {
        self.retention_check_interval = interval;
        self
    }

    /// Sets the most descriptors that the files of partitions being written to take together. A partition that needs one more
    /// takes that of the partition not used for longest, which is synced first. A few more are open for moments.
    /// Default: a quarter of what the process may have open at the time (`ulimit -n`), 192 at the least and 16,384 at the most.
    /// A quarter of the process's descriptors, or 64 where that is more, are left to the rest of the program whatever is set.
    ///
    /// A record sent to a partition that has its descriptor costs the same however many partitions there are. A program that keeps
    /// writing to more partitions than that pays a sync for most records: raise this setting, and the process's limit.
    pub fn max_open_files(mut self, files: usize) -> Self {
        self.max_open_files = files;
        self
    }

    /// `log.cleaner.dedupe.buffer.size`: the most memory that compaction takes for the keys of one partition, at 24 bytes
    /// per key. Keys that do not fit wait for another pass. Default: 32 MiB.
    pub fn compaction_memory_bytes(mut self, bytes: usize) -> Self {
        self.compaction_memory_bytes = bytes;
        self
    }

    /// Calls `report` with each failure of retention and compaction in the rounds of maintenance, and each failure to remove from the disk what
    /// deletions have left there, on the thread that does the work. It also reports where the commits or answers of other processes cannot be
    /// taken over, under the name of the partition that was to store them; it does not report what those processes are refused. Compaction is
    /// tried again after a wait that doubles each time; [`Store::stats`] lists what fails at which partition. A background write or sync that
    /// fails is reported to the next sender of its partition instead.
    ///
    /// The callback runs without any lock of the store. It may call the store, close it or drop it. It must not wait for another thread that
    /// closes the store: that thread waits for the callback, and both would wait for ever. A panic in it stops nothing:
    /// [`StoreStats::callback_panics`](crate::stats::StoreStats::callback_panics) counts them.
    pub fn on_maintenance_failure(
        mut self,
        report: impl Fn(&TopicPartition, &Error) + Send + Sync + 'static,
    ) -> Self {
        self.on_maintenance_failure = Some(Arc::new(report));
        self
    }

    /// Calls `tell` with every event in the store, in order, soon after it happens: on the thread that does the store's chores,
    /// or in [`Store::maintain`]. Up to 4,096 events wait for the callback; any beyond that are counted but not reported. Nothing is reported after
    /// the store was closed. Without a callback events cost nothing.
    ///
    /// The callback runs without any lock of the store. It may call the store, close it or drop it. It must not wait for another thread that
    /// closes the store: that thread waits for the callback, and both would wait for ever. A panic in it stops nothing:
    /// [`StoreStats::callback_panics`](crate::stats::StoreStats::callback_panics) counts them.
    pub fn on_event(mut self, tell: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(tell));
        self
    }

    /// Sets the most that one compressed batch may expand to when it is read. A larger batch is written uncompressed, so a store
    /// can read whatever it accepts. A batch that was written under a larger limit is
    /// [`BatchTooLarge`](Error::BatchTooLarge), which is not damage. Default: 64 MiB.
    pub fn max_expanded_bytes(mut self, bytes: usize) -> Self {
        self.max_expanded_bytes = bytes;
        self
    }

    /// Starts no maintenance thread. Instead [`Store::maintain`] writes lingering batches, syncs written bytes, aborts transactions whose
    /// time is over, writes the ends of decided ones, and applies retention.
    pub fn maintain_by_hand(mut self) -> Self {
        self.maintenance = Maintenance::ByHand;
        self
    }

    /// Shows other processes nothing of the store while it is open: nobody can attach, and no file is made for them. By default the
    /// file `annals.live` says where each partition is.
    pub fn without_live_readers(mut self) -> Self {
        self.live_readers = LiveReaders::Refused;
        self
    }

    /// Sets where the time of day comes from. A time before 1970 is read as the beginning of 1970, as the machine's
    /// is, because records have no earlier times. Durations are measured by the machine's monotonic clock all the same: timeouts of
    /// transactions, and the second after which a decided transaction gets its ends. Default: the machine's clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Arc::new(Since1970(clock));
        self
    }

    /// Replaces the operating system's files: tests pass file systems that fail. Default: the real ones.
    pub fn file_system(mut self, file_system: Arc<dyn FileSystem>) -> Self {
        self.file_system = file_system;
        self
    }

    /// Checks the store as [`Store::verify`] does, and reports after each segment how much was checked; `Break` stops it there. Files are read
    /// positionally, so that a failing medium is an error.
    ///
    /// ```
    /// # use annals::Store;
    /// # use std::ops::ControlFlow;
    /// # let dir = tempfile::tempdir()?;
    /// # Store::open(dir.path())?.close()?;
    /// let found = Store::builder(dir.path()).verify(|so_far| {
    ///     println!("{} bytes checked, {} findings", so_far.bytes, so_far.findings.len());
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert!(found.is_sound());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::verify`].
    pub fn verify(
        mut self,
        mut progress: impl FnMut(&VerifyReport) -> ControlFlow<()>,
    ) -> Result<VerifyReport> {
        self.read_mode = ReadMode::Positional;
        let root = self.root()?.anchored()?;
        let locked = self.lock(&root);
        if let Err(Error::Io { source, .. }) = &locked
            && cannot_be_written(source)
        {
            // With it goes what it has locked so far.
            drop(root);
            let root = self.root()?.read_only().anchored()?;
            let _lock = match root.lock_shared()? {
                Some(DirectoryLock::Busy { pid }) => {
                    return Err(Error::StoreLocked { path: root.path().to_path_buf(), pid });
                }
                held => held,
            };
            return verify(&root, &self.context(), &mut progress);
        }
        let _lock = locked?;
        verify(&root, &self.context(), &mut progress)
    }

    /// Repairs what [`verify`](Self::verify) finds in a store that is not open anywhere, so that it opens and everything
    /// sound in it can be read. What cannot be read is removed; every byte that is cut off, replaced or dropped is first copied
    /// into the directory `copies`, outside the store, durably. No record that stays changes, nor does its offset: what is lost
    /// leaves a gap. A store in which `verify` finds nothing stays as it is. After an error or a kill, call it again.
    ///
    /// The settings of topics are in one file only: when that file is damaged, its topics get the settings of a new topic, which
    /// delete nothing. Read the report before you use the store again.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when `copies` is inside the store, whatever links and `..` lead there, or goes up from a
    /// directory that does not exist, or when the directory is not a store: it has neither a list of topics nor a partition.
    /// [`Backup`](Error::Backup) when `copies`, or a directory in it that copies would be put into, is in another store or in a backup,
    /// finished or not, or is one itself; and when the directory is a backup. [`StoreLocked`](Error::StoreLocked), [`Io`](Error::Io).
    pub fn repair(mut self, copies: impl AsRef<Path>) -> Result<RepairReport> {
        self.read_mode = ReadMode::Positional;
        let copies = absolute(copies.as_ref())?;
        let root = self.root()?.anchored()?;
        let refused = match root.leads(&copies)? {
            Leads::Outside => None,
            Leads::Inside => Some("copies must not lie in the store"),
            Leads::Astray => {
                Some("it goes up (..) from a directory that does not exist: give the path without")
            }
        };
        if let Some(why) = refused {
            return Err(Error::invalid(format!("{}: {why}", copies.display())));
        }
        refuse_copies(&root, &copies)?;
        let _lock = self.lock(&root)?;
        refuse_backup(&root)?;
        // Files change: nobody may look meanwhile.
        let _opened = Opened::silent(&root)?;
        let copies = self.directory(&copies);
        repair(&root, &self.context(), copies)
    }

    /// The store's directory by its whole path: it stays where it is when the program's working directory changes.
    pub(super) fn root(&self) -> Result<Directory> {
        Ok(self.directory(&absolute(&self.path)?))
    }

    fn directory(&self, path: &Path) -> Directory {
        let files = self.max_open_files.min(most_held(descriptor_limit()));
        Directory::with_pool(Arc::clone(&self.file_system), path, files)
    }

    pub(super) fn lock(&self, root: &Directory) -> Result<DirectoryLock> {
        match root.lock()? {
            DirectoryLock::Busy { pid } => Err(Error::StoreLocked { path: root.path().to_path_buf(), pid }),
            held @ DirectoryLock::Held(_) => Ok(held),
        }
    }

    pub(super) fn context(&self) -> TopicContext {
        let options = LogOptions {
            read_mode: self.read_mode,
            sync_every_bytes: self.sync_every_bytes,
            max_expanded_bytes: self.max_expanded_bytes,
            compaction_memory_bytes: self.compaction_memory_bytes,
        };
        let agenda = Arc::new(Agenda::new(self.sync_every, self.retention_check_interval));
        TopicContext {
            clock: Arc::clone(&self.clock),
            agenda,
            options,
            spares: Arc::default(),
            figures: Arc::default(),
            clearing: Arc::default(),
            owner: None,
            is_read_only: false,
        }
    }

    /// Opens the store, and creates its directory if there is none.
    ///
    /// # Errors
    /// As for [`Store::open`]. [`InvalidArgument`](Error::InvalidArgument) for an empty path and for a dangling link.
    pub fn open(self) -> Result<Store> {
        if self.path.as_os_str().is_empty() {
            return Err(Error::invalid("the path of the store is empty"));
        }
        let interval = self.retention_check_interval;
        if interval < Duration::from_millis(1) {
            let range = "at least 1 ms: the thread that looks would do nothing else";
            return Err(Error::config("log.retention.check.interval.ms", interval.as_millis(), range));
        }
        Store::open_with(self)
    }

    /// Attaches to the store while another process has it open: see [`StoreReader::attach`]. Only the settings about
    /// reading apply.
    ///
    /// # Errors
    /// As for [`StoreReader::attach`].
    pub fn attach(self) -> Result<StoreReader> {
        StoreReader::attach_with(&self)
    }

    /// Opens the store read-only: see [`Store::open_read_only`]. Only the settings about reading apply.
    ///
    /// ```
    /// # use annals::{ReadMode, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # Store::open(dir.path())?.close()?;
    /// let copy = Store::builder(dir.path()).read_mode(ReadMode::Positional).open_read_only()?;
    /// assert!(copy.topics().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Store::open_read_only`].
    pub fn open_read_only(self) -> Result<StoreReader> {
        StoreReader::open(self)
    }
}
