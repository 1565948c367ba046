//! All queues of a store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use crate::consumer::StartFrom;
use crate::error::{Error, Result};
use crate::group::{Consumed, Groups, OtherReaders};
use crate::io::{Clock, Process};
use crate::locks::{AtomicBool, AtomicU64, Mutex, Ordering, RwLock};
use crate::log::{OutlivesRecords, SkippedRecord, Watchers};
use crate::producer::Producer;
use crate::share::away::Away;
use crate::share::enqueuer::Gate;
use crate::share::id_log::{IdLog, Kept};
use crate::share::in_time::in_time;
use crate::share::letter_count::LetterCount;
use crate::share::news::News;
use crate::share::owed::Owed;
use crate::share::queue::{Place, Queue};
use crate::share::settings::{Asked, Settings};
use crate::share::slot::Slot;
use crate::share::state_log::{SlotName, StateLog};
use crate::share::suspects::Suspects;
use crate::topic::{Partition, Topic, Topics, refuse_group, unless_deleted};
use crate::transaction::Transactions;
use crate::types::{Offset, TopicPartition};

/// In whose name its states are stored, and its topic.
type QueueName = (Arc<str>, u128);
/// Queues that somebody works on, or did.
pub(super) type InUse = HashMap<QueueName, Weak<Queue>>;

/// Queues and what they have delivered.
///
/// Locks are taken in this order: `in_use`, a queue's `places`, a slot's (several in the order of their names), `making`, those of
/// partitions. `slots` is held for a moment alone, and so is what `suspects` has.
#[derive(Debug)]
pub(crate) struct Queues {
    pub(super) topics: Arc<Topics>,
    pub(super) groups: Arc<Groups>,
    /// None in a process that does not own the store.
    pub(super) transactions: Option<Arc<Transactions>>,
    /// Sends dead letters, and what is to be delivered later.
    pub(super) producer: Producer,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) states: StateLog,
    /// Which ids were sent.
    pub(super) ids: IdLog,
    pub(super) slots: Mutex<BTreeMap<SlotName, Arc<Slot>>>,
    /// Held while a state is written for the first time, until it is among them. Taken after those that are there.
    pub(super) making: Mutex<()>,
    /// Queues that somebody works on, by group and topic.
    pub(super) in_use: Mutex<InUse>,
    pub(super) openings: AtomicU64,
    pub(super) owed: Owed,
    /// What is out that may be what ended an earlier life.
    pub(super) suspects: Suspects,
    /// Topics that were made by whoever held a state.
    pub(super) news: News,
    /// What the senders to each topic share, as long as there is one.
    pub(super) gates: Mutex<HashMap<u128, Weak<Gate>>>,
    /// Held while letters are read, and before a slot's lock.
    pub(super) letter_counts: Mutex<HashMap<SlotName, LetterCount>>,
    /// The numbers of the names under which letters are sent back now.
    pub(super) redriving: Mutex<BTreeSet<u64>>,
    /// How many transactions have sent letters back, by the names of the topics they are of. Held for a moment alone.
    pub(super) sent_back: Mutex<BTreeMap<Arc<str>, u64>>,
    /// Senders that wait for room.
    pub(super) room: Watchers,
    /// Held by whoever deletes what is not needed any more.
    pub(super) tidying: Mutex<()>,
    /// Maintenance is to do it soon.
    pub(super) is_tidy_asked: AtomicBool,
    skipped: Vec<SkippedRecord>,
    pub(super) away: Away,
    /// What is dropped in a child of a fork waits for none of this: another thread may have held it.
    pub(crate) process: Process,
}

