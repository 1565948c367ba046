//! A machine, a process on it, and what the process was promised.

use std::sync::Arc;

use annals::io::ManualClock;
use annals::{Error, Partition, Result, Store, Topic, TopicPartition};

use crate::power_cut::model::Model;
use crate::power_cut::promise::{self, Promises};
use crate::power_cut::record::{Moment, Recorder};
use crate::power_cut::scenes::clock;
use annals_testing::Random;
use annals_testing::power_cut::Disk;

/// A store on a machine, and all that is noted of it.
pub(crate) struct World {
    pub(crate) model: Model,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) random: Random,
    /// How many files the store keeps open. With one, each partition that is used takes it from another.
    pub(crate) files: usize,
    /// Goes on after most failures, as programs do that run for long.
    pub(crate) bears: bool,
    pub(super) store: Option<Store>,
    pub(super) sent: u64,
}

impl World {
    /// A new machine.
    pub(crate) fn new(seed: u64) -> Self {
        Self::on(Disk::new(), Promises::default(), seed)
    }

    /// A machine that was running before.
    pub(crate) fn on(disk: Disk, promises: Promises, seed: u64) -> Self {
        let recorder = Arc::new(Recorder::default());
        recorder.attempt("start", |empty| *empty = promises);
        let model = Model::new(disk, Some(Arc::clone(&recorder)));
        let random = Random::new(seed);
        let files = if seed.is_multiple_of(2) { 1 } else { 100 };
        Self { model, recorder, clock: clock(), random, files, bears: false, store: None, sent: seed << 32 }
    }

    /// Everything recorded, and the moment after the last call.
    pub(crate) fn moments(self) -> Vec<Moment> {
        self.model.record();
        self.model.kill();
        self.recorder.ask(Vec::new());
        self.recorder.take_moments()
    }

    /// The same, from the first call on that failed.
    pub(crate) fn moments_in_trouble(&mut self) -> Vec<Moment> {
        self.model.record();
        self.recorder.take_moments_in_trouble()
    }

    /// No calls came in an order that a power cut between them would punish.
    pub(crate) fn check_order(&self) {
        assert_eq!(self.model.violations(), Vec::<String>::new());
    }

    /// Ends the process, and the machine goes on.
    pub(crate) fn kill(mut self) -> Disk {
        let disk = self.model.kill();
        self.drop_store();
        disk
    }

    /// Lets go of the store, as an unwinding program does.
    pub(crate) fn drop_store(&mut self) {
        self.recorder.ask(Vec::new());
        drop(self.store.take());
    }

    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// What comes of something that may be tried once more, or be left.
    pub(super) fn bear(&self, outcome: Result<()>) -> Result<bool> {
        if let Err(error) = &outcome {
            eprintln!("{}: {error}", self.recorder.doing());
        }
        match outcome {
            Ok(()) => Ok(true),
            Err(Error::UnknownTopic { .. } | Error::UnknownPartition { .. }) if self.bears => Ok(false),
            Err(Error::Io { .. } | Error::Poisoned { .. } | Error::Lost { .. }) if self.bears => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn attempt(&self, doing: &str, change: impl FnOnce(&mut Promises)) {
        self.recorder.attempt(doing, change);
    }

    pub(super) fn promise(&self, change: impl FnOnce(&mut Promises)) {
        self.recorder.promise(change);
        if let Some(store) = &self.store {
            self.recorder.ask(promise::topics(store).iter().flat_map(Topic::partitions).collect());
        }
        self.model.record();
    }

    pub(crate) fn partition(&self, place: &TopicPartition) -> Result<Partition> {
        self.store().topic(place.topic())?.partition(place.partition())
    }
}

/// The recorder asks partitions, which are on the machine, which tells the recorder: whoever lets go of a world opens that
/// circle, or it stays in memory.
impl Drop for World {
    fn drop(&mut self) {
        self.recorder.ask(Vec::new());
    }
}
