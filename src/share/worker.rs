//! A worker: takes messages of a queue.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::io::Deadline;
use crate::locks::{AtomicBool, Ordering};
use crate::log::{Patience, Signal, is_out_of_time};
use crate::share::gathered::Gathered;
use crate::share::look::{Look, Taken, Wanted};
use crate::share::message::{Delivery, Message, Messages};
use crate::share::queue::Queue;
use crate::share::queues::Queues;
use crate::share::take::Alarm;
use crate::types::{Durability, Timestamp};
use crate::upkeep::Ticket;

/// The shortest sleep until something is due: a clock that is turned by hand may never get there.
pub(super) const SHORTEST_SLEEP_MS: Timestamp = 1;

/// Takes messages of a queue. Any number of workers can work on one queue, whatever the number of partitions, each on a thread of
/// its own; only one of them has a message at a time.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// store.create_topic("orders", TopicConfig::new())?;
/// store.producer().send(Record::to("orders").value("2 apples"))?;
/// let mut worker = store.queue("orders", "shipping")?;
/// for message in worker.take(32, Duration::from_millis(500))? {
///     println!("{}: {:?}", message.offset, message.value);
///     message.ack()?; // never again to anybody of this group
/// }
/// # assert!(worker.take(1, Duration::ZERO)?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Worker {
    pub(super) queues: Arc<Queues>,
    /// The first comes first.
    classes: Vec<Class>,
    /// At every so many takes a lower class comes first.
    lower_share: Option<u64>,
    takes: u64,
    /// The class whose failure was told last: the next that is told is that of one behind it, if there is such.
    told: usize,
    /// A failure beside which others had messages: the next take tells it.
    kept: Option<Box<Error>>,
    lock_timeout: Duration,
    pub(super) signal: Arc<Signal>,
    waker: WorkerWaker,
    /// For a task that waits: it has no time of its own.
    pub(super) alarm: Arc<Alarm>,
    pub(super) alarm_set: Option<Ticket>,
}

/// One topic of a worker.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) queue: Arc<Queue>,
    /// The partition that is looked at first.
    next: usize,
    /// So many partitions wake the worker.
    watched: usize,
}

/// Ends the wait of a [`take`](Worker::take), from any thread. Cheap to clone.
///
/// ```
/// # use annals::{Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// let mut worker = store.queue("orders", "shipping")?;
/// let waker = worker.waker();
/// std::thread::spawn(move || waker.wake());
/// assert!(worker.take(1, Duration::MAX)?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct WorkerWaker {
    signal: Arc<Signal>,
    woken: Arc<AtomicBool>,
}

impl WorkerWaker {
    /// Ends the take that waits now, or the next one that finds nothing. That take returns no message.
    pub fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.signal.raise();
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.classes.iter().map(|class| class.queue.topic.name()).collect();
        f.debug_struct("Worker").field("topics", &topics).finish_non_exhaustive()
    }
}

impl Worker {
    pub(super) fn new(
        queues: Arc<Queues>,
        joined: Vec<Arc<Queue>>,
        (lower_share, lock_timeout): (Option<u64>, Duration),
    ) -> Self {
        let signal = Arc::new(Signal::default());
        queues.topics.watch_close(&signal);
        queues.suspects.watchers.add(&signal);
        joined.iter().for_each(|queue| queue.watch(&signal));
        let classes = joined.into_iter().map(|queue| Class { queue, next: 0, watched: 0 }).collect();
        let waker = WorkerWaker { signal: Arc::clone(&signal), woken: Arc::default() };
        let alarm = Alarm::new(&signal);
        Self {
            queues,
            classes,
            lower_share,
            takes: 0,
            told: usize::MAX,
            kept: None,
            lock_timeout,
            signal,
            waker,
            alarm,
            alarm_set: None,
        }
    }

    /// Returns a waker that ends a take of this worker from another thread.
    pub fn waker(&self) -> WorkerWaker {
        self.waker.clone()
    }

    /// That of its first topic.
    pub(super) fn queue(&self) -> Option<&Arc<Queue>> {
        self.classes.first().map(|class| &class.queue)
    }

    pub(super) fn durability(&self) -> Durability {
        self.queue().map(|queue| queue.settings.durability).unwrap_or_default()
    }