impl Queues {
    /// Loads what queues have delivered; changes no byte. What lies above the end of a partition, after a crash, is cut off, and
    /// durably so before anything is appended there: [`write_owed`](Self::write_owed).
    pub(crate) fn open(
        (topics, groups): (&Arc<Topics>, &Arc<Groups>),
        (transactions, producer): (&Arc<Transactions>, Producer),
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let states = StateLog::new(Arc::clone(topics));
        let (found, skipped) = states.load()?;
        let (mut slots, mut owed, mut cut) = (BTreeMap::new(), Vec::new(), Vec::new());
        let partitions: BTreeMap<_, _> = topics
            .all()
            .iter()
            .flat_map(Topic::partitions)
            .map(|partition| ((partition.topic_id(), partition.number()), partition))
            .collect();
        for (name, mut found) in found.0 {
            let partition = partitions.get(&(name.topic, name.partition));
            let is_cut = partition.is_some_and(|partition| found.state.cut_to(partition.end()));
            let slot = Arc::new(Slot::found(name.clone(), found)?);
            if let Some(partition) = partition.filter(|_| is_cut) {
                slot.note_cut();
                owed.push(Arc::clone(&slot));
                cut.push(partition.clone());
            }
            slots.insert(name, slot);
        }
        let queues = Arc::new(Self {
            transactions: Some(Arc::clone(transactions)),
            slots: Mutex::new(slots),
            owed: Owed::new(owed),
            skipped,
            ..Self::with((topics, groups), (producer, states), (clock, Away::at_home()))
        });
        for partition in cut {
            queues.hold_back_owed(&partition);
        }
        let readers: Arc<dyn OtherReaders> = Arc::clone(&queues) as _;
        groups.count_too(&readers);
        let outliving: Weak<Self> = Arc::downgrade(&queues);
        topics.set_outliving(outliving);
        Ok(queues)
    }

    pub(super) fn with(
        (topics, groups): (&Arc<Topics>, &Arc<Groups>),
        (producer, states): (Producer, StateLog),
        (clock, away): (&Arc<dyn Clock>, Away),
    ) -> Self {
        Self {
            topics: Arc::clone(topics),
            groups: Arc::clone(groups),
            transactions: None,
            producer,
            clock: Arc::clone(clock),
            states,
            ids: IdLog::new(Arc::clone(topics)),
            slots: Mutex::default(),
            making: Mutex::default(),
            in_use: Mutex::default(),
            openings: AtomicU64::new(0),
            owed: Owed::new(Vec::new()),
            suspects: Suspects::default(),
            news: News::default(),
            gates: Mutex::default(),
            letter_counts: Mutex::default(),
            redriving: Mutex::default(),
            sent_back: Mutex::default(),
            room: Watchers::default(),
            tidying: Mutex::default(),
            is_tidy_asked: AtomicBool::new(false),
            skipped: Vec::new(),
            away,
            process: Process::current(),
        }
    }

    /// Sees to it that ids of a topic stay known whose records may go now. Says where they may.
    pub(crate) fn keep_ids(&self, topic: &Topic) -> Kept {
        self.ids.keep(topic, self.clock.now())
    }

    /// The store is closed: what is in memory alone is written.
    pub(crate) fn close(&self) -> Result<()> {
        self.ids.keep_at_close(self.clock.now())
    }

    /// Records among the states that are not understood.
    pub(crate) fn skipped(&self) -> &[SkippedRecord] {
        &self.skipped
    }

    /// The partition in which states are stored.
    pub(crate) fn stored_in(&self) -> TopicPartition {
        self.states.stored_in()
    }

    /// The queue of that group on a topic, for one more worker.
    pub(super) fn join(self: &Arc<Self>, group: &str, topic: &str, asked: &Asked) -> Result<Arc<Queue>> {
        check_group(group, asked.letters_of.as_deref().unwrap_or(topic))?;
        let topic = self.topics.get(topic)?;
        if topic.is_internal() {
            return Err(Error::invalid(format!("topic {:?} is the store's own", topic.name())));
        }
        let group: Arc<str> = group.into();
        let owner = owner(&group, asked.letters_of.as_deref());
        let mut in_use = self.in_use.lock();
        in_use.retain(|_, queue| queue.strong_count() > 0);
        let key = (Arc::clone(&owner), topic.id());
        if let Some(queue) = in_use.get(&key).and_then(Weak::upgrade) {
            if let Some(setting) = asked.or(&queue.settings)?.other_than(&queue.settings) {
                return Err(in_use_otherwise(&queue, &setting));
            }
            return Ok(queue);
        }
        let settings = asked.or(&Settings::default())?;
        self.check_asked(&settings)?;
        let lock = self.take_over(&owner, &topic)?;
        let places = self.open_places(&owner, &topic, settings.start_from)?;
        let queue = Arc::new(Queue {
            queues: Arc::clone(self),
            group,
            owner,
            topic,
            settings,
            number: self.openings.fetch_add(1, Ordering::Relaxed) + 1,
            places,
            watchers: Watchers::default(),
            _lock: lock,
        });
        in_use.insert(key, Arc::downgrade(&queue));
        Ok(queue)
    }

