//! The partition's state file on disk.

use crate::error::{Error, Result};
use crate::format::{Identity, Malformed, Mark, PartitionState};
use crate::io::{Directory, File, OpenMode, PublishFailure};
use crate::types::Offset;

/// Its name in the partition's directory.
pub(in crate::log) const STATE_FILE: &str = "annals.state";
/// More than any partition needs: the table of 700,000 segments.
const MOST_BYTES: usize = 64 << 20;

/// The state as the writer knows it, and the file that holds it.
#[derive(Debug)]
pub(in crate::log) struct StateFile {
    directory: Directory,
    state: PartitionState,
    /// The number of the mark that was synced with the file. Its slot stays as it is: a power cut may tear every slot that
    /// was written since.
    synced_sequence: u64,
    /// Names of files that the table does not list as obsolete any more may come back.
    has_unsynced_removals: bool,
    /// Open once a mark was written.
    file: Option<File>,
    /// There is one.
    is_written: bool,
}

/// Why a state file was not replaced.
#[derive(Debug)]
pub(in crate::log) enum ReplaceFailure {
    /// The old one stands.
    Before(Error),
    /// Nobody knows which one stands.
    Unknown(Error),
}

impl ReplaceFailure {
    /// Not `From`, which would show in the public documentation of `Error`.
    pub(in crate::log) fn into_error(self) -> Error {
        match self {
            Self::Before(error) | Self::Unknown(error) => error,
        }
    }
}

impl StateFile {
    /// Reads the file of a partition. Changes nothing.
    pub(in crate::log) fn read(directory: &Directory) -> Result<Self> {
        let missing = || Malformed::invalid(0, "the file is missing").in_file(&directory.join(STATE_FILE));
        Self::read_if_there(directory)?.ok_or_else(missing)
    }

    /// The same; `None` when it is missing.
    pub(in crate::log) fn read_if_there(directory: &Directory) -> Result<Option<Self>> {
        let Some(bytes) = directory.read_file(STATE_FILE, MOST_BYTES)? else { return Ok(None) };
        let state = PartitionState::decode(&bytes);
        let state = state.map_err(|malformed| malformed.in_file(&directory.join(STATE_FILE)))?;
        Ok(Some(Self { is_written: true, ..Self::unwritten(directory, state) }))
    }

    /// Whose partition a directory holds, also where the file cannot be read but for that.
    pub(in crate::log) fn identity_left(directory: &Directory) -> Result<Option<Identity>> {
        match directory.read_file(STATE_FILE, MOST_BYTES) {
            Ok(bytes) => Ok(bytes.and_then(|bytes| PartitionState::identity_left(&bytes))),
            Err(Error::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the file will say that is yet to be written: it is, when it is replaced first.
    pub(in crate::log) fn unwritten(directory: &Directory, state: PartitionState) -> Self {
        Self {
            directory: directory.clone(),
            synced_sequence: state.sequence,
            state,
            has_unsynced_removals: false,
            file: None,
            is_written: false,
        }
    }

    /// Whether there is a file.
    pub(in crate::log) fn is_written(&self) -> bool {
        self.is_written
    }

    /// Writes the file of a new partition. Its name is durable after a sync of the directory, which this does.
    pub(in crate::log) fn create(directory: &Directory, state: PartitionState) -> Result<Self> {
        let mut file = Self::unwritten(directory, state.clone());
        file.replace(state).map_err(ReplaceFailure::into_error)?;
        Ok(file)
    }

    pub(in crate::log) fn state(&self) -> &PartitionState {
        &self.state
    }

    /// Replaces the whole content, durably. Every name that was new in the directory is durable afterwards too.
    pub(in crate::log) fn replace(
        &mut self,
        mut state: PartitionState,
    ) -> std::result::Result<(), ReplaceFailure> {
        let Some(sequence) = self.state.sequence.checked_add(1) else {
            return Err(ReplaceFailure::Before(Error::invalid("the state file has no number left")));
        };
        state.sequence = sequence;
        let bytes = state.encode();
        if bytes.len() > MOST_BYTES {
            let why = format!("{} segments are more than a partition may have", state.sealed.len());
            return Err(ReplaceFailure::Before(Error::invalid(why)));
        }
        self.directory.prepare(STATE_FILE, &bytes).map_err(ReplaceFailure::Before)?;
        if self.has_unsynced_removals {
            // A sync that failed is not tried again.
            let names = self.directory.names().map_err(ReplaceFailure::Before)?;
            names.sync().map_err(ReplaceFailure::Unknown)?;
            self.has_unsynced_removals = false;
        }
        // Marks go into the new file from here on.
        self.file = None;
        self.directory.publish(STATE_FILE).map_err(|failure| match failure {
            PublishFailure::Refused(error) => ReplaceFailure::Before(error),
            PublishFailure::Unknown(error) => ReplaceFailure::Unknown(error),
        })?;
        self.synced_sequence = state.sequence;
        self.state = state;
        self.is_written = true;
        Ok(())
    }

    /// The files of these segments are gone; the file says so when it is replaced next.
    pub(in crate::log) fn forget_obsolete(&mut self, removed: &[Offset]) {
        self.state.obsolete.retain(|base| !removed.contains(base));
        self.has_unsynced_removals |= !removed.is_empty();
    }

    /// Notes how far a sync has got. Not synced itself: after a power cut an older mark may stand there, which is as true.
    pub(in crate::log) fn mark(&mut self, mark: Mark) -> Result<()> {
        if mark.offset <= self.state.mark.offset {
            return Ok(());
        }
        let file = self.for_marks()?;
        let next = self.state.sequence.saturating_add(1);
        let sequence = if next.abs_diff(self.synced_sequence).is_multiple_of(2) { next + 1 } else { next };
        let slot = mark.encode(sequence);
        file.write_at(&slot.bytes, slot.position)?;
        self.state.mark = mark;
        self.state.sequence = sequence;
        Ok(())
    }

    /// The file, held open where descriptors are no trouble: with many partitions each holds that of its log, and opening
    /// this one for a mark costs little beside the sync that the mark tells of.
    fn for_marks(&mut self) -> Result<File> {
        if self.directory.is_crowded() {
            self.file = None;
            return self.directory.open(STATE_FILE, OpenMode::ReadWrite);
        }
        match &self.file {
            Some(file) => Ok(file.clone()),
            None => Ok(self.file.insert(self.directory.keep_open_for_hints(STATE_FILE)?).clone()),
        }
    }
}
