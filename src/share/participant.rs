//! Answers that take effect with a transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::Result;
use crate::format::StateBatch;
use crate::io::{in_drop, in_drop_each};
use crate::locks::{AtomicBool, OnceLock, Ordering};
use crate::share::answers::{Freedom, done, lock_lost};
use crate::share::message::{Delivery, Message};
use crate::share::queues::Queues;
use crate::share::slot::SlotInner;
use crate::share::state_log::{Accounts, SlotName};
use crate::share::suspects::Entered;
use crate::topic::{
    Contribution, Outcome, Participant, Partition, Prepared, Refusal, SHARE_STATE, WrittenIn,
};
use crate::transaction::Transaction;
use crate::types::{Offset, Timestamp};

/// A message, and how it was handed out.
type Held = (Arc<Delivery>, Offset);

/// All messages that are done with one transaction.
#[derive(Debug)]
struct Answers {
    queues: Arc<Queues>,
    /// By the state they are of, in the order in which states are locked.
    by_slot: BTreeMap<SlotName, Vec<Held>>,
    /// They have taken effect.
    are_done: AtomicBool,
    /// Why they have not.
    cause: OnceLock<Refusal>,
}

/// A state that is locked, and what is to become of its messages.
struct HeldSlot<'a> {
    delivery: &'a Delivery,
    inner: Entered<'a>,
    batches: Vec<StateBatch>,
    now: Timestamp,
    accounts: Accounts,
}

/// All of them.
struct HeldSlots<'a> {
    answers: &'a Answers,
    slots: Vec<HeldSlot<'a>>,
    contribution: Contribution,
}

impl Transaction {
    /// Makes the message done when the transaction is committed, together with everything else in it; the message comes back when the
    /// transaction takes no effect. Its lock has to hold until the commit. With a message of a queue at
    /// [`Durability::Disk`](crate::Durability::Disk) the transaction is committed at `Disk`, whatever its own durability is: an answer
    /// survives what the queue says.
    ///
    /// If the lock does not hold, the commit returns [`LockLost`](crate::Error::LockLost), and nothing of the transaction takes effect;
    /// it returns [`InvalidArgument`](crate::Error::InvalidArgument) when the message is of another store.
    ///
    /// If the transaction takes no effect, it depends on the cause whether the delivery counts. If the program itself aborted or dropped the
    /// transaction, it counts, as with a message that is dropped. If the error of the commit, or of the last call of the transaction that
    /// failed, says nothing about the message, it does not count, and the message is delivered again, after the delay of the queue's
    /// [`RetryPolicy`](crate::queue::RetryPolicy) if it has one: a [conflict](crate::Error::is_conflict), a full disk and any other
    /// [`Io`](crate::Error::Io), a topic that is full, [`Fenced`](crate::Error::Fenced),
    /// [`TransactionExpired`](crate::Error::TransactionExpired), [`TransactionDisplaced`](crate::Error::TransactionDisplaced),
    /// [`TransactionAborted`](crate::Error::TransactionAborted), [`NotAssigned`](crate::Error::NotAssigned) and
    /// [`OffsetUndecided`](crate::Error::OffsetUndecided) for a consumer's offsets, [`Poisoned`](crate::Error::Poisoned). After any other
    /// error it counts, because the message may be the cause, and a dead letter of its last delivery contains the error.
    ///
    /// So workers that conflict make no dead letters, and cannot keep each other from all work: the cause of a conflict is somebody else's
    /// append. A conflict that is word for word the one with which the message came back before is nobody else's doing, for example when a
    /// stream that exists is required to be new; it counts. So does a transaction timeout when it occurs for the second time. Any other of
    /// these causes, and a conflict of a transaction that was written as it came ([`buffer_bytes`](crate::TransactionBuilder::buffer_bytes)),
    /// may be due to the message after all, for example when its result fills the topic: 8 times in a row in one run of the process the
    /// delivery does not count, and from then on each one does. On a full disk wait a little when a commit fails.
    ///
    /// ```
    /// # use annals::{Record, Store, TopicConfig};
    /// # use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # store.create_topic("orders", TopicConfig::new())?;
    /// # store.create_topic("invoices", TopicConfig::new())?;
    /// # store.producer().send(Record::to("orders").key("alice").value("2 apples"))?;
    /// let mut worker = store.queue("orders", "billing")?;
    /// for order in worker.take(1, Duration::from_millis(500))? {
    ///     let mut tx = store.transaction("billing")?;
    ///     tx.send(Record::to("invoices").key("alice").value("12.50"))?;
    ///     tx.ack(order);
    ///     tx.commit()?; // the order is done, and invoiced: both or neither
    /// }
    /// # assert!(worker.take(1, Duration::ZERO)?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ack(&mut self, mut message: Message) {
        let of = &message.delivery().queue.queues;
        if of.is_away() {
            self.refuse(
                "a message taken in a process that does not own the store cannot be answered in a transaction: call `ack` on the message"
                    .to_owned(),
            );
            return;
        }
        if !of.transactions.as_ref().is_some_and(|transactions| self.is_of(transactions)) {
            let (other, own) = (of.topics.path().display(), self.path().display());
            let why =
                format!("a message is of the store in {other}, and the transaction of the one in {own}");
            self.refuse(why);
            return;
        }
        message.forget();
        self.be_durable(message.delivery().queue.settings.durability);
        let delivery = Arc::clone(message.delivery());
        let begin = || Answers {
            queues: Arc::clone(&delivery.queue.queues),
            by_slot: BTreeMap::new(),
            are_done: AtomicBool::new(false),
            cause: OnceLock::new(),
        };
        self.take_part(begin, |answers| {
            let name = delivery.place.slot.name.clone();
            answers.by_slot.entry(name).or_default().push((Arc::clone(&delivery), message.offset));
        });
    }
}

