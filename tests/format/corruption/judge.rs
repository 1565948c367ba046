//! What becomes of a damaged store: the same data, or an error that says where it is not.

use std::ops::ControlFlow;

use annals::{Error, OwnedRecord, Partition, ReadMode, RecordRef, Store, report::RecoveryReport};

use crate::corruption::damage::{Changes, Damage};
use crate::corruption::stores::{GROUP, PartitionContent, ROOT, Sample, TopicContent, builder};
use annals_testing::MemoryFileSystem;

/// The topic of what groups have committed.
const OFFSETS: &str = "__consumer_offsets";

/// What a damage led to. Anything else is a failure, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Everything reads as before.
    Same,
    /// The store does not open, and says where the damage is.
    Refused,
    /// It opens; reading says where the damage is.
    ToldByReading,
    /// What was above the durable mark is cut off, and told.
    TailCut,
    /// Records above the durable mark are missing, and nothing is left of them.
    TailGone,
    /// The list of topics is an earlier one, with the same topics: settings that were changed since are as before.
    EarlierSettings,
}

pub(crate) type Outcome<T = ()> = Result<T, String>;

/// Opens the damaged store and reads what the damage can have reached.
pub(crate) fn judge(sample: &Sample, damage: &Damage, mode: ReadMode) -> Outcome<Verdict> {
    let changes = damage.changes(sample);
    let files = MemoryFileSystem::with(&sample.image, &changes);
    let verdict = match builder(&files, mode).open() {
        Err(error) => {
            check_named(&error, &changes, damage)?;
            Verdict::Refused
        }
        Ok(store) => {
            let verdict = Judge { sample, damage, changes: &changes, store: &store }.judge();
            files.freeze();
            drop(store);
            verdict?
        }
    };
    if verdict != Verdict::Same && changes.iter().all(|(path, _)| path.ends_with("index")) {
        return Err(format!("{verdict:?}, and only hints were damaged"));
    }
    // Offsets above a tail that was cut off are set back: the only change an open makes.
    let may_change = |path: &String| {
        path.ends_with("index")
            || matches!(verdict, Verdict::TailCut | Verdict::TailGone)
                && path.contains("__consumer_offsets-0")
    };
    match files.touched().iter().find(|path| !may_change(path)) {
        Some(path) => Err(format!("{verdict:?}, but {path} was touched")),
        None => Ok(verdict),
    }
}

/// `Store::verify` finds what keeps data from being read, and never calls a sound store damaged.
pub(crate) fn check_verify(sample: &Sample, damage: &Damage, verdict: Verdict) -> Outcome {
    let changes = damage.changes(sample);
    let files = MemoryFileSystem::with(&sample.image, &changes);
    let found = builder(&files, ReadMode::Positional).verify(|_| ControlFlow::Continue(()));
    let found = found.map_err(|error| format!("verify fails: {error}"))?;
    let as_told = match verdict {
        Verdict::Same | Verdict::TailGone | Verdict::EarlierSettings => true,
        Verdict::TailCut => !found.torn.is_empty(),
        Verdict::Refused | Verdict::ToldByReading => !found.is_sound(),
    };
    if !as_told {
        return Err(format!("verify does not find it: {found:?}"));
    }
    match files.touched().first() {
        Some(path) => Err(format!("verify touched {path}")),
        None => Ok(()),
    }
}

/// An error must say where the damage is.
fn check_named(error: &Error, changes: &Changes, damage: &Damage) -> Outcome {
    let (path, position, offset) = match error {
        Error::Corrupt { path, position, offset, .. } => (path, *position, *offset),
        Error::UnsupportedFormat { path, .. } => (path, 0, Some(0)),
        other => return Err(format!("an error without a place: {other:?}")),
    };
    let path = path.to_str().unwrap();
    let is_one_of_them = changes.iter().any(|(changed, _)| changed == path);
    if let Damage::FlippedBit { bit, .. } = damage {
        // A file with one checksum over all of it names the place of that.
        let is_log = path.ends_with(".log");
        if !is_one_of_them || is_log && position > *bit as u64 / 8 {
            return Err(format!("the damage is not there: {error}"));
        }
        if is_log && offset.is_none() {
            return Err(format!("no offset: {error:?}"));
        }
    }
    // A file may only show to be wrong by what others say of it.
    let directory = |path: &str| path.rsplit_once('/').unwrap().0.to_owned();
    let is_near = changes.iter().any(|(changed, _)| {
        path.starts_with(&directory(changed))
            || changed.starts_with(path)
            || changed.starts_with(&directory(path))
    });
    if is_near { Ok(()) } else { Err(format!("the damage is not there: {error}")) }
}