    /// Takes up to `most` messages, as soon as there are some, at once if `most` is 0; none after `timeout`, or when a [`WorkerWaker`] ends
    /// the wait. It sleeps while it waits; a record that is sent, a message that is released, or a delay or lock that ends wakes it.
    ///
    /// Messages that come back are delivered before new ones, the oldest first, without a guaranteed order; with
    /// [`ordered_by_key`](crate::QueueBuilder::ordered_by_key) order is guaranteed within each key. Each delivery is counted in the store before
    /// this returns. From the middle of the delivery limit on, a message is delivered together with fewer others, and for its last attempt
    /// alone, so that one that crashes its worker takes few others with it. A message that was delivered before the store was last
    /// opened, and may have ended that process, is not out at the same time as a last attempt of another such message, in all queues of the
    /// process: they wait for each other.
    ///
    /// # Errors
    /// [`Io`](crate::Error::Io), [`Corrupt`](crate::Error::Corrupt), [`Poisoned`](crate::Error::Poisoned) of one partition.
    /// [`UnknownTopic`](crate::Error::UnknownTopic) once a topic is deleted, even if another topic has its name by then. If other partitions
    /// and topics have messages, these are returned, and the next call reports the failure, even if there are messages by then. So calls
    /// return messages and the failure in turn as long as it lasts, and several failures each in turn. [`StoreClosed`](crate::Error::StoreClosed).
    pub fn take(&mut self, most: usize, timeout: Duration) -> Result<Messages> {
        let mut patience = Patience::new(timeout);
        loop {
            // Read before looking: whatever comes after this look ends the wait below.
            let seen = self.signal.raised();
            // Its time may be over while an owner elsewhere shows nothing.
            let Some((messages, next)) = patience.bounds(|| self.look_once(most))? else {
                return Ok(Messages::default());
            };
            if let Some(messages) = messages {
                return Ok(messages);
            }
            let waits = match next {
                Some(next) => self.waits_until(next, &mut patience, seen),
                None => patience.waits(&self.signal, seen),
            };
            if !waits {
                return Ok(Messages::default());
            }
        }
    }

    /// Waits until something was raised since `seen`, or the store's clock shows `next`. That clock may leap: it is asked now and then, which costs
    /// no look at what is there.
    fn waits_until(&self, next: Timestamp, patience: &mut Patience, seen: u64) -> bool {
        loop {
            let now = self.queues.clock.now();
            let nap = Deadline::by_clock(next.max(now.saturating_add(SHORTEST_SLEEP_MS)), now);
            if !patience.waits_until(nap, &self.signal, seen) {
                return false;
            }
            if !nap.has_passed() || self.queues.clock.now() >= next {
                return true;
            }
        }
    }

    /// What there is now: messages, none if the wait is ended from elsewhere, nothing if it is to go on, until then at most.
    pub(super) fn look_once(&mut self, most: usize) -> Result<(Option<Messages>, Option<Timestamp>)> {
        self.queues.topics.check_open()?;
        if most == 0 {
            return Ok((Some(Messages::default()), None));
        }
        let (messages, next) = self.look(most)?;
        let is_over = !messages.is_empty() || self.waker.woken.swap(false, Ordering::AcqRel);
        Ok((is_over.then(|| Messages::new(messages)), next))
    }

    /// A look at all partitions: what there is, and when there may be more.
    fn look(&mut self, most: usize) -> Result<(Vec<Message>, Option<Timestamp>)> {
        // It is no take: the lower classes would lose the turns that fall on it.
        if let Some(failure) = self.kept.take() {
            return Err(*failure);
        }
        let mut gathered = Gathered::default();
        let mut next: Option<Timestamp> = None;
        self.takes = self.takes.wrapping_add(1);
        let (mut failures, mut out_of_time) = (BTreeMap::new(), None);
        for number in class_order(self.classes.len(), self.takes, self.lower_share) {
            let Some(class) = self.classes.get_mut(number) else { continue };
            let room = most - gathered.0.len();
            let look = class.look(&self.signal, (room, self.lock_timeout), &mut gathered.0);
            failures.extend(look.failure.map(|failure| (number, failure)));
            out_of_time = out_of_time.or(look.out_of_time);
            next = next.into_iter().chain(look.next).min();
            if gathered.0.len() >= most {
                break;
            }
        }
        let messages = gathered.finish();
        match self.next_to_tell(failures) {
            // This call has no more time; the next one has its own.
            None if messages.is_empty() => out_of_time.map_or(Ok((messages, next)), Err),
            Some(failure) if messages.is_empty() => Err(failure),
            failure => {
                self.kept = failure.map(Box::new);
                Ok((messages, next))
            }
        }
    }