    fn open_places(
        &self,
        owner: &Arc<str>,
        topic: &Topic,
        start_from: StartFrom,
    ) -> Result<RwLock<Arc<[Arc<Place>]>>> {
        let is_new = |partition: &Partition| self.find(owner, partition).is_none();
        let partitions = topic.partitions();
        if start_from == StartFrom::Fail
            && let Some(partition) = partitions.iter().find(|partition| is_new(partition))
        {
            let partition = partition.topic_partition().clone();
            let group = named(owner).0.to_owned();
            return Err(Error::NoCommittedOffset { group, partition });
        }
        // Where the queue is there, a partition without a state has come since.
        let is_latest = start_from == StartFrom::Latest && partitions.iter().all(is_new);
        let mut places = Vec::new();
        for partition in partitions {
            let start = if is_latest { partition.next_offset() } else { partition.start() };
            let slot = self.slot(owner, &partition, start)?;
            places.push(Arc::new(Place { partition, slot }));
        }
        Ok(RwLock::new(places.into()))
    }

    pub(super) fn find(&self, owner: &Arc<str>, partition: &Partition) -> Option<Arc<Slot>> {
        self.slots.lock().get(&name(owner, partition)).cloned()
    }

    /// The state of a queue in a partition. One that is new begins at `start`, and is durable when this returns: otherwise a
    /// power cut could move its beginning.
    pub(super) fn slot(&self, owner: &Arc<str>, partition: &Partition, start: Offset) -> Result<Arc<Slot>> {
        self.slot_named(name(owner, partition), start)
    }

    /// The same, also where the partition could not be opened.
    pub(super) fn slot_named(&self, name: SlotName, start: Offset) -> Result<Arc<Slot>> {
        let path = || self.topics.path().to_path_buf();
        // Of two that make it one would write it again over what the other's has become.
        let _making = in_time(|| self.making.try_lock(), || self.making.lock(), path)?;
        let found = self.slots.lock().get(&name).cloned();
        if let Some(slot) = found {
            return Ok(slot);
        }
        let now = self.clock.now();
        let slot = Arc::new(Slot::new(name, start, now)?);
        self.states.write_snapshot(&slot, &mut slot.enter(&self.suspects), now)?;
        self.states.sync_of(&slot)?;
        self.slots.lock().insert(slot.name.clone(), Arc::clone(&slot));
        Ok(slot)
    }

    /// All states of a topic.
    pub(super) fn of_topic(&self, topic: u128) -> Vec<Arc<Slot>> {
        let first = SlotName { topic, partition: 0, owner: "".into() };
        let slots = self.slots.lock();
        slots
            .range(first..)
            .take_while(|(name, _)| name.topic == topic)
            .map(|(_, slot)| Arc::clone(slot))
            .collect()
    }

    /// The states of queues in a partition. Where it was added, and no worker has come to it yet, a queue of the topic has none, and all of it to do.
    pub(super) fn of_partition(&self, partition: &Partition) -> BTreeMap<SlotName, Option<Arc<Slot>>> {
        let mut here = BTreeMap::new();
        for slot in self.of_topic(partition.topic_id()) {
            let is_here = slot.name.partition == partition.number();
            if is_of_left_letters(&slot.name.owner) {
                continue;
            }
            // Letters have one where they are.
            if is_here || named(&slot.name.owner).1.is_none() {
                let of = here.entry(name(&slot.name.owner, partition)).or_insert(None);
                *of = of.take().or_else(|| is_here.then(|| Arc::clone(&slot)));
            }
        }
        here
    }

    /// All states, and where the partition that stores them ends: of each that comes later everything stands behind that.
    pub(super) fn all(&self) -> (Vec<Arc<Slot>>, Offset) {
        let _making = self.making.lock();
        (self.slots.lock().values().cloned().collect(), self.states.end())
    }

