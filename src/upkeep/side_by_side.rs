//! Waiting for a disk in many places at once.

use crate::error::{Error, Result};
use crate::io::{caught, thread};
use crate::locks::{AtomicUsize, Ordering};

/// So many threads wait at a time, the caller's among them. More gain nothing on one disk.
const MOST_THREADS: usize = 16;
/// Items that wait, for each of these threads.
const FOR_EACH: usize = 8;

/// Runs `act` for each of `items`, of which `busy` have to wait for the disk: side by side where they are many, on threads of that name
/// that end with this. All are done; the first failure is returned, a panic on one of those threads among them.
pub(crate) fn side_by_side<T: Sync>(
    name: &str,
    (items, busy): (&[T], usize),
    act: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    let each = |outcome: Result<()>, item: &T| outcome.and(act(item));
    let threads = (busy / FOR_EACH).min(MOST_THREADS);
    // The explorer of schedules knows no threads but its own.
    if threads < 2 || cfg!(annals_shuttle) {
        return all(items.iter(), each);
    }
    let next = AtomicUsize::new(0);
    let turns = || std::iter::from_fn(|| items.get(next.fetch_add(1, Ordering::Relaxed)));
    std::thread::scope(|scope| {
        let work = || all(turns(), |outcome, item| outcome.and(caught(|| act(item))));
        let begin = |_| thread(name).and_then(|thread| thread.spawn_scoped(scope, work));
        // Where no thread is to be had, fewer do: it takes longer, and is as good.
        let begun: Vec<_> = (1..threads).map_while(|number| begin(number).ok()).collect();
        let mut outcome = all(turns(), each);
        for thread in begun {
            let one = thread.join().unwrap_or_else(|_| Err(Error::invalid("a thread has panicked")));
            outcome = outcome.and(one);
        }
        outcome
    })
}

/// One that fails keeps nobody else from its turn.
fn all<'a, T: 'a>(
    items: impl Iterator<Item = &'a T>,
    mut each: impl FnMut(Result<()>, &'a T) -> Result<()>,
) -> Result<()> {
    let mut outcome = Ok(());
    for item in items {
        outcome = each(outcome, item);
    }
    outcome
}

#[cfg(all(test, not(annals_shuttle)))]
mod tests {
    use super::*;
    use crate::locks::Mutex;
    use std::collections::BTreeSet;

    #[test]
    fn all_are_done_once_on_few_threads_and_the_failure_of_one_is_told() {
        for count in [0, 1, 7, 16, 300] {
            let items: Vec<u32> = (0..count).collect();
            let (done, threads) = (Mutex::new(Vec::new()), Mutex::new(BTreeSet::new()));
            let outcome = side_by_side("annals-test", (&items, items.len()), |item| {
                done.lock().push(*item);
                threads.lock().insert(format!("{:?}", std::thread::current().id()));
                // One on the caller's own thread is the caller's.
                let is_helper = std::thread::current().name() == Some("annals-test");
                assert!(!is_helper || !item.is_multiple_of(9), "a panic on a thread");
                if *item == 5 { Err(Error::invalid("five")) } else { Ok(()) }
            });
            let mut done = done.into_inner();
            done.sort_unstable();
            assert_eq!(done, items);
            assert!(threads.lock().len() <= MOST_THREADS, "{count}");
            assert_eq!(outcome.is_err(), count > 5, "{count}");
        }
    }
}