    /// Of several classes that fail each is told in its turn.
    fn next_to_tell(&mut self, mut failures: BTreeMap<usize, Error>) -> Option<Error> {
        let behind = failures.keys().find(|number| **number > self.told).or_else(|| failures.keys().next());
        self.told = *behind?;
        failures.remove(&self.told)
    }
}

/// What a look at a topic has found beside messages: these are handed out in spite of it.
#[derive(Debug, Default)]
struct ClassLook {
    /// When there may be more.
    next: Option<Timestamp>,
    /// The first.
    failure: Option<Error>,
    /// A partition that could not be seen within the time of the call.
    out_of_time: Option<Error>,
}

impl ClassLook {
    /// Whether it is the first failure.
    fn fail(&mut self, error: Error) -> bool {
        if is_out_of_time(&error) {
            self.out_of_time = Some(error);
            return false;
        }
        let is_first = self.failure.is_none();
        self.failure.get_or_insert(error);
        is_first
    }
}

impl Class {
    fn look(
        &mut self,
        signal: &Arc<Signal>,
        (most, lock_timeout): (usize, Duration),
        messages: &mut Vec<Message>,
    ) -> ClassLook {
        let mut found = ClassLook::default();
        let places = match self.queue.places() {
            Ok(places) => places,
            Err(error) => {
                found.fail(error);
                return found;
            }
        };
        for place in places.iter().skip(self.watched) {
            place.partition.log().watch(signal);
        }
        self.watched = places.len();
        let full = messages.len() + most;
        let first = self.next;
        for step in 0..places.len() {
            let number = (first + step) % places.len();
            let Some(place) = places.get(number) else { continue };
            let looked = self.queue.look(place, Wanted::Oldest(full - messages.len()), lock_timeout);
            let look = looked.unwrap_or_else(Look::failed);
            if let Some(error) = look.failure
                && found.fail(error)
            {
                // Of several that fail each is the first in its turn.
                self.next = number + 1;
            }
            found.next = found.next.into_iter().chain(look.next).min();
            if let Some(lock) = look.lock.filter(|_| !look.taken.is_empty()) {
                let (queue, place) = (Arc::clone(&self.queue), Arc::clone(place));
                let delivery = Arc::new(Delivery { queue, place, lock, lock_timeout });
                let message = |taken: Taken| Message::new(taken.record, taken.count, Arc::clone(&delivery));
                messages.extend(look.taken.into_iter().map(message));
                if look.is_closed || messages.len() >= full {
                    self.next = number + 1;
                    break;
                }
            }
        }
        found
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.queues.process.is_current() {
            return;
        }
        self.forget_alarm();
        self.queues.topics.unwatch_close(&self.signal);
        self.queues.suspects.watchers.remove(&self.signal);
        self.classes.iter().for_each(|class| class.queue.unwatch(&self.signal));
    }
}

/// In which order the classes are looked at: the first one first, but at every so many takes one of the lower ones.
fn class_order(classes: usize, takes: u64, lower_share: Option<u64>) -> impl Iterator<Item = usize> {
    let lower = match lower_share {
        Some(share) if classes > 1 && takes.is_multiple_of(share.max(1)) => {
            let lower = u64::try_from(classes - 1).unwrap_or(1);
            usize::try_from((takes / share.max(1)) % lower).ok().map(|lower| lower + 1)
        }
        _ => None,
    };
    lower.into_iter().chain((0..classes).filter(move |class| Some(*class) != lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_classes_have_their_share_and_no_class_is_left_out() {
        let order = |takes, share| class_order(3, takes, share).collect::<Vec<_>>();
        assert_eq!(order(1, None), [0, 1, 2]);
        assert_eq!((1..4).map(|takes| order(takes, Some(4))).collect::<Vec<_>>(), vec![vec![0, 1, 2]; 3]);
        assert_eq!((order(4, Some(4)), order(8, Some(4))), (vec![2, 0, 1], vec![1, 0, 2]));
        assert_eq!(class_order(1, 4, Some(4)).collect::<Vec<_>>(), [0]);
    }
}
