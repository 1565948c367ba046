//! How fast bytes are brought over, and who is told.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::backup::report::BackupProgress;
use crate::error::{Error, Result};
use crate::io::Stopwatch;

/// The longest sleep between two looks at whether it is to go on.
const NAP: Duration = Duration::from_millis(50);

/// What is called with the progress.
pub(crate) type OnProgress<'a> = Box<dyn FnMut(&BackupProgress) -> ControlFlow<()> + Send + 'a>;

/// Keeps the pace, and tells of the progress.
pub(super) struct Pace<'a, 'p> {
    what: &'static str,
    max_bytes_per_second: Option<u64>,
    watch: Stopwatch,
    pub(super) progress: BackupProgress,
    on_progress: Option<&'a mut OnProgress<'p>>,
}

impl fmt::Debug for Pace<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl<'a, 'p> Pace<'a, 'p> {
    pub(super) fn new(
        what: &'static str,
        max_bytes_per_second: Option<u64>,
        on_progress: Option<&'a mut OnProgress<'p>>,
        total_bytes: u64,
    ) -> Self {
        let progress = BackupProgress { total_bytes, ..BackupProgress::default() };
        Self { what, max_bytes_per_second, watch: Stopwatch::start(), progress, on_progress }
    }

    /// So many bytes more are there, of which some were copied. Waits if that was too fast; `check` ends the wait, and so does who is told.
    pub(super) fn step(&mut self, (bytes, copied): (u64, u64), check: &dyn Fn() -> Result<()>) -> Result<()> {
        self.progress.bytes += bytes;
        self.progress.copied_bytes += copied;
        check()?;
        self.tell()?;
        if let Some(rate) = self.max_bytes_per_second.filter(|_| copied > 0) {
            let micros = u128::from(self.progress.copied_bytes) * 1_000_000 / u128::from(rate.max(1));
            let due = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
            while let Some(early) = due.checked_sub(self.watch.elapsed()).filter(|early| !early.is_zero()) {
                std::thread::sleep(early.min(NAP));
                check()?;
                self.tell()?;
            }
        }
        Ok(())
    }

    fn tell(&mut self) -> Result<()> {
        let Some(on_progress) = &mut self.on_progress else { return Ok(()) };
        match on_progress(&self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled { what: self.what }),
        }
    }
}