struct Judge<'a> {
    sample: &'a Sample,
    damage: &'a Damage,
    changes: &'a Changes,
    store: &'a Store,
}

impl Judge<'_> {
    fn judge(&self) -> Outcome<Verdict> {
        let expected = &self.sample.content;
        let found = self.store.topics();
        let names: Vec<_> = found.iter().map(|topic| topic.name()).collect();
        let mut verdict = Verdict::Same;
        let mut there = Vec::new();
        for topic in &expected.topics {
            // What concerns one topic stops that one: its calls say what is wrong, and so does the report of the open.
            match self.store.topic(&topic.name) {
                Ok(_) => there.push(topic),
                Err(error) => {
                    check_named(&error, self.changes, self.damage)?;
                    let is_of_topic = |report: &&RecoveryReport| report.topic_partition.topic() == topic.name;
                    let report =
                        self.store.recovery().iter().filter(is_of_topic).find_map(|one| one.failure.as_ref());
                    if report.map(Error::to_string) != Some(error.to_string()) {
                        return Err(format!("the open says {report:?}, the topic {error}"));
                    }
                    verdict = Verdict::Refused;
                }
            }
        }
        if !names.iter().eq(there.iter().map(|topic| &topic.name)) {
            return Err(format!("the topics are {names:?}"));
        }
        for (topic, expected) in found.iter().zip(there) {
            if *topic.config().values() != expected.config {
                if matches!(self.damage, Damage::Earlier { .. }) {
                    return Ok(Verdict::EarlierSettings);
                }
                return Err(format!("another configuration of {}", topic.name()));
            }
            let reached: Vec<_> = expected.partitions.iter().map(|one| self.is_reached(one)).collect();
            if reached.contains(&true) {
                verdict = verdict.max(self.read_topic(topic, expected, &reached)?);
            }
        }
        let of_commits = self.store.recovery().iter().find(|one| one.topic_partition.topic() == OFFSETS);
        if let Some(error) = of_commits.and_then(|report| report.failure.as_ref()) {
            check_named(error, self.changes, self.damage)?;
            self.judge_without_commits(error)?;
            return Ok(verdict.max(Verdict::ToldByReading));
        }
        let is_short = matches!(verdict, Verdict::TailCut | Verdict::TailGone);
        if !is_short && self.store.committed(GROUP) != self.sample.content.committed {
            return Err(format!("committed: {:?}", self.store.committed(GROUP)));
        }
        if !is_short && !self.store.offset_resets().is_empty() {
            return Err(format!("set back: {:?}", self.store.offset_resets()));
        }
        Ok(verdict)
    }

    /// Groups stand still where nobody knows what they have committed.
    fn judge_without_commits(&self, error: &Error) -> Outcome {
        match self.store.consumer(GROUP) {
            Err(told) if told.to_string() == error.to_string() => {}
            other => return Err(format!("a group goes on: {other:?}")),
        }
        if self.store.committed(GROUP).is_empty() && self.store.offset_resets().is_empty() {
            Ok(())
        } else {
            Err("commits, and nobody knows which".to_owned())
        }
    }

    /// Whether a damaged file is one of that partition, or of the whole store.
    fn is_reached(&self, partition: &PartitionContent) -> bool {
        self.changes.iter().any(|(path, _)| {
            let directory = path.rsplit_once('/').unwrap().0;
            directory == ROOT || directory == partition.directory
        })
    }

    fn read_topic(
        &self,
        topic: &annals::Topic,
        expected: &TopicContent,
        reached: &[bool],
    ) -> Outcome<Verdict> {
        let mut verdict = Verdict::Same;
        for (partition, (expected, is_reached)) in
            topic.partitions().iter().zip(expected.partitions.iter().zip(reached))
        {
            if *is_reached {
                verdict = verdict.max(self.read_partition(partition, expected)?);
            }
        }
        if let Some(expected) = &expected.latest {
            let latest: Result<Vec<OwnedRecord>, Error> = topic.latest().collect();
            match latest {
                Ok(found) if found == *expected || verdict >= Verdict::TailCut => {}
                Ok(found) => return Err(format!("{} latest records", found.len())),
                Err(error) => {
                    check_named(&error, self.changes, self.damage)?;
                    verdict = verdict.max(Verdict::ToldByReading);
                }
            }
        }
        Ok(verdict)
    }

    fn read_partition(&self, partition: &Partition, expected: &PartitionContent) -> Outcome<Verdict> {
        let report = self.store.recovery().iter().find(|report| is_of(report, partition)).unwrap();
        if partition.start() != expected.start || partition.durable() > expected.durable {
            return Err(format!("start {}, durable {}", partition.start(), partition.durable()));
        }
        let mut verdict = match (&report.torn, partition.end() == expected.end) {
            (Some(torn), _) => {
                if !self.changes.iter().any(|(path, _)| torn.path.to_str() == Some(path)) {
                    return Err(format!("the damage is not there: {torn:?}"));
                }
                Verdict::TailCut
            }
            (None, true) => Verdict::Same,
            // A bit never takes records away without a word.
            (None, false) if !matches!(self.damage, Damage::FlippedBit { .. }) => Verdict::TailGone,
            (None, false) => return Err(format!("the end is {}, nothing is told", partition.end())),
        };
        if partition.end() < expected.durable || partition.end() > expected.end {
            return Err(format!("the end is {}, {} were durable", partition.end(), expected.durable));
        }
        let there = expected.records.iter().take_while(|record| record.offset < partition.end());
        let mut there = there.peekable();
        let mut reader = partition.read(..).map_err(|error| error.to_string())?;
        let mut is_told = false;
        loop {
            match reader.fetch() {
                Ok(records) if records.is_empty() => break,
                Ok(records) => {
                    for record in &records {
                        let same = there.next().is_some_and(|expected| is_same(&record, expected));
                        if !same {
                            return Err(format!("another record at offset {}", record.offset()));
                        }
                    }
                }
                Err(error) => {
                    check_named(&error, self.changes, self.damage)?;
                    verdict = verdict.max(Verdict::ToldByReading);
                    is_told = true;
                    break;
                }
            }
        }
        if !is_told && let Some(missing) = there.peek() {
            return Err(format!("no record at offset {}", missing.offset));
        }
        let middle = i64::midpoint(expected.start, partition.end());
        for offset in [expected.start, middle, partition.end() - 1] {
            verdict = verdict.max(self.read_single(partition, offset, expected)?);
        }
        for (time, expected) in &expected.times {
            match partition.offset_for_time(*time) {
                Ok(found) if found == *expected || verdict >= Verdict::TailCut => {}
                Ok(found) => return Err(format!("{found:?} for the time {time}")),
                Err(error) => {
                    check_named(&error, self.changes, self.damage)?;
                    verdict = verdict.max(Verdict::ToldByReading);
                }
            }
        }
        Ok(verdict)
    }
}

impl Judge<'_> {
    fn read_single(
        &self,
        partition: &Partition,
        offset: i64,
        expected: &PartitionContent,
    ) -> Outcome<Verdict> {
        let expected = expected.records.iter().find(|record| record.offset == offset);
        match partition.get(offset) {
            Ok(found) if found.as_ref() == expected => Ok(Verdict::Same),
            Err(Error::OffsetOutOfRange { .. }) if partition.start() == partition.end() => Ok(Verdict::Same),
            Ok(found) => Err(format!("{found:?} at offset {offset}")),
            Err(error) => {
                check_named(&error, self.changes, self.damage)?;
                Ok(Verdict::ToldByReading)
            }
        }
    }
}

fn is_of(report: &RecoveryReport, partition: &Partition) -> bool {
    report.topic_partition == *partition.topic_partition()
}

fn is_same(found: &RecordRef<'_>, expected: &OwnedRecord) -> bool {
    found.offset() == expected.offset
        && found.timestamp() == expected.timestamp
        && found.key() == expected.key.as_deref()
        && found.value() == expected.value.as_deref()
        && found
            .headers()
            .map(|header| (header.key.into_owned(), header.value))
            .eq(expected.headers.iter().map(|header| (header.key.clone(), header.value.as_deref())))
}
