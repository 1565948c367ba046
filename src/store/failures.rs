//! Partitions at which maintenance fails, and when it is to try again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::io::{Deadline, caught};
use crate::locks::Mutex;
use crate::log::{Upkeep, Upkeeps};
use crate::store::stats::MaintenanceFailure;
use crate::types::TopicPartition;

/// What is called with each failure of maintenance.
pub(super) type OnMaintenanceFailure = Arc<dyn Fn(&TopicPartition, &Error) + Send + Sync>;

/// How long the second try waits; each one after it waits twice as long as the one before.
const FIRST_WAIT: Duration = Duration::from_secs(15);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What fails at a partition. None of these is in another's way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Failing {
    place: TopicPartition,
    part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Upkeep(Upkeep),
    /// The removal of what the topic of that id has left, which was deleted. It goes by the name of its first partition; another topic may have
    /// that name by now.
    Leftover(u128),
    /// Taking over what other processes have done, into that partition.
    Fold,
}

impl Failing {
    /// A part of the upkeep of a partition.
    pub(super) fn upkeep(place: &TopicPartition, of: Upkeep) -> Self {
        Self { place: place.clone(), part: Part::Upkeep(of) }
    }

    /// Removing what the topic of that id has left.
    pub(super) fn leftover(place: &TopicPartition, topic: u128) -> Self {
        Self { place: place.clone(), part: Part::Leftover(topic) }
    }

    /// Taking over what other processes have done, which is stored in that partition from then on.
    pub(super) fn fold(place: &TopicPartition) -> Self {
        Self { place: place.clone(), part: Part::Fold }
    }

    /// What a log counts that ends it.
    fn of(&self) -> Upkeep {
        match self.part {
            Part::Upkeep(of) => of,
            Part::Leftover(_) | Part::Fold => Upkeep::Freeing,
        }
    }
}

/// The list. What failed leaves it with its first success, whoever asked for it.
#[derive(Default)]
pub(super) struct Failures {
    by_place: Mutex<BTreeMap<Failing, Entry>>,
    on_maintenance_failure: Option<OnMaintenanceFailure>,
    panics: Mutex<Panics>,
}

/// Panics in what maintenance called of the program.
#[derive(Debug, Default)]
struct Panics {
    count: u64,
    last: Option<Error>,
}

#[derive(Debug)]
struct Entry {
    error: Error,
    failures: u32,
    retry_at: Deadline,
    waits: Waits,
}

/// What has to succeed.
#[derive(Debug)]
struct Waits {
    upkeeps: Arc<Upkeeps>,
    of: Upkeep,
    /// How often it had succeeded when it failed.
    before: u64,
}

impl Waits {
    fn on(upkeeps: &Arc<Upkeeps>, of: Upkeep) -> Self {
        Self { upkeeps: Arc::clone(upkeeps), of, before: upkeeps.successes(of) }
    }

    fn is_over(&self) -> bool {
        self.upkeeps.successes(self.of) > self.before
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Failures").field(&self.by_place).finish()
    }
}

impl Failures {
    pub(super) fn new(on_maintenance_failure: Option<OnMaintenanceFailure>) -> Self {
        Self { on_maintenance_failure, ..Self::default() }
    }

    /// False while what failed has to wait.
    pub(super) fn may_try(&self, of: &Failing) -> bool {
        let all = self.by_place.lock();
        all.get(of).is_none_or(|entry| entry.waits.is_over() || entry.retry_at.has_passed())
    }

    pub(super) fn note_success(&self, of: &Failing) {
        self.by_place.lock().remove(of);
    }

    /// A topic was deleted: one that gets its name begins without its failures.
    pub(super) fn forget(&self, topic: &str) {
        let stays = |of: &Failing| matches!(of.part, Part::Leftover(_)) || of.place.topic() != topic;
        self.by_place.lock().retain(|of, _| stays(of));
    }

    pub(super) fn note_failure(&self, of: Failing, error: &Error, upkeeps: &Arc<Upkeeps>) {
        let waits = Waits::on(upkeeps, of.of());
        let mut all = self.by_place.lock();
        let before = all.get(&of).filter(|entry| !entry.waits.is_over());
        let failures = before.map_or(0, |entry| entry.failures).saturating_add(1);
        let entry =
            Entry { error: error.clone(), failures, retry_at: Deadline::after(wait(failures)), waits };
        let place = of.place.clone();
        all.insert(of, entry);
        drop(all);
        let Some(tell) = &self.on_maintenance_failure else { return };
        // Without a lock: it may panic, close the store, drop it, or call any of it.
        let told = caught(|| {
            tell(&place, error);
            Ok(())
        });
        if let Err(panic) = told {
            self.note_panic(&panic);
        }
    }

