//! Starting a thread where there may be no room for one.

use std::io::{Error, ErrorKind, Result};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

use memmap2::MmapOptions;

/// The stack of a thread, unless the program has asked for more, and the pages around it.
const STACK: usize = 2304 << 10;
/// Its stack for signals, or the pages beside that, which nobody may touch: other maps, each of which counts.
const SMALL: usize = 64 << 10;

/// Threads that were started and do not run yet: each still asks for its stack for signals.
static STARTING: AtomicUsize = AtomicUsize::new(0);

/// A thread that is about to be started.
///
/// The standard library asks for the thread's second stack, the one for signals, on the thread itself, and ends the process when it
/// is refused. So room for a thread is asked for here first and given back: what is refused here is an error, or work that the caller
/// does itself. Another thread of the program may take the room in that moment; nothing can be done about that.
pub(crate) struct NewThread(Builder);

/// A thread of that name.
pub(crate) fn thread(name: &str) -> Result<NewThread> {
    if cfg!(unix) {
        drop(room(STARTING.load(Ordering::Relaxed))?);
    }
    Ok(NewThread(Builder::new().name(name.to_owned())))
}

/// Maps of two kinds in turn, so that the system does not make one of them.
fn room(starting: usize) -> Result<impl Sized> {
    let map = |len| MmapOptions::new().len(len).map_anon();
    let second = || Ok((map(SMALL)?.make_read_only()?, map(SMALL)?, map(SMALL)?.make_read_only()?));
    let all = || Ok((map(STACK)?, (0..=starting).map(|_| second()).collect::<Result<Vec<_>>>()?));
    all().map_err(|error: Error| Error::new(ErrorKind::OutOfMemory, error))
}

impl NewThread {
    pub(crate) fn spawn<T: Send + 'static>(
        self,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>> {
        starting(|| self.0.spawn(running(run)))
    }

    pub(crate) fn spawn_scoped<'scope, T: Send + 'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        run: impl FnOnce() -> T + Send + 'scope,
    ) -> Result<ScopedJoinHandle<'scope, T>> {
        starting(|| self.0.spawn_scoped(scope, running(run)))
    }
}

fn starting<H>(spawn: impl FnOnce() -> Result<H>) -> Result<H> {
    STARTING.fetch_add(1, Ordering::Relaxed);
    spawn().inspect_err(|_| {
        STARTING.fetch_sub(1, Ordering::Relaxed);
    })
}

fn running<T>(run: impl FnOnce() -> T) -> impl FnOnce() -> T {
    || {
        STARTING.fetch_sub(1, Ordering::Relaxed);
        run()
    }
}

#[cfg(all(test, not(annals_shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_its_name_and_runs() {
        let name = || std::thread::current().name().map(str::to_owned);
        let started = thread("annals-test").unwrap().spawn(name).unwrap();
        assert_eq!(started.join().unwrap().as_deref(), Some("annals-test"));
    }
}
