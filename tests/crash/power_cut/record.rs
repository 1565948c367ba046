//! What a workload was promised so far, and the moments at which the power may fail.
//!
//! A moment is recorded before every sync, when most is undecided, and after every promise. The states of each call in
//! between are among those of the next moment: there it is one more change that may be lost.

use std::sync::Mutex;

use annals::Partition;

use crate::power_cut::promise::Promises;
use annals_testing::power_cut::Disk;

/// A disk at one moment, and what must be found on it afterwards.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) disk: Disk,
    pub(crate) promises: Promises,
    /// What was being done.
    pub(crate) doing: String,
}

/// Shared by a workload and the model below its store.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    promises: Promises,
    /// A promise was made since the last moment.
    tightened: bool,
    doing: String,
    moments: Vec<Moment>,
    /// What they call durable is promised, at any moment.
    partitions: Vec<Partition>,
    /// How many moments there were when a call failed first.
    before_trouble: Option<usize>,
}

impl Recorder {
    pub(crate) fn has_tightened(&self) -> bool {
        self.state.lock().unwrap().tightened
    }

    pub(crate) fn record(&self, disk: Disk) {
        let mut state = self.state.lock().unwrap();
        state.tightened = false;
        state.note_durable();
        let moment = Moment { disk, promises: state.promises.clone(), doing: state.doing.clone() };
        state.moments.push(moment);
    }

    /// Something is begun: more may be found from here on.
    pub(crate) fn attempt(&self, doing: &str, change: impl FnOnce(&mut Promises)) {
        let mut state = self.state.lock().unwrap();
        doing.clone_into(&mut state.doing);
        change(&mut state.promises);
    }

    /// Something was acknowledged: more must be found from here on.
    pub(crate) fn promise(&self, change: impl FnOnce(&mut Promises)) {
        let mut state = self.state.lock().unwrap();
        state.doing.push_str(", done");
        change(&mut state.promises);
        state.tightened = true;
    }

    /// From here on these partitions are asked what is durable.
    pub(crate) fn ask(&self, partitions: Vec<Partition>) {
        let mut state = self.state.lock().unwrap();
        state.partitions = partitions;
        state.note_durable();
    }

    /// What was begun last.
    pub(crate) fn doing(&self) -> String {
        self.state.lock().unwrap().doing.clone()
    }

    pub(crate) fn promises(&self) -> Promises {
        self.state.lock().unwrap().promises.clone()
    }

    /// A call is about to fail.
    pub(crate) fn note_strike(&self) {
        let mut state = self.state.lock().unwrap();
        let count = state.moments.len();
        state.before_trouble.get_or_insert(count);
    }

    /// The moments since a call failed.
    pub(crate) fn take_moments_in_trouble(&self) -> Vec<Moment> {
        let mut state = self.state.lock().unwrap();
        let from = state.before_trouble.unwrap_or(state.moments.len());
        state.moments.split_off(from)
    }

    pub(crate) fn take_moments(&self) -> Vec<Moment> {
        std::mem::take(&mut self.state.lock().unwrap().moments)
    }
}

impl State {
    fn note_durable(&mut self) {
        for partition in &self.partitions {
            let log = self.promises.log(partition.topic_partition());
            log.durable = log.durable.max(partition.durable());
        }
    }
}