    /// A topic has grown or gone: who waits for it looks again.
    pub(crate) fn topic_changed(&self, topic: &str) {
        let queues = working(&self.in_use.lock());
        queues.iter().filter(|queue| queue.topic.name() == topic).for_each(|queue| queue.watchers.raise());
        self.room.raise();
    }

    /// Makes the room of a queue: full segments that all have read go with the answer to their last record.
    pub(super) fn drop_consumed(&self, topic: &Topic, place: &Place) -> Result<()> {
        if !topic.settings().drops_consumed() {
            return Ok(());
        }
        let start = place.slot.enter(&self.suspects).state.start();
        let may_go = place.partition.log().has_much_below(start);
        if may_go { self.groups.drop_consumed(&place.partition) } else { Ok(()) }
    }
}

impl OtherReaders for Queues {
    fn consumed(&self, partition: &Partition) -> Consumed {
        let starts = self.of_partition(partition).into_values().map(|slot| {
            slot.map_or_else(|| partition.start(), |slot| slot.enter(&self.suspects).state.start())
        });
        starts.min().map_or(Consumed::Nobody, Consumed::Below)
    }

    fn sync(&self, partition: &Partition) -> Result<()> {
        self.keep_ids(&self.topics.get(partition.topic())?).of(partition.number())?;
        self.keep(self.of_partition(partition).values().flatten())
    }
}

impl OutlivesRecords for Queues {
    fn before_removal(&self, partition: &TopicPartition) -> Result<()> {
        // Where it is not there any more the call says so itself.
        let Ok(topic) = self.topics.get(partition.topic()) else { return Ok(()) };
        unless_deleted(self.keep_ids(&topic).of(partition.partition())).unwrap_or(Ok(()))
    }

    fn after_removal(&self, partition: &TopicPartition) {
        let Ok(topic) = self.topics.get(partition.topic()) else { return };
        if let Ok(partition) = topic.partition(partition.partition()) {
            self.let_go_of_gone(&partition);
        }
    }
}

fn in_use_otherwise(queue: &Queue, setting: &str) -> Error {
    let (group, topic) = (&queue.group, queue.topic.name());
    let why = "it has workers, or messages that they have taken, and all need the same settings";
    Error::invalid(format!("queue {group:?} of topic {topic:?}: {setting}: {why}"))
}

/// Those that somebody works on.
pub(super) fn working(in_use: &InUse) -> Vec<Arc<Queue>> {
    in_use.values().filter_map(Weak::upgrade).collect()
}

fn name(owner: &Arc<str>, partition: &Partition) -> SlotName {
    SlotName { topic: partition.topic_id(), partition: partition.number(), owner: Arc::clone(owner) }
}

/// In whose name states are stored: a group's, or a group's that hands out the dead letters of a topic. No group's name has the
/// character in between.
pub(super) fn owner(group: &Arc<str>, letters_of: Option<&str>) -> Arc<str> {
    letters_of.map_or_else(|| Arc::clone(group), |topic| format!("{group}\0{topic}").into())
}

/// The owner of a state that says of its topic that there may be dead letters in it, of groups that are forgotten: nobody's name. No worker has it.
pub(super) fn owner_of_left_letters() -> Arc<str> {
    owner(&Arc::from(""), Some(""))
}

/// Whether a state is such a one.
pub(super) fn is_of_left_letters(owner: &str) -> bool {
    owner == "\0"
}

/// The group, and the topic of whose dead letters a state is.
pub(super) fn named(owner: &str) -> (&str, Option<&str>) {
    owner.split_once('\0').map_or((owner, None), |(group, topic)| (group, Some(topic)))
}

/// An error for a group that can have no queue on a topic: whatever is written of one has room for its name, also the state of its dead letters, which
/// is named after the topic, too.
pub(super) fn check_group(group: &str, topic: &str) -> Result<()> {
    refuse_group(group)?;
    let refuse = |reason| Err(Error::InvalidName { kind: "group", name: group.to_owned(), reason });
    if group.is_empty() {
        return refuse("it must have a byte at least");
    }
    if group.contains('\0') {
        return refuse("a queue's cannot have a character 0");
    }
    let name = SlotName { topic: 0, partition: 0, owner: owner(&group.into(), Some(topic)) };
    name.keys().map(drop).or_else(|_| refuse("a queue's may have 32766 bytes together with its topic's"))
}
