//! Sending letters back, as many as there are that can be: those alone are taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::{FetchLimits, Reader};
use crate::share::dead_letters::{DeadLetter, DeadLetters, is_gone};
use crate::share::letter::letter_topic_id;
use crate::share::look::{Taken, Wanted};
use crate::share::message::{Delivery, Message};
use crate::share::queue::{Place, Queue};
use crate::share::settings::LOCK_TIMEOUT;
use crate::topic::{PartitionRecords, Records};
use crate::types::Offset;

/// So many are taken at a time.
const AT_A_TIME: usize = 100;
const LIMITS: FetchLimits = FetchLimits { max_records: 10_000, max_bytes: 1 << 20 };

/// Looks through the letters of one partition. What it passes over was not taken, and is one run of the queue's state however much it is.
struct Search<'a> {
    queue: &'a Arc<Queue>,
    place: &'a Arc<Place>,
    reader: Option<Reader>,
    /// Where the partition ended at the beginning: what is given up once more meanwhile is not sent back for ever.
    end: Offset,
    /// What can be sent back of what was read, in order.
    found: Vec<Offset>,
}

impl<'a> Search<'a> {
    fn new(queue: &'a Arc<Queue>, place: &'a Arc<Place>) -> Self {
        Self { queue, place, reader: None, end: place.partition.log().stable(), found: Vec::new() }
    }

    /// Takes the next ones, `most` at most; `None` where there are no more.
    fn take(&mut self, most: usize) -> Result<Option<Vec<Message>>> {
        loop {
            if self.found.is_empty() && !self.read_on()? {
                return Ok(None);
            }
            let taken = self.queue.take_those(self.place, &self.found, most)?;
            let Some(last) = taken.last().map(|message| message.offset) else {
                // They are done, or with others.
                self.found.clear();
                continue;
            };
            self.found.retain(|offset| *offset > last);
            return Ok(Some(taken));
        }
    }

    /// Whether there was something to read.
    fn read_on(&mut self) -> Result<bool> {
        let (queue, place, end) = (self.queue, self.place, self.end);
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => {
                let start = queue.enter(place)?.0.state.start();
                none.insert(queue.reader(place, start.max(place.partition.start())))
            }
        };
        if reader.position() >= end {
            return Ok(false);
        }
        let slices = reader.fetch(LIMITS).map_err(|error| place.partition.log().explain(error))?;
        if slices.is_empty() {
            return Ok(false);
        }
        let records =
            Records::new(vec![PartitionRecords::new(place.partition.topic_partition().clone(), slices)]);
        let topics = &queue.queues.topics;
        let target = topics.get(queue.settings.letters_of.as_deref().unwrap_or_default());
        let mut gone = BTreeMap::new();
        for record in records.iter().filter(|record| record.offset() < end && queue.is_for(record)) {
            let id = letter_topic_id(&record);
            if !*gone.entry(id).or_insert_with(|| is_gone(topics, &target, id)) {
                self.found.push(record.offset());
            }
        }
        Ok(true)
    }
}

impl Queue {
    /// Takes up to `most` of these records, those that wait.
    fn take_those(
        self: &Arc<Self>,
        place: &Arc<Place>,
        offsets: &[Offset],
        most: usize,
    ) -> Result<Vec<Message>> {
        let look = self.look(place, Wanted::Those(offsets, most), LOCK_TIMEOUT)?;
        let Some(lock) = look.lock else { return Ok(Vec::new()) };
        let (queue, place) = (Arc::clone(self), Arc::clone(place));
        let delivery = Arc::new(Delivery { queue, place, lock, lock_timeout: LOCK_TIMEOUT });
        let message = |taken: Taken| Message::new(taken.record, taken.count, Arc::clone(&delivery));
        Ok(look.taken.into_iter().map(message).collect())
    }
}

impl DeadLetters {
    /// Sends up to `most` letters back, of those that are there at the beginning, the oldest of each partition first, and returns how many
    /// were sent. Letters of [deleted topics](DeadLetter::is_of_deleted_topic) are skipped, however many there are, and stay as they are.
    /// Letters that are [erased](crate::Store::erase) or deleted meanwhile are skipped too: they are gone, and do not count.
    ///
    /// # Errors
    /// As for [`take`](Self::take) and [`send_back`](Self::send_back). If one letter is refused because of what it is, for example because it
    /// is larger than its topic now takes, or is not whole and its message is gone, the others are sent back all the same; if a partition
    /// cannot be read, those of the others are. After any other failure, those before it are sent back.
    pub fn redrive(&mut self, most: usize) -> Result<usize> {
        self.check_open()?;
        let Some(queue) = self.queue()? else { return Ok(0) };
        let (mut sent, mut outcome) = (0, Ok(()));
        let places = queue.places()?;
        // Each knows its end before the first is sent.
        let searches: Vec<_> = places.iter().map(|place| Search::new(&queue, place)).collect();
        for mut search in searches {
            while sent < most {
                match search.take((most - sent).min(AT_A_TIME)) {
                    Ok(None) => break,
                    Ok(Some(letters)) => {
                        for letter in letters {
                            match self.send_back_if_there(&queue, search.place, letter) {
                                Ok(is_sent) => sent += usize::from(is_sent),
                                Err(refused) if is_its_own(&refused) => outcome = outcome.and(Err(refused)),
                                Err(failed) => return Err(failed),
                            }
                        }
                    }
                    Err(error) => {
                        outcome = outcome.and(Err(error));
                        break;
                    }
                }
            }
        }
        outcome.map(|()| sent)
    }

    /// Sends a letter back, unless it, or the topic of its message, is gone since it was looked for. Whether it was sent.
    fn send_back_if_there(&mut self, queue: &Queue, place: &Place, letter: Message) -> Result<bool> {
        let (offset, letter) = (letter.offset, DeadLetter::of(letter));
        let target = letter.topic.clone();
        match self.send_back(letter) {
            // It has come back by now: what has no record any more has ended, and so has what somebody else was handed meanwhile and has
            // answered.
            Err(lost @ Error::LockLost { .. }) => match queue.enter(place)?.0.state.is_done(offset) {
                true => Ok(false),
                false => Err(lost),
            },
            Err(Error::UnknownTopic { topic, .. }) if topic == target => Ok(false),
            sent => sent.map(|()| true),
        }
    }
}

/// Whether a letter was refused for what it is: another may go.
fn is_its_own(refused: &Error) -> bool {
    matches!(
        refused,
        Error::RecordTooLarge { .. } | Error::KeyRequired { .. } | Error::InvalidArgument { .. }
    )
}
