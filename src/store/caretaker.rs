//! Retention and compaction over all topics: what maintenance does from time to time, and users on demand.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::Groups;
use crate::io::{Clock, caught};
use crate::log::{Effort, RetentionPolicy, RetentionReport, Upkeep};
use crate::share::{Holds, Kept, Queues};
use crate::store::failures::{Failing, Failures};
use crate::store::folding::Folds;
use crate::store::stats::{StoreStats, all_group_stats};
use crate::topic::{LeftOut, Partition, Removed, Topic, Topics, unless_deleted};
use crate::transaction::TransactionStats;
use crate::types::TopicPartition;

/// What became of a part of a partition's upkeep.
enum Done {
    Wholly,
    /// It failed before, and has to wait.
    Waits,
}

/// Looks after every partition of a store.
#[derive(Debug)]
pub(super) struct Caretaker {
    pub(super) topics: Arc<Topics>,
    pub(super) groups: Arc<Groups>,
    pub(super) queues: Arc<Queues>,
    pub(super) holds: Arc<Holds>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) failures: Failures,
    pub(super) folds: Folds,
}

impl Caretaker {
    /// A look at every partition: retention, then compaction where it is due. A failure is noted, and a compaction
    /// that failed waits before it is tried again; a poisoned partition is left alone. The first failure is returned.
    pub(super) fn round(&self) -> Result<()> {
        if self.topics.is_held() {
            return Ok(());
        }
        // It is tried again in every round, and is a matter of space alone.
        let (tidied, run) = (caught(|| self.queues.tidy()), caught(|| self.holds.run_due()));
        let dropped = caught(|| self.holds.drop_all_moved());
        let mut first = tidied.and(run).and(dropped).and(self.fold_groups()).and(self.fold_queues());
        first = first.and(self.remove_leftovers());
        first = first.and(caught(|| {
            self.topics.show_rest();
            Ok(())
        }));
        for topic in self.topics.all() {
            let kept = self.keep_ids(&topic);
            first = first.and(kept.given_up());
            for partition in topic.partitions() {
                first = first.and(self.visit((&topic, &kept), &partition));
            }
        }
        first
    }

    /// Takes over what consumers in other processes have committed. Until that succeeds it waits where it is.
    pub(super) fn fold_groups(&self) -> Result<()> {
        let folded = self.noted(&self.groups.stored_in(), caught(|| self.groups.fold()));
        self.folds.note(&folded);
        folded
    }

    fn fold_queues(&self) -> Result<()> {
        self.noted(&self.queues.stored_in(), caught(|| self.queues.fold()))
    }

    fn noted(&self, place: &TopicPartition, folded: Result<()>) -> Result<()> {
        let of = Failing::fold(place);
        match &folded {
            Ok(()) => self.failures.note_success(&of),
            Err(Error::StoreClosed { .. }) => {}
            Err(error) => self.failures.note_failure(of, error, &Arc::default()),
        }
        folded
    }

    /// The same where the caller is the program, which is told of failures by what it has called.
    fn seen(&self, place: &TopicPartition, folded: &Result<()>) {
        let of = Failing::fold(place);
        match folded {
            Ok(()) => self.failures.note_success(&of),
            Err(Error::StoreClosed { .. }) => {}
            Err(error) => self.failures.note_seen(of, error),
        }
    }

    /// All of a partition's upkeep. What fails keeps nothing from what comes after it: a roll that has no room none from the segments
    /// that would make some, and a file that cannot be removed nobody from the rest. The first failure is returned.
    fn visit(&self, of: (&Topic, &Kept), partition: &Partition) -> Result<()> {
        let mut first = Ok(());
        for upkeep in Upkeep::ALL {
            if partition.log().poisoned_by().is_some() {
                break;
            }
            let failing = Failing::upkeep(partition.topic_partition(), upkeep);
            match caught(|| self.do_upkeep(of, partition, upkeep)) {
                Ok(Done::Wholly) => self.failures.note_success(&failing),
                // What holds it ends by itself, and what was due is due in the next round.
                Ok(Done::Waits) | Err(Error::Held { .. }) => {}
                // Deleted, or closed, since the list was made.
                Err(Error::UnknownTopic { .. } | Error::StoreClosed { .. }) => {
                    self.failures.note_success(&failing)
                }
                Err(error) => {
                    self.failures.note_failure(failing, &error, &partition.log().upkeeps);
                    first = first.and(Err(error));
                }
            }
        }
        first
    }

    /// Before records of a topic go.
    fn keep_ids(&self, topic: &Topic) -> Kept {
        caught(|| Ok(self.queues.keep_ids(topic))).unwrap_or_else(Kept::failed)
    }

