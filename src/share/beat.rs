//! A sender that waits for room in a queue on which another process works: nobody tells the owner what is done there, so it looks.

use std::collections::BTreeMap;
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

/// When the senders to a topic look next, by the group whose queue is full: one of them does for all that wait for the same. None before the first look.
#[derive(Debug, Default)]
pub(super) struct Beat(Mutex<BTreeMap<String, Option<Deadline>>>);

impl Beat {
    /// Looks for a group if it is time: `look` says whether another process has its queue. Says when to look again.
    fn look(&self, group: &str, look: impl FnOnce() -> bool) -> Deadline {
        let Some(mut groups) = self.0.try_lock() else { return Deadline::after(BEAT) };
        let next = groups.entry(group.to_owned()).or_default();
        if let Some(at) = next.filter(|at| !at.has_passed()) {
            return at;
        }
        let took = Stopwatch::start();
        let beat = if look() { BEAT.max(took.elapsed().saturating_mul(MOST_PARTS - 1)) } else { SLOW_BEAT };
        *next.insert(Deadline::after(beat))
    }
}

impl Enqueuer {
    /// Takes over what another process has done in a queue that is full, if it is time. Says when to look again; whoever waits is woken where something was.
    pub(super) fn look_for_room(&self, group: &str) -> Deadline {
        let Some(files) = self.queues.away.files.get() else { return Deadline::after(Duration::MAX) };
        self.gate.beat.look(group, || {
            let folded = self.queues.fold_one(files, &file_of(self.topic.id(), group));
            // What cannot be taken over is tried again.
            folded.as_ref().map_or(true, Folded::goes_on)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_looks_at_its_own_queue_though_one_has_just_looked_at_another_groups() {
        let (beat, mut looks) = (Beat::default(), Vec::new());
        for group in ["idle", "workers", "idle", "workers"] {
            beat.look(group, || {
                looks.push(group);
                false
            });
        }
        assert_eq!(looks, ["idle", "workers"]);
    }
}
