//! The machine under a store: a disk whose power can be cut, calls that fail, and what is noted of every change.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use annals::io::FileSystem;
use annals_testing::Fault;
use annals_testing::power_cut::{Change, Disk, Observer, PowerCutFileSystem};

use crate::power_cut::record::Recorder;
use crate::power_cut::trouble::{Call, Kind, Trouble};
use crate::power_cut::watcher;
use annals_testing::Random;

/// A machine with one disk. Clones are the same machine.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    disk: PowerCutFileSystem,
    look: Arc<Look>,
}

/// What looks at every change.
#[derive(Debug)]
struct Look {
    state: Mutex<State>,
    recorder: Option<Arc<Recorder>>,
}

#[derive(Debug)]
struct State {
    /// Changed since a moment was recorded.
    changed: bool,
    trouble: Option<Trouble>,
    eviction: Option<Eviction>,
    /// Orders of calls that a power cut between them would punish.
    violations: Vec<String>,
}

/// Pages make room for others.
#[derive(Debug, Clone)]
pub(crate) struct Eviction {
    /// Reads that still see them.
    pub(crate) left: usize,
    /// Quarters of the pages that go.
    pub(crate) share: u64,
    pub(crate) random: Random,
}

impl Model {
    /// A machine that tells `recorder` of its syncs.
    pub(crate) fn new(disk: Disk, recorder: Option<Arc<Recorder>>) -> Self {
        let state = State { changed: true, trouble: None, eviction: None, violations: Vec::new() };
        let look = Arc::new(Look { state: Mutex::new(state), recorder });
        let disk = PowerCutFileSystem::on(disk, Some(Arc::clone(&look) as Arc<dyn Observer>));
        Self { disk, look }
    }

    /// What a store is put on.
    pub(crate) fn file_system(&self) -> Arc<dyn FileSystem> {
        self.disk.shared()
    }

    /// Ends the process: what it calls from here on fails. The disk and what the system holds of it stay.
    pub(crate) fn kill(&self) -> Disk {
        self.disk.kill()
    }

    /// From the `nth` call of that kind on (0 is the next one), on a path that ends so.
    pub(crate) fn trouble(&self, kind: Kind, suffix: &'static str, nth: usize) {
        self.look.state().trouble = Some(Trouble { kind, suffix, left: nth, struck: 0 });
    }

    /// Every call succeeds again.
    pub(crate) fn heal(&self) {
        self.look.state().trouble = None;
    }

    /// So many reads after a sync has failed, pages that the kernel took for clean make room for others.
    pub(crate) fn evict(&self, eviction: Option<Eviction>) {
        self.look.state().eviction = eviction;
    }

    /// True when some call has failed.
    pub(crate) fn has_struck(&self) -> bool {
        self.look.state().trouble.as_ref().is_some_and(|trouble| trouble.struck > 0)
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.look.state().violations.clone()
    }

    /// Records the moment for the exploration.
    pub(crate) fn record(&self) {
        let disk = self.disk.disk();
        self.look.record(&mut self.look.state(), &disk);
    }
}

impl Look {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn record(&self, state: &mut State, disk: &Disk) {
        if let Some(recorder) = &self.recorder
            && (state.changed || recorder.has_tightened())
        {
            state.changed = false;
            recorder.record(disk.reachable());
        }
    }
}

/// What calls the troubles are made of.
fn call(change: &Change<'_>) -> Call {
    match change {
        Change::Write { .. } => Call::Write,
        Change::SetLen { .. } | Change::Allocate(_) => Call::Size,
        Change::Sync(_) => Call::Sync,
        Change::SyncDir(_) => Call::SyncDir,
        _ => Call::Name,
    }
}

impl Observer for Look {
    fn before(&self, disk: &mut Disk, change: &Change<'_>) -> Option<Fault> {
        let mut state = self.state();
        if matches!(change, Change::Sync(_) | Change::SyncDir(_)) {
            self.record(&mut state, disk);
        }
        state.changed = true;
        let len = if let Change::Write { len, .. } = change { *len } else { 0 };
        let strike = |trouble: &mut Trouble| trouble.strike(call(change), change.path(), len);
        let fault = state.trouble.as_mut().and_then(strike);
        if fault.is_some()
            && let Some(recorder) = &self.recorder
        {
            recorder.note_strike();
            // For whoever looks into a failure.
            eprintln!("{fault:?} strikes {change:?}");
        }
        // What fails before it has done anything is in no wrong order.
        if !matches!(fault, Some(Fault::Error(_))) {
            state.violations.extend(watcher::verdict(disk, change));
        }
        fault
    }

    fn after(&self, disk: &mut Disk, change: &Change<'_>) {
        if let Change::Rename { to, .. } = change {
            watcher::note_sealed(disk, to);
        }
    }

    fn read(&self, disk: &mut Disk, path: &Path) {
        let mut state = self.state();
        if state.eviction.is_none() || !disk.lies() {
            return;
        }
        let Some(mut eviction) = state.eviction.take() else { return };
        match eviction.left.checked_sub(1) {
            Some(left) => state.eviction = Some(Eviction { left, ..eviction }),
            None => {
                eprintln!("pages are evicted before a read of {}", path.display());
                disk.evict(|| eviction.random.below(4) < eviction.share);
            }
        }
    }
}