    /// A call of the program has failed at what the next round tries, too: it is on the list at once, and the round tells of it.
    pub(super) fn note_seen(&self, of: Failing, error: &Error) {
        let waits = Waits::on(&Arc::default(), of.of());
        let seen =
            Entry { error: error.clone(), failures: 1, retry_at: Deadline::after(Duration::ZERO), waits };
        self.by_place.lock().entry(of).or_insert(seen);
    }

    /// Something of the program panicked that maintenance had called.
    pub(super) fn note_panic(&self, panic: &Error) {
        let mut panics = self.panics.lock();
        panics.count += 1;
        panics.last = Some(panic.clone());
    }

    /// How many panics there were, and the last of them.
    pub(super) fn panics(&self) -> (u64, Option<Error>) {
        let panics = self.panics.lock();
        (panics.count, panics.last.clone())
    }

    pub(super) fn list(&self) -> Vec<MaintenanceFailure> {
        let all = self.by_place.lock();
        let failure = |(of, entry): (&Failing, &Entry)| MaintenanceFailure {
            topic_partition: of.place.clone(),
            error: entry.error.clone(),
            failures: entry.failures,
        };
        all.iter().filter(|(_, entry)| !entry.waits.is_over()).map(failure).collect()
    }
}

fn wait(failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_waits_twice_as_long_up_to_an_hour() {
        let waits: Vec<_> = [1, 2, 3, 9, 40, u32::MAX].map(|failures| wait(failures).as_secs()).into();
        assert_eq!(waits, [15, 30, 60, 3600, 3600, 3600]);
    }

    #[test]
    fn what_an_earlier_topic_has_left_is_not_in_the_way_of_one_of_its_name() {
        let failures = Failures::default();
        let place = TopicPartition::new("orders", 0);
        let (leftover, another) = (Failing::leftover(&place, 1), Failing::leftover(&place, 2));
        let upkeeps = Arc::default();
        failures.note_failure(leftover.clone(), &Error::invalid("disk"), &upkeeps);
        failures.note_failure(another.clone(), &Error::invalid("disk"), &upkeeps);
        Upkeep::ALL.iter().for_each(|of| assert!(failures.may_try(&Failing::upkeep(&place, *of))));
        failures.note_success(&Failing::upkeep(&place, Upkeep::Freeing));
        failures.forget("orders");
        assert_eq!(failures.list().len(), 2);
        failures.note_success(&another);
        failures.note_failure(leftover, &Error::invalid("disk"), &upkeeps);
        assert_eq!(failures.list().iter().map(|one| one.failures).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_failing_partition_waits_and_the_others_do_not() {
        let failures = Failures::default();
        let compaction = |number| Failing::upkeep(&TopicPartition::new("orders", number), Upkeep::Compaction);
        let (bad, good, upkeeps) = (compaction(0), compaction(1), Arc::default());
        let fails = || failures.note_failure(bad.clone(), &Error::invalid("disk"), &upkeeps);
        fails();
        assert!(!failures.may_try(&bad) && failures.may_try(&good));
        assert_eq!(failures.list()[0].failures, 1);
        upkeeps.note_success(Upkeep::Retention);
        assert!(!failures.may_try(&bad), "it was compaction that failed");
        fails();
        assert_eq!(failures.list()[0].failures, 2);
        upkeeps.note_success(Upkeep::Compaction);
        assert!(failures.may_try(&bad) && failures.list().is_empty());
        fails();
        assert_eq!(failures.list()[0].failures, 1);
        failures.note_success(&bad);
        assert!(failures.may_try(&bad) && failures.list().is_empty());
    }

    #[test]
    fn a_part_of_the_upkeep_that_fails_keeps_no_other_waiting() {
        let (failures, upkeeps) = (Failures::default(), Arc::default());
        let of = |of| Failing::upkeep(&TopicPartition::new("orders", 0), of);
        for _ in 0..20 {
            failures.note_failure(of(Upkeep::Freeing), &Error::invalid("disk"), &upkeeps);
        }
        assert!(failures.may_try(&of(Upkeep::Compaction)));
        failures.note_failure(of(Upkeep::Compaction), &Error::invalid("room"), &upkeeps);
        assert!(!failures.may_try(&of(Upkeep::Compaction)), "it waits for itself");
        let list = failures.list();
        let said: Vec<_> = list.iter().map(|one| (one.error.to_string(), one.failures)).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!((said[0].1, said[1].1), (20, 1));
    }
}
