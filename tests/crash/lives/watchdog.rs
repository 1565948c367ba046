//! Says who hangs, and ends the process: a thread that waits for ever cannot be joined.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What each thread is doing.
#[derive(Debug)]
pub(crate) struct Watchdog {
    doing: Vec<Mutex<String>>,
    calls: AtomicU64,
    is_over: AtomicBool,
}

/// How long nothing at all may happen.
const PATIENCE: u64 = 120;

impl Watchdog {
    pub(crate) fn start(threads: usize) -> Arc<Self> {
        let doing = (0..=threads).map(|_| Mutex::default()).collect();
        let this = Arc::new(Self { doing, calls: AtomicU64::new(0), is_over: AtomicBool::new(false) });
        let watch = Arc::clone(&this);
        std::thread::spawn(move || watch.watch());
        this
    }

    /// A thread begins a call.
    pub(crate) fn note(&self, thread: usize, what: impl FnOnce() -> String) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        *self.doing[thread].lock().unwrap() = what();
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn watch(&self) {
        let (mut known, mut quiet) = (0, 0);
        while !self.is_over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_secs(1));
            let calls = self.calls();
            quiet = if calls == known { quiet + 1 } else { 0 };
            known = calls;
            if quiet > PATIENCE {
                for (thread, doing) in self.doing.iter().enumerate() {
                    eprintln!("thread {thread}: {}", doing.lock().unwrap());
                }
                eprintln!("nothing has happened for {PATIENCE} s");
                std::process::abort();
            }
        }
    }
}
