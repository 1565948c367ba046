//! Tasks that wait for records and for the disk: under an executor that drops every future whenever it can, under tokio, smol
//! and none. `ANNALS_WAKES` says how many rounds are played in which a wake-up could be lost.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a test may stop at what it did not expect, and looks at the files and the clock from outside"
)]

mod commits;
mod copied;
mod dropped;
mod durable;
mod elsewhere;
mod ends;
mod followers;
mod once;
mod runtimes;
mod wakes;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use annals::{Record, Records, Store};

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn thread_waker() -> Waker {
    Arc::new(Unpark(std::thread::current())).into()
}

/// Polls until it is ready; sleeps while it is not.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = thread_waker();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        sleep_until_woken();
    }
}

/// Makes futures until one is ready; whatever is pending is dropped, and made again. Says how many were dropped.
macro_rules! dropping {
    ($make:expr) => {{
        let mut dropped = 0;
        loop {
            let mut future = Box::pin($make);
            let waker = crate::thread_waker();
            let polled = future.as_mut().poll(&mut std::task::Context::from_waker(&waker));
            drop(future);
            match polled {
                std::task::Poll::Ready(output) => break (output, dropped),
                std::task::Poll::Pending => dropped += 1,
            }
            // Nobody is woken for what is dropped.
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
    }};
}
pub(crate) use dropping;

/// Longer than any of these takes: a wake-up is lost.
fn sleep_until_woken() {
    const LONG: Duration = Duration::from_secs(60);
    let before = std::time::Instant::now();
    std::thread::park_timeout(LONG);
    assert!(before.elapsed() < LONG, "nobody woke this task");
}

fn send(store: &Store, topic: &str, value: &str) -> i64 {
    store.producer().send(Record::to(topic).value(value)).unwrap().offset
}

fn offsets(records: &Records) -> Vec<(u32, i64)> {
    records.iter().map(|record| (record.partition(), record.offset())).collect()
}
