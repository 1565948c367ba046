//! What the process holds, and what it has read from the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::harness::Outcome;

fn field(file: &str, name: &str) -> Outcome<u64> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().find(|line| line.starts_with(name)).ok_or("no such line")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}

/// KiB of memory that is not of files.
pub(super) fn anonymous() -> Outcome<u64> {
    field("/proc/self/status", "RssAnon:")
}

/// Bytes that came from a disk.
pub(super) fn read_bytes() -> Outcome<u64> {
    field("/proc/self/io", "read_bytes:")
}

/// How often the process has waited for a page of a file.
pub(super) fn major_faults() -> u64 {
    // SAFETY: all zeros is a value of the struct, and the call fills it.
    #[expect(unsafe_code, reason = "std does not ask for it")]
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    u64::try_from(usage.ru_majflt).unwrap_or(0)
}

/// Looks every millisecond how much memory there is.
pub(super) struct Held {
    before: u64,
    most: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

impl Held {
    pub(super) fn begin() -> Outcome<Self> {
        let (most, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, ends) = (Arc::clone(&most), Arc::clone(&is_over));
        let before = anonymous()?;
        let watcher = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                seen.fetch_max(anonymous().unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Ok(Self { before, most, is_over, watcher: Some(watcher) })
    }

    /// KiB at most, more than at the beginning.
    pub(super) fn most(mut self) -> Outcome<u64> {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            watcher.join().map_err(|_| "the watcher panicked")?;
        }
        Ok(self.most.load(Ordering::Relaxed).saturating_sub(self.before))
    }
}
