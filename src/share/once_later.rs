//! Sending what is to be delivered later, each id once.
//!
//! A record that waits goes from step to step, and to its topic behind others that were sent after it: where it stands says nothing of when it was
//! sent. So its id is written together with it, in one transaction: both are there or neither, whatever crashes, and no record is
//! asked for it.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::format::sip_hash_128;
use crate::locks::{AtomicBool, MutexGuard, Ordering};
use crate::share::enqueuer::Enqueuer;
use crate::share::ids::{LATER_ID_HEADER, encode};
use crate::share::queue::until;
use crate::share::queues::Queues;
use crate::topic::{Contribution, Entry, MESSAGE_IDS, Outcome, Participant, Prepared, WrittenIn};
use crate::types::{Record, Timestamp};
use crate::upkeep::Otherwise;

/// An id that is written with the transaction that sends its record.
#[derive(Debug)]
pub(super) struct WithRecord {
    queues: Arc<Queues>,
    /// The topic's id.
    topic: u128,
    entries: Vec<Entry>,
    taken: Taken,
}

/// Whether an id is taken: its transaction took effect, or nobody knows. It is told by that transaction, so that a panic in the file
/// system or the clock of the program keeps nobody from knowing.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken(Arc<AtomicBool>);

impl Taken {
    fn by(&self, outcome: Outcome) {
        self.0.fetch_or(outcome != Outcome::Aborted, Ordering::AcqRel);
    }

    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Nobody else writes ids until it is decided.
struct HeldIds<'a> {
    _writing: MutexGuard<'a, ()>,
    contribution: Contribution,
    taken: &'a Taken,
}

impl Enqueuer {
    /// Sends a record that is in its topic from `at` on, Unix milliseconds by the store's clock, as with a [`Schedule`](crate::Schedule), if none with
    /// that id was sent within the window, whether for now or for later. The window is counted from this call, not from the delivery; an id
    /// stays known whether its record waits, was delivered, or was [cancelled](crate::Schedule::cancel). It is stored in a header,
    /// `annals.message.id.later`. A record whose time has come is sent at once, as by [`send_once`](Self::send_once).
    ///
    /// Record and id are written in one transaction: after any crash both are there, or neither is. What was sent with ids before it is made
    /// durable first. The record itself is checked first, then its id, then what its topic accepts. A
    /// [`limit`](crate::EnqueuerBuilder::limit) does not hold up what is for later, and its delivery does not wait for one.
    ///
    /// ```
    /// # use annals::{Error, Record, Store, TopicConfig};
    /// # use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # store.create_topic("reminders", TopicConfig::new())?;
    /// let day = Duration::from_secs(86_400);
    /// let reminders = store.enqueuer_builder("reminders").unique_within(2 * day, 100_000).build()?;
    /// let reminder = Record::new().key("order 17").value("still in your basket");
    /// reminders.deliver_once_after("order 17, first", reminder.clone(), day)?;
    /// let again = reminders.deliver_once_after("order 17, first", reminder, day);
    /// assert!(matches!(again, Err(Error::DuplicateMessage { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`send_once`](Self::send_once) and [`Schedule::deliver_at`](crate::Schedule::deliver_at): nothing was sent, and the id may be
    /// sent again. The exception is [`Undecided`](crate::Error::Undecided): reopening the store shows whether it was sent; until then the id
    /// is refused.
    pub fn deliver_once_at<I: AsRef<[u8]> + ?Sized>(
        &self,
        id: &I,
        record: Record<'_>,
        at: Timestamp,
    ) -> Result<()> {
        self.queues.topics.check_process()?;
        let id = id.as_ref();
        if at <= self.queues.clock.now() {
            return self.send_once(id, record).map(drop);
        }
        self.check_once(&record)?;
        let record = record.topic(self.topic.name());
        let target = self.place_of(&record)?;
        let mut state = self.gate.state.lock();
        self.queues.topics.check_open()?;
        let now = self.queues.clock.now();
        let (ids, ring) = self.unique(&mut state, id, now)?;
        let header = encode(id, now);
        let record = record.header(LATER_ID_HEADER, &header);
        let sent = (now, sip_hash_128(id));
        let taken = Taken::default();
        // Also where a panic comes by.
        let _known = Otherwise::new(|| {
            if taken.is_so() {
                ids.add(id, now);
            }
        });
        self.queues.ids.write_with(ring, (self.topic.id(), sent, &taken), |entries| {
            let (queues, topic) = (Arc::clone(&self.queues), self.topic.id());
            let with = WithRecord { queues, topic, entries, taken: taken.clone() };
            self.holds.send_with(&target, (&record, at), (self.durability, with))
        })
    }

    /// Sends a record as [`deliver_once_at`](Self::deliver_once_at) does, to be in its topic after `delay`, counted from now.
    ///
    /// # Errors
    /// As for [`deliver_once_at`](Self::deliver_once_at).
    pub fn deliver_once_after<I: AsRef<[u8]> + ?Sized>(
        &self,
        id: &I,
        record: Record<'_>,
        delay: Duration,
    ) -> Result<()> {
        self.queues.topics.check_process()?;
        self.deliver_once_at(id, record, until(self.queues.clock.now(), delay))
    }
}

impl Participant for WithRecord {
    fn topic(&self) -> &'static str {
        MESSAGE_IDS.name
    }

    fn prepare(&self) -> Result<Option<Box<dyn Prepared + '_>>> {
        let _writing = self.queues.ids.writing();
        let (partition, entries) = (self.queues.ids.partition()?, self.entries.clone());
        let (inputs, laid_over, written_in) = (Vec::new(), Vec::new(), WrittenIn::default());
        // The ids of a topic take each other's places.
        let owners = vec![self.topic.to_be_bytes().to_vec()];
        let contribution =
            Contribution { partition, entries, inputs, behind: Vec::new(), owners, laid_over, written_in };
        Ok(Some(Box::new(HeldIds { _writing, contribution, taken: &self.taken })))
    }
}

impl Prepared for HeldIds<'_> {
    fn contribution(&self) -> &Contribution {
        &self.contribution
    }

    /// The ring takes it in when the commit has returned: its lock is held until then.
    fn end(self: Box<Self>, outcome: Outcome) {
        self.taken.by(outcome);
    }
}