    /// Files of deleted topics that could not be removed. Their failures stand in the name of the topic's first partition.
    fn remove_leftovers(&self) -> Result<()> {
        let mut first = Ok(());
        for Removed { place, topic, outcome } in self.topics.remove_leftovers() {
            let of = Failing::leftover(&place, topic);
            match outcome {
                Ok(()) => self.failures.note_success(&of),
                Err(error) => {
                    // What they wait for has no log of its own any more.
                    self.failures.note_failure(of, &error, &Arc::default());
                    first = first.and(Err(error));
                }
            }
        }
        first
    }

    /// Retention reads no record and frees space: it is tried in every round, and so is what deletions could not take off the disk, but for a segment that
    /// had no room to be written anew. That waits after a failure, as compaction does, which stands until it succeeds.
    fn do_upkeep(
        &self,
        (topic, kept): (&Topic, &Kept),
        partition: &Partition,
        upkeep: Upkeep,
    ) -> Result<Done> {
        let log = partition.log();
        match upkeep {
            Upkeep::Retention => self.retain((topic, kept), partition).map(|_| Done::Wholly),
            Upkeep::Freeing => {
                let failing = Failing::upkeep(partition.topic_partition(), upkeep);
                let freed = if log.has_no_room_to_free() && !self.failures.may_try(&failing) {
                    log.free_without_rewriting()
                } else {
                    log.free_what_is_owed().map(|()| true)
                };
                log.write_keys_owed();
                let done = |is_all| if is_all { Done::Wholly } else { Done::Waits };
                freed.map(done).map_err(|error| log.explain(error))
            }
            Upkeep::Compaction if topic.settings().compaction().is_none() => Ok(Done::Wholly),
            // Retention says why.
            Upkeep::Compaction if kept.of(partition.number()).is_err() => Ok(Done::Waits),
            Upkeep::Compaction => {
                let failing = Failing::upkeep(partition.topic_partition(), upkeep);
                if !self.failures.may_try(&failing) && !log.may_have_room() {
                    return Ok(Done::Waits);
                }
                let compact = || topic.compaction_of(partition, Effort::WhenDue);
                partition.compact(&compact).map(|_| Done::Wholly)
            }
        }
    }

    /// Rolls segments that have become too old without an append, then removes what each topic does not keep. Partitions
    /// that lost nothing are not reported. The first failure is returned; the other partitions are done all the same.
    pub(super) fn apply_retention(&self) -> Result<Vec<RetentionReport>> {
        drop(self.queues.fold());
        let outcomes: Vec<_> = self.topics.all().iter().flat_map(|topic| self.retain_all(topic)).collect();
        let reports: Result<Vec<_>> = outcomes.into_iter().filter_map(unless_deleted).collect();
        Ok(reports?
            .into_iter()
            .filter(|report| !report.removed.is_empty() || report.clock_leapt || !report.is_freed)
            .collect())
    }

    fn retain_all(&self, topic: &Topic) -> Vec<Result<RetentionReport>> {
        let kept = self.keep_ids(topic);
        topic.partitions().iter().map(|partition| self.retain((topic, &kept), partition)).collect()
    }

    fn retain(&self, (topic, kept): (&Topic, &Kept), partition: &Partition) -> Result<RetentionReport> {
        kept.of(partition.number())?;
        // A disk that has no room for another segment is freed by what goes.
        let rolled = partition.log().roll_if_idle(self.clock.now());
        // Before the partition is locked: groups lock in the other order, and sync.
        let drops_consumed = topic.settings().drops_consumed();
        let consumed = if drops_consumed { self.groups.removable_below(partition) } else { Ok(None) };
        let below = consumed.as_ref().ok().copied().flatten();
        // What other rules take goes also when commits cannot be made durable.
        let retained = partition.apply_retention(|| {
            let settings = topic.settings();
            let keep_from = below.filter(|_| settings.drops_consumed());
            RetentionPolicy { keep_from, ..settings.retention() }
        });
        rolled?;
        consumed?;
        let report = retained?;
        // All of it: what a roll waits for is not over with what another part of it has done.
        partition.log().upkeeps.note_success(Upkeep::Retention);
        Ok(report)
    }

    pub(super) fn stats(&self, open_transactions: Vec<TransactionStats>) -> Result<StoreStats> {
        // What cannot be taken over now is as it was taken over last.
        self.seen(&self.groups.stored_in(), &self.groups.fold());
        self.seen(&self.queues.stored_in(), &self.queues.fold());
        let topics = self.topics.all();
        let topics =
            topics.iter().filter_map(|topic| unless_deleted(topic.stats())).collect::<Result<Vec<_>>>()?;
        let groups = all_group_stats(&self.groups, &LeftOut::new());
        let (callback_panics, last_panic) = self.failures.panics();
        let there = self.topics.all();
        let there = there.iter().flat_map(Topic::partitions).map(|partition| partition.log().appended());
        let figures = self.topics.figures();
        Ok(StoreStats {
            counters: figures.counters(there),
            latencies: figures.latencies(),
            topics,
            groups,
            queues: self.queues.stats()?,
            open_transactions,
            maintenance_failures: self.failures.list(),
            callback_panics,
            last_panic,
        })
    }
}
