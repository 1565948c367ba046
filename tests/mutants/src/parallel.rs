//! A few threads for many independent pieces of work.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::Result;

/// Calls `work` with every number below `count`, in order, `jobs` at a time. The first error ends it.
pub fn parallel(jobs: usize, count: usize, work: impl Fn(usize) -> Result + Sync) -> Result {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= count {
                        return;
                    }
                    if let Err(error) = work(nth) {
                        next.store(count, Ordering::Relaxed);
                        if let Ok(mut failed) = failed.lock() {
                            failed.get_or_insert(error.to_string());
                        }
                    }
                }
            });
        }
    });
    match failed.into_inner()? {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
