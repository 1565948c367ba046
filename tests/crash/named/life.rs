//! A store of one partition, two named producers, and what it has to know of them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::{CleanupPolicy, Durability, Error, Partition, Record, Store, TopicConfig, WhenFull};
use annals_testing::power_cut::{Change, Disk, Observer, cut, drawn_fates, points};
use annals_testing::{Call, Fault, FaultyFileSystem, ManualClock, PowerCutFileSystem, Random, Times};

const ENOSPC: i32 = 28;
const NAMES: [&str; 2] = ["sensor", "gauge"];

/// How records leave the topic by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Kept,
    Compacted,
    Aged,
    Bounded,
}

pub(super) const KINDS: [Kind; 4] = [Kind::Kept, Kind::Compacted, Kind::Aged, Kind::Bounded];

impl Kind {
    fn config(self) -> TopicConfig {
        let config = TopicConfig::new().segment_bytes(1000);
        match self {
            Self::Kept => config,
            Self::Compacted => config
                .cleanup_policy(CleanupPolicy::Compact)
                .min_cleanable_dirty_ratio(0.0)
                .delete_retention(Duration::ZERO),
            Self::Aged => config.retention(Duration::from_secs(3600)),
            Self::Bounded => config.size_limit(3000, WhenFull::DropOldest),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Do {
    /// The next record of a name, with a key, of now or of long ago.
    Append {
        name: usize,
        key: &'static str,
        is_old: bool,
        durability: Durability,
    },
    Plain {
        bytes: usize,
        durability: Durability,
    },
    /// All but so many of what is stable.
    Delete {
        but: i64,
    },
    Retain,
    Erase,
    Compact,
    Flush,
    /// Time goes on.
    Wait,
    /// No byte is free, for the next call.
    Fill,
    Close,
    End,
}

/// How a step ends the life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    /// The process is killed before that change of the disk, or after the step where it makes fewer.
    Kill(i64),
    Cut(i64),
}

pub(super) type Step = (Do, Then);

/// Takes the disk as it is before the change of a number.
#[derive(Default)]
struct Moment {
    left: AtomicI64,
    taken: Mutex<Option<Disk>>,
}

impl Observer for Moment {
    fn before(&self, disk: &mut Disk, _: &Change<'_>) -> Option<Fault> {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            *self.taken.lock().unwrap() = Some(disk.clone());
        }
        None
    }
}

/// What is known of one name from outside.
#[derive(Debug, Clone, Copy, Default)]
struct Expected {
    next: i32,
    /// What no power cut may take.
    durable: i32,
    /// What may be there.
    maybe: i32,
}

pub(super) struct Life {
    kind: Kind,
    moment: Arc<Moment>,
    machine: PowerCutFileSystem,
    files: Arc<FaultyFileSystem>,
    clock: Arc<ManualClock>,
    store: Store,
    expected: [Expected; 2],
    /// What a cut leaves of what was not synced: nothing, all, or some of it, by a number.
    pub(super) fates: usize,
}

impl Life {
    pub(super) fn begin(kind: Kind) -> Self {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let (moment, machine, files, store) = open(Disk::new(), &clock).unwrap();
        store.create_topic("readings", kind.config()).unwrap();
        for name in NAMES {
            store.named_producer(name).unwrap();
        }
        Self { kind, moment, machine, files, clock, store, expected: Default::default(), fates: 0 }
    }

    fn partition(&self) -> Partition {
        self.store.topic("readings").unwrap().partition(0).unwrap()
    }

    fn next_of(&self, name: &str) -> i32 {
        let last = self.store.named_producer(name).unwrap().last_sequence(&self.partition());
        last.map_or(0, |last| last + 1)
    }

    /// Does one step; says what the partition has forgotten, or knows that cannot be.
    pub(super) fn step(&mut self, (what, then): Step) -> Result<(), String> {
        let at = match then {
            Then::GoOn => -1,
            Then::Kill(at) | Then::Cut(at) => at,
        };
        self.moment.left.store(at, Ordering::SeqCst);
        let done = self.act(what);
        self.moment.left.store(-1, Ordering::SeqCst);
        if what != Do::Fill {
            self.files.heal();
        }
        done?;
        let taken = self.moment.taken.lock().unwrap().take();
        if taken.is_none() && then == Then::GoOn && !matches!(what, Do::Close | Do::End) {
            return self.compare(|expected| expected.next..=expected.next);
        }
        let was_whole = taken.is_none();
        let disk = taken.unwrap_or_else(|| self.machine.disk());
        self.live_on(disk, (what, then, was_whole))
    }

