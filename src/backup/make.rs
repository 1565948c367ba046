//! Making a backup of an open store.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backup::backup::Backup;
use crate::backup::list::Parent;
use crate::backup::pace::{OnProgress, Pace};
use crate::backup::report::{BackedUp, BackupReport};
use crate::backup::target::Target;
use crate::error::{Error, Result};
use crate::format::{BackedUpPartition, BackedUpSegment, BackupList, partition_dir_name};
use crate::io::{Clock, random_id};
use crate::log::{CarriedLog, CarriedSegment, Carrier, Damage, HeldLog, How, Links, Plan};
use crate::topic::{StoreCut, Topics, TopicsToCut};
use crate::types::TopicPartition;

/// As errors call it.
const WHAT: &str = "the backup";

/// How to make it.
pub(crate) struct Options<'a> {
    pub(crate) parent: Option<PathBuf>,
    pub(crate) links: Links,
    pub(crate) left_out: TopicsToCut,
    pub(crate) max_bytes_per_second: Option<u64>,
    pub(crate) on_progress: Option<OnProgress<'a>>,
    pub(crate) check: Check,
}

/// Whether a backup is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Nothing,
    Everything,
}

/// A backup in the making.
pub(crate) struct Making<'a> {
    pub(crate) topics: &'a Arc<Topics>,
    pub(crate) clock: &'a Arc<dyn Clock>,
}

impl Making<'_> {
    /// Makes a backup in `path`. After an error there is nothing of it, as far as that can be removed.
    pub(crate) fn run(&self, path: &Path, options: &mut Options<'_>) -> Result<BackupReport> {
        let root = self.topics.root();
        let target = Target::new(root, path)?;
        let cut = self.topics.cut(&options.left_out)?;
        let parent = options.parent.as_deref().map(|parent| Parent::find(root, parent, cut.catalog.store));
        let parent = parent.transpose()?;
        let (list, report) = self.fill(&target, cut, (parent.as_ref(), options))?;
        target.finish_list(&list.encode())?;
        if options.check == Check::Everything {
            // What the store reads of its own is not too large in its backup.
            let max_expanded_bytes = self.topics.max_expanded_bytes();
            let made = Backup { root: target.root.clone(), list, max_expanded_bytes };
            self.read_back(&made, &report, options)?;
        }
        target.finish();
        Ok(report)
    }

    /// An error for the first damage. Who is told may end it after each segment, and so does who closes the store, and waits for this.
    fn read_back(&self, made: &Backup, report: &BackupReport, options: &mut Options<'_>) -> Result<()> {
        let (bytes, copied) = (report.bytes, report.copied_bytes);
        let mut pace = Pace::new(WHAT, None, options.on_progress.as_mut(), bytes);
        pace.step((bytes, copied), &|| Ok(()))?;
        let mut goes_on = Ok(());
        let found = made.verify(|_| {
            goes_on = pace.step((0, 0), &|| self.topics.check_open());
            if goes_on.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        goes_on?;
        match found.findings.into_iter().next() {
            Some(Damage { path, position, offset, reason }) => {
                Err(Error::corrupt(path, position, offset, reason))
            }
            None => Ok(()),
        }
    }

    fn fill(
        &self,
        target: &Target,
        mut cut: StoreCut,
        (parent, options): (Option<&Parent>, &mut Options<'_>),
    ) -> Result<(BackupList, BackupReport)> {
        let time = self.clock.now();
        let total = cut.partitions.iter().map(|(_, plan)| plan.bytes()).sum();
        let Options { links, max_bytes_per_second, on_progress, .. } = options;
        let mut pace = Pace::new(WHAT, *max_bytes_per_second, on_progress.as_mut(), total);
        let mut copied = Vec::new();
        // By name, so that those of one topic follow each other. Each is let go of as soon as it is copied.
        let mut partitions = std::mem::take(&mut cut.partitions);
        partitions.sort_by(|(a, _), (b, _)| a.topic_partition().cmp(b.topic_partition()));
        for (log, plan) in partitions {
            let place = log.topic_partition().clone();
            if !cut.catalog.topics.contains_key(place.topic()) {
                continue;
            }
            match self.copy(target, (&log, &plan), (parent, *links), &mut pace) {
                Ok(carried) => copied.push((place, log.topic_id(), carried)),
                Err(Error::UnknownTopic { .. }) => {
                    cut.forget(place.topic());
                    let gone =
                        |(other, ..): &(TopicPartition, u128, CarriedLog)| other.topic() == place.topic();
                    let numbers = copied.iter().filter(|one| gone(one)).map(|(other, ..)| other.partition());
                    for number in numbers.chain([place.partition()]) {
                        target.root.child(&partition_dir_name(place.topic(), number)).remove_all()?;
                    }
                    copied.retain(|one| !gone(one));
                }
                Err(error) => return Err(error),
            }
        }
        target.root.sync()?;
        let parent = parent.map(|parent| parent.id);
        let list = list_of(&copied, (cut.catalog.store, parent, time));
        let segments = || copied.iter().flat_map(|(_, _, carried)| &carried.segments);
        let report = BackupReport {
            path: target.root.path().to_path_buf(),
            time,
            segments: segments().count() as u64,
            bytes: segments().map(|segment| segment.bytes).sum(),
            copied_bytes: pace.progress.copied_bytes,
            stopped: cut.stopped,
            deleted: cut.deleted.into_iter().collect(),
            partitions: copied
                .into_iter()
                .map(|(place, _, carried)| BackedUp::new(place, (carried.start, carried.end)))
                .collect(),
        };
        StoreCut::list_topics(cut.catalog, &target.root)?;
        Ok((list, report))
    }

    fn copy(
        &self,
        target: &Target,
        (log, plan): (&HeldLog, &Plan),
        (parent, links): (Option<&Parent>, Links),
        pace: &mut Pace<'_, '_>,
    ) -> Result<CarriedLog> {
        let place = log.topic_partition();
        let directory = target.partition(&partition_dir_name(place.topic(), place.partition()))?;
        let check = || self.topics.check_open();
        let mut step = |bytes, copied| pace.step((bytes, copied), &check);
        let has = parent.map(|parent| move |identity, segment: &_| parent.has(identity, segment));
        let has = has.as_ref().map(|has| has as _);
        log.copy(plan, &directory, &mut Carrier { links, parent: has, step: &mut step })
    }
}

fn list_of(
    copied: &[(TopicPartition, u128, CarriedLog)],
    (store, parent, time): (u128, Option<u128>, i64),
) -> BackupList {
    let segment = |one: &CarriedSegment| BackedUpSegment {
        base: one.base,
        next_offset: one.next_offset,
        bytes: one.bytes,
        headers_crc: one.headers_crc,
        how: match one.how {
            How::Linked => "linked",
            How::Parent => "parent",
            How::Shared => "shared",
            How::Copied => "copied",
        }
        .to_owned(),
    };
    let partitions = copied.iter().map(|(place, topic_id, carried)| BackedUpPartition {
        topic: place.topic().to_owned(),
        number: place.partition(),
        topic_id: *topic_id,
        start: carried.start,
        end: carried.end,
        segments: carried.segments.iter().map(segment).collect(),
    });
    BackupList { store, id: random_id(), parent, time, partitions: partitions.collect() }
}
