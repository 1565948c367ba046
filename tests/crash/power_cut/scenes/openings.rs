//! A process begins: a store is opened, on what a crash or another process left, and closed.

use std::sync::Arc;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{Result, Store};

use crate::power_cut::model::Model;
use crate::power_cut::promise::Outcome;
use crate::power_cut::scenes::World;

/// Where the store is.
const PATH: &str = "/machine/store";
/// The time of the first record.
const BEGINNING: i64 = 1_700_000_000_000;

/// A store that keeps at most so many files open.
pub(crate) fn open(model: &Model, clock: &Arc<ManualClock>, files: usize) -> Result<Store> {
    Store::builder(PATH)
        .max_open_files(files)
        .file_system(model.file_system())
        .clock(Arc::clone(clock) as Arc<dyn annals::io::Clock>)
        .read_mode(annals::ReadMode::Positional)
        .sync_every(Duration::ZERO)
        .maintain_by_hand()
        .open()
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(BEGINNING))
}

impl World {
    /// Whoever bears failures tries twice.
    pub(crate) fn open(&mut self) -> Result<()> {
        self.attempt("open", |_| {});
        let opened = match open(&self.model, &self.clock, self.files) {
            Err(_) if self.bears => open(&self.model, &self.clock, self.files),
            opened => opened,
        };
        self.store = Some(opened?);
        self.promise(|_| {});
        Ok(())
    }

    /// Opens again what this process had open.
    pub(crate) fn open_again(&mut self) -> Result<()> {
        let opened = self.open();
        if opened.is_ok() && self.bears {
            self.compare_with_cache().unwrap();
        }
        opened
    }

    /// Opens what a crash left, compares it, and goes on from there.
    pub(crate) fn reopen(&mut self) -> Outcome<()> {
        self.open().map_err(|error| error.to_string())?;
        let before = self.recorder.promises();
        let found = before.check(self.store())?;
        let now = before.observed(self.store(), &found)?;
        self.promise(|promises| *promises = now);
        Ok(())
    }

    /// Opens what a process left to the machine it ran on. That something reads well does not say that it is on the disk.
    pub(crate) fn reopen_on_cache(&mut self) -> Outcome<()> {
        self.open().map_err(|error| error.to_string())?;
        self.compare_with_cache()
    }

    fn compare_with_cache(&self) -> Outcome<()> {
        let before = self.recorder.promises();
        let found = before.check(self.store())?;
        let mut now = before.observed(self.store(), &found)?;
        for (name, topic) in &mut now.topics {
            topic.is_certain = before.topics[name].is_certain;
            for (log, known) in topic.logs.iter_mut().zip(&before.topics[name].logs) {
                log.durable = known.durable;
                log.least_start = known.least_start;
                log.may_go.clone_from(&known.may_go);
                log.gone.clone_from(&known.gone);
            }
        }
        for (id, allowed) in &mut now.commits {
            allowed.splice(0..0, before.commits[id].iter().copied());
        }
        self.recorder.attempt("open on the cache", |promises| *promises = now);
        Ok(())
    }

    pub(crate) fn close(&mut self) -> Result<()> {
        self.attempt("close", |_| {});
        self.recorder.ask(Vec::new());
        let closed = self.store.take().unwrap().close();
        if !self.bear(closed)? {
            return Ok(());
        }
        self.promise(|promises| {
            for topic in promises.topics.values_mut() {
                topic.logs.iter_mut().for_each(|log| log.durable = log.end());
            }
            promises.commits.values_mut().for_each(|allowed| drop(allowed.drain(..allowed.len() - 1)));
        });
        Ok(())
    }
}