impl Participant for Answers {
    fn topic(&self) -> &'static str {
        SHARE_STATE.name
    }

    fn refused(&self, why: &Refusal) {
        _ = self.cause.set(why.clone());
    }

    fn prepare(&self) -> Result<Option<Box<dyn Prepared + '_>>> {
        // Before a state is held, and the partitions that the transaction writes to.
        self.queues.write_own(|name| self.by_slot.contains_key(name))?;
        let (mut slots, mut entries, mut inputs) = (Vec::new(), Vec::new(), Vec::new());
        let mut follows = BTreeSet::new();
        for messages in self.by_slot.values() {
            let Some((first, _)) = messages.first() else { continue };
            let Delivery { queue, place, .. } = &**first;
            let (mut inner, now) = queue.enter_one_more(place)?;
            let batches = batches_of(&mut inner, messages, now)?;
            let (entry, accounts) = self.queues.states.entry(&place.slot, &mut inner, (&batches, now))?;
            entries.push(entry);
            let last: Option<Offset> = batches.iter().map(|batch| batch.last).max();
            inputs.extend(last.map(|last| (place.partition.clone(), last)));
            let offsets: Vec<_> = messages.iter().map(|(_, offset)| *offset).collect();
            follows.append(&mut place.partition.log().committed_at(&offsets));
            slots.push(HeldSlot { delivery: first, inner, batches, now, accounts });
        }
        if slots.is_empty() {
            return Ok(None);
        }
        let partition: Partition = self.queues.states.partition()?;
        // What is written of a state replaces nothing that is.
        let (laid_over, behind) = (follows.into_iter().collect(), Vec::new());
        let written_in = WrittenIn::default();
        let owners = entries.iter().map(|entry| entry.key.clone()).collect();
        let contribution = Contribution { partition, entries, inputs, behind, owners, laid_over, written_in };
        Ok(Some(Box::new(HeldSlots { answers: self, slots, contribution })))
    }
}

/// What is written of the messages, if all of them are held.
fn batches_of(inner: &mut SlotInner, messages: &[Held], now: Timestamp) -> Result<Vec<StateBatch>> {
    let mut batches = Vec::new();
    for (delivery, offset) in messages {
        // What is sent back is in the transaction, and would be back though it was erased.
        let is_letter = delivery.queue.settings.letters_of.is_some();
        if is_letter && inner.is_gone(&delivery.place.partition, *offset)? {
            return Err(lock_lost(&delivery.place, inner, *offset));
        }
        if let Some(offset) = done(inner, (delivery.lock, now), &[*offset], &mut batches) {
            return Err(lock_lost(&delivery.place, inner, offset));
        }
    }
    Ok(batches)
}

impl Prepared for HeldSlots<'_> {
    fn contribution(&self) -> &Contribution {
        &self.contribution
    }

    fn end(self: Box<Self>, outcome: Outcome) {
        let Self { answers, slots, contribution } = *self;
        let transaction = contribution.written_in.transaction();
        for HeldSlot { delivery, mut inner, batches, now, accounts } in slots {
            let queue = &delivery.queue;
            if outcome != Outcome::Aborted {
                // As long as the state is held.
                queue.queues.note_sent_back(&queue.settings);
            }
            match outcome {
                Outcome::Applied => {
                    let before = Freedom::of(&inner);
                    inner.accounts = accounts;
                    queue.queues.states.note_decided(&mut inner, transaction);
                    inner.acknowledge(&batches, now);
                    let frees = before.is_less_than(&Freedom::of(&inner));
                    drop(inner);
                    if frees {
                        queue.watchers.raise();
                    }
                    queue.queues.room.raise();
                    answers.are_done.store(true, Ordering::Release);
                }
                // To nobody before the open that decides.
                Outcome::Unknown => inner.set_aside(&batches),
                Outcome::Aborted => {}
            }
        }
    }
}

impl Answers {
    fn make_room(&self) {
        self.queues.tidy_when_due();
        for Delivery { queue, place, .. } in self.by_slot.values().filter_map(|of| Some(&*of.first()?.0)) {
            // The next round of maintenance tries again and reports.
            drop(self.queues.drop_consumed(&queue.topic, place));
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        if !self.queues.process.is_current() {
            return;
        }
        if self.are_done.load(Ordering::Acquire) {
            // Not while the transaction is held: whoever makes room looks at all queues and groups.
            return in_drop(|| self.make_room());
        }
        let is_alike = |one: &Held, other: &Held| Arc::ptr_eq(&one.0.queue, &other.0.queue);
        in_drop_each(self.by_slot.values().flat_map(|of| of.chunk_by(is_alike)), |messages| {
            let Some((Delivery { queue, place, .. }, _)) = messages.first().map(|(of, at)| (&**of, at))
            else {
                return;
            };
            let locked: Vec<_> = messages.iter().map(|(of, offset)| (of.lock, *offset)).collect();
            // What is done, or lost, is not held any more.
            drop(queue.take_back(place, &locked, self.cause.get()));
        });
    }
}
