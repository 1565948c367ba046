//! A sender that waits for room in a queue on which another process works: nobody tells the owner what is done there, so it looks.

use std::time::Duration;

use crate::io::{Deadline, Stopwatch};
use crate::locks::Mutex;
use crate::share::enqueuer::Enqueuer;
use crate::share::folding::Folded;
use crate::share::step_files::file_of;

/// While a sender waits what another process has done is taken over so often.
const BEAT: Duration = Duration::from_millis(20);
/// The same where none has the queue.
const SLOW_BEAT: Duration = Duration::from_millis(250);
/// What is taken over is made durable first: that is to take one part of so many of the time at most.
const MOST_PARTS: u32 = 4;

/// When the senders to a topic look next: one of them does for all.
#[derive(Debug, Default)]
pub(super) struct Beat(Mutex<Next>);

#[derive(Debug, Default)]
struct Next {
    /// None before the first look.
    at: Option<Deadline>,
    is_elsewhere: bool,
}

impl Enqueuer {
    /// Takes over what another process has done in a queue that is full, if it is time. Says when to look again; whoever waits is woken where something was.
    pub(super) fn look_for_room(&self, group: &str) -> Deadline {
        let Some(files) = self.queues.away.files.get() else { return Deadline::after(Duration::MAX) };
        let Some(mut next) = self.gate.beat.0.try_lock() else { return Deadline::after(BEAT) };
        if let Some(at) = next.at.filter(|at| !at.has_passed()) {
            return at;
        }
        let took = Stopwatch::start();
        let folded = self.queues.fold_one(files, &file_of(self.topic.id(), group));
        // What cannot be taken over is tried again.
        next.is_elsewhere = folded.as_ref().map_or(true, Folded::goes_on);
        let beat = if next.is_elsewhere {
            BEAT.max(took.elapsed().saturating_mul(MOST_PARTS - 1))
        } else {
            SLOW_BEAT
        };
        *next.at.insert(Deadline::after(beat))
    }
}
