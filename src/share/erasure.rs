//! Erasing records of a topic where queues and schedules have them beside it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::EraseReport;
use crate::share::burial::may_be_own;
use crate::share::holds::Holds;
use crate::share::letter::letter_key;
use crate::share::queues::{Queues, named};
use crate::share::settings::Settings;
use crate::share::slot::Slot;
use crate::topic::{Partition, RecordRef, Topic, unless_deleted};
use crate::types::Offset;

/// So often it goes through all of it at most.
const MOST_PASSES: usize = 3;

impl Queues {
    /// Takes all records of a key out of what is held for later, out of the topic, and out of the dead letters of its queues: out of all of it,
    /// whatever fails. Once more where letters were sent back meanwhile.
    pub(crate) fn erase(&self, holds: &Arc<Holds>, topic: &str, key: &[u8]) -> Result<Vec<EraseReport>> {
        let topic = self.topics.get(topic)?;
        // What is moved meanwhile goes the same way: from what is held to the topic, from there to the letters.
        let of_held = holds.take_out(&topic, &|other| other == key);
        let mut before = self.sent_back_of(&topic);
        let (of_topic, of_letters) = self.erase_here(&topic, key);
        let ((_, of_held), of_topic, of_letters) = (of_held?, of_topic?, of_letters?);
        let mut reports: Vec<_> = of_held.into_iter().filter(had_some).chain(of_topic).collect();
        reports.extend(of_letters.into_iter().filter(had_some));
        for _ in 1..MOST_PASSES {
            let sent_back = self.sent_back_of(&topic);
            if sent_back == before {
                break;
            }
            before = sent_back;
            let (of_topic, of_letters) = self.erase_here(&topic, key);
            reports.extend(of_topic?.into_iter().chain(of_letters?).filter(had_some));
        }
        Ok(reports)
    }

    fn sent_back_of(&self, topic: &Topic) -> u64 {
        self.sent_back.lock().get(topic.name()).copied().unwrap_or(0)
    }

    /// A transaction has sent a letter of such a queue back, or may have: whoever is erasing looks through the topic again.
    pub(super) fn note_sent_back(&self, of: &Settings) {
        if let Some(topic) = &of.letters_of {
            *self.sent_back.lock().entry(Arc::clone(topic)).or_default() += 1;
        }
    }

    /// Once out of the topic, and then out of the letters, whatever fails.
    fn erase_here(&self, topic: &Topic, key: &[u8]) -> (Result<Vec<EraseReport>>, Result<Vec<EraseReport>>) {
        let of_topic = topic.erase(key);
        // Whoever has read a record of it before, to give it up, has written its letter by then.
        self.of_topic(topic.id()).iter().for_each(|slot| drop(slot.enter(&self.suspects)));
        let of_letters = self.erase_letters(topic, key);
        // And whoever has seen a letter, to send it back, has written the record. From here on it is not there any more.
        let is_of_letters = |slot: &&Arc<Slot>| named(&slot.name.owner).1 == Some(topic.name());
        let letters: Vec<_> = self.slots.lock().values().filter(is_of_letters).cloned().collect();
        letters.iter().for_each(|slot| drop(slot.enter(&self.suspects)));
        (of_topic, of_letters)
    }

    fn erase_letters(&self, topic: &Topic, key: &[u8]) -> Result<Vec<EraseReport>> {
        let goes = |record: &RecordRef<'_>| letter_key(record, topic.name()).is_some_and(|own| own == key);
        let erase = |partition: &Partition| remove(partition, &find(partition, &goes)?);
        let (opened, not_opened) = self.letters_of(topic);
        // The others are done all the same where one fails.
        let outcomes: Vec<_> = opened.iter().map(erase).collect();
        let outcomes = outcomes.into_iter().filter_map(unless_deleted);
        outcomes.chain(not_opened.into_iter().map(Err)).collect()
    }

    /// The partitions that may have dead letters of a topic's queues: those of topics that have some of any, and of the queues' own, whose groups may be
    /// forgotten. And why such topics could not be opened.
    fn letters_of(&self, topic: &Topic) -> (Vec<Partition>, Vec<Error>) {
        let is_of_letters = |slot: &Arc<Slot>| named(&slot.name.owner).1.is_some();
        let has_some = |id: u128| self.of_topic(id).iter().any(is_of_letters);
        let mut all = self.topics.all();
        all.retain(|letters| may_be_own(letters.name(), topic.name()) || has_some(letters.id()));
        let mut not_opened = self.topics.not_opened();
        not_opened
            .retain(|letters| may_be_own(&letters.name, topic.name()) || letters.id.is_some_and(has_some));
        let why = not_opened.into_iter().map(|letters| letters.why);
        (all.iter().flat_map(Topic::partitions).collect(), why.collect())
    }
}

fn had_some(report: &EraseReport) -> bool {
    report.records > 0
}

/// Whether a partition has such records.
pub(super) fn is_any(partition: &Partition, is_one: &dyn Fn(&RecordRef<'_>) -> bool) -> Result<bool> {
    find(partition, is_one).map(|found| !found.is_empty())
}

/// Where such records stand.
pub(super) fn find(partition: &Partition, is_one: &dyn Fn(&RecordRef<'_>) -> bool) -> Result<Vec<Offset>> {
    let mut found: Vec<Offset> = Vec::new();
    let mut reader = partition.walk(0..Offset::MAX)?.with_undecided();
    loop {
        let records = reader.fetch()?;
        if records.is_empty() {
            return Ok(found);
        }
        found.extend(records.iter().filter(is_one).map(|record| record.offset()));
    }
}

/// Takes records out of a partition, so that no file of it has them any more.
pub(super) fn remove(partition: &Partition, found: &[Offset]) -> Result<EraseReport> {
    partition.before_removal_below(found.last().map_or(0, |last| last + 1))?;
    let one = |offset: &Offset| *offset..=*offset;
    let mut ranges: Vec<RangeInclusive<Offset>> = Vec::new();
    for range in found.iter().map(one) {
        match ranges.last_mut() {
            Some(before) if *before.end() + 1 == *range.start() => *before = *before.start()..=*range.end(),
            _ => ranges.push(range),
        }
    }
    let log = partition.log();
    let removed =
        log.remove_offsets(&ranges, None).and_then(|report| log.free_what_is_owed().map(|()| report));
    removed.map_err(|error| error.in_partition(partition.topic_partition()))
}
