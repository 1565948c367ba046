//! How fast bytes are brought over, and who is told.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::backup::report::BackupProgress;
use crate::error::{Error, Result};
use crate::io::Stopwatch;

/// The longest sleep between two looks at whether it is to go on.
const NAP: Duration = Duration::from_millis(50);
/// What a sleep that was too long may be made up for by. No more: a wait for links, or for who is told, is not followed by a burst.
const SLACK: Duration = Duration::from_millis(100);

/// What is called with the progress.
pub(crate) type OnProgress<'a> = Box<dyn FnMut(&BackupProgress) -> ControlFlow<()> + Send + 'a>;

/// Keeps the pace, and tells of the progress.
pub(super) struct Pace<'a, 'p> {
    what: &'static str,
    max_bytes_per_second: Option<u64>,
    watch: Stopwatch,
    /// When the last step was over, and when what was copied by then was due.
    stepped: Duration,
    due: Duration,
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
        let (watch, stepped, due) = (Stopwatch::start(), Duration::ZERO, Duration::ZERO);
        Self { what, max_bytes_per_second, watch, stepped, due, progress, on_progress }
    }

    /// So many bytes more are there, of which some were copied. Waits if that was too fast; `check` ends the wait, and so does who is told.
    pub(super) fn step(&mut self, (bytes, copied): (u64, u64), check: &dyn Fn() -> Result<()>) -> Result<()> {
        self.progress.bytes += bytes;
        self.progress.copied_bytes += copied;
        check()?;
        self.tell()?;
        if let Some(rate) = self.max_bytes_per_second.filter(|_| copied > 0) {
            let micros = u128::from(copied) * 1_000_000 / u128::from(rate.max(1));
            let takes = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
            self.due = self.due.max(self.stepped.saturating_sub(SLACK)).saturating_add(takes);
            while let Some(early) =
                self.due.checked_sub(self.watch.elapsed()).filter(|early| !early.is_zero())
            {
                std::thread::sleep(early.min(NAP));
                check()?;
                self.tell()?;
            }
        }
        self.stepped = self.watch.elapsed();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Time in which nothing was copied was made up for: a backup that had linked for a minute then copied a minute's bytes at once.
    #[test]
    fn a_wait_is_not_followed_by_a_burst() {
        let (rate, check) = (1 << 20, || Ok(()));
        let mut pace = Pace::new("the test", Some(rate), None, 0);
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(700));
            pace.step((1 << 20, 0), &check).unwrap();
            let watch = Stopwatch::start();
            (0..4).for_each(|_| pace.step((rate / 8, rate / 8), &check).unwrap());
            assert!(watch.elapsed() >= Duration::from_millis(300), "{:?}", watch.elapsed());
        }
    }

    /// A copy that takes its time is not made to wait beyond it.
    #[test]
    fn the_time_of_a_copy_counts() {
        let (rate, check) = (1 << 20, || Ok(()));
        let mut pace = Pace::new("the test", Some(rate), None, 0);
        std::thread::sleep(Duration::from_millis(600));
        let watch = Stopwatch::start();
        pace.step((rate / 2, rate / 2), &check).unwrap();
        assert!(watch.elapsed() < Duration::from_millis(400), "{:?}", watch.elapsed());
    }
}