    fn live_on(&mut self, disk: Disk, (what, then, was_whole): (Do, Then, bool)) -> Result<(), String> {
        let is_cut = matches!(then, Then::Cut(_));
        let disk = if is_cut {
            let mut random = Random::new(self.fates as u64);
            cut(&disk, &drawn_fates(&points(&disk), self.fates, &mut random))
        } else {
            disk
        };
        drop(self.machine.kill());
        let opened = open(disk, &self.clock).map_err(|error| format!("{what:?}: {error}"))?;
        (self.moment, self.machine, self.files, self.store) = opened;
        let lost = self.store.recovery().iter().find_map(|one| one.lost_snapshot.clone());
        if let Some(lost) = lost {
            return Err(format!("{what:?}: {lost}"));
        }
        self.compare(|expected| if is_cut { expected.durable } else { expected.next }..=expected.maybe)?;
        let known = NAMES.map(|name| self.next_of(name));
        let is_closed = what == Do::Close && was_whole;
        for (expected, known) in self.expected.iter_mut().zip(known) {
            let durable = if is_cut || is_closed { known } else { expected.durable };
            *expected = Expected { next: known, durable, maybe: known };
        }
        Ok(())
    }

    fn compare(&self, range: impl Fn(&Expected) -> std::ops::RangeInclusive<i32>) -> Result<(), String> {
        for (name, expected) in NAMES.into_iter().zip(&self.expected) {
            let known = self.next_of(name);
            if !range(expected).contains(&known) {
                return Err(format!("{:?}: {name} is known up to {known}, not {expected:?}", self.kind));
            }
        }
        Ok(())
    }

    fn act(&mut self, what: Do) -> Result<(), String> {
        let partition = self.partition();
        let topic = self.store.topic("readings").unwrap();
        let outcome = match what {
            Do::Append { name, key, is_old, durability } => {
                return self.append((name, key), is_old, durability);
            }
            Do::Plain { bytes, durability } => {
                let value = "x".repeat(bytes);
                partition.append(&[Record::new().key("plain").value(&value)], durability).map(drop)
            }
            Do::Delete { but } => {
                let before = (partition.stable() - but).max(partition.start());
                partition.delete_records(before).map(drop)
            }
            Do::Retain => topic.apply_retention().map(drop),
            Do::Erase => topic.erase("k").map(drop),
            Do::Compact if self.kind == Kind::Compacted => topic.compact().map(drop),
            Do::Compact | Do::End => Ok(()),
            Do::Flush => partition.flush(),
            Do::Wait => {
                self.clock.advance(Duration::from_secs(2 * 3600));
                Ok(())
            }
            Do::Fill => {
                let calls = [Call::Create, Call::CreateDir, Call::Write, Call::Allocate];
                self.files.fail(&calls, "", (0, Times::ForEver), Fault::Error(ENOSPC));
                Ok(())
            }
            Do::Close => self.store.close(),
        };
        match outcome {
            Ok(()) => {
                if matches!(what, Do::Flush | Do::Close) && self.moment.taken.lock().unwrap().is_none() {
                    self.expected.iter_mut().for_each(|one| one.durable = one.next);
                }
                Ok(())
            }
            Err(error) if error.is_disk_full() || matches!(error, Error::StoreClosed { .. }) => Ok(()),
            Err(error) => Err(format!("{what:?}: {error}")),
        }
    }

    fn append(
        &mut self,
        (name, key): (usize, &'static str),
        is_old: bool,
        durability: Durability,
    ) -> Result<(), String> {
        let next = self.expected[name].next;
        let record = Record::new().key(key).value("v");
        let record = if is_old { record.timestamp(5) } else { record };
        let producer = self.store.named_producer(NAMES[name]).unwrap();
        let done = producer.append(&self.partition(), next, &[record], durability);
        let is_taken = self.moment.taken.lock().unwrap().is_some();
        let expected = &mut self.expected[name];
        match done {
            Ok(done) if done.is_duplicate => return Err(format!("{next} of {name} is there already")),
            Ok(_) if is_taken => expected.maybe = next + 1,
            Ok(_) => {
                (expected.next, expected.maybe) = (next + 1, next + 1);
                if durability == Durability::Disk {
                    expected.durable = next + 1;
                }
            }
            Err(error) if error.is_disk_full() => {
                // It may have been written and not synced.
                let known = self.next_of(NAMES[name]);
                let expected = &mut self.expected[name];
                (expected.next, expected.maybe) = (known.clamp(next, next + 1), next + 1);
            }
            Err(error) => return Err(format!("{next} of {name}: {error}")),
        }
        Ok(())
    }
}

type Opened = (Arc<Moment>, PowerCutFileSystem, Arc<FaultyFileSystem>, Store);

fn open(disk: Disk, clock: &Arc<ManualClock>) -> annals::Result<Opened> {
    let moment = Arc::new(Moment { left: AtomicI64::new(-1), taken: Mutex::default() });
    let machine = PowerCutFileSystem::on(disk, Some(Arc::clone(&moment) as Arc<dyn Observer>));
    let files = FaultyFileSystem::over(machine.shared());
    let builder = Store::builder("/store").file_system(files.clone()).clock(clock.clone());
    let store = builder.maintain_by_hand().open()?;
    Ok((moment, machine, files, store))
}
