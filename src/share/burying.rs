//! A state of which messages are being given up, until it is known whether they are.

use std::sync::Arc;

use crate::error::Result;
use crate::format::StateBatch;
use crate::locks::Mutex;
use crate::share::queue::Queue;
use crate::share::slot::SlotInner;
use crate::share::state_log::Accounts;
use crate::topic::{Contribution, Outcome, Participant, Prepared, SHARE_STATE, WrittenIn};

/// How the transaction has ended with which messages are given up, as far as that is known; also after a panic.
#[derive(Debug, Clone, Default)]
pub(super) struct Told(Arc<Mutex<Option<Outcome>>>);

/// The state's part of the transaction. Whoever gives up holds the state's lock until it is decided, and takes over what it was told.
#[derive(Debug)]
pub(super) struct Buried {
    contribution: Mutex<Option<Contribution>>,
    told: Told,
}

impl Buried {
    pub(super) fn new(contribution: Contribution, told: Told) -> Self {
        Self { contribution: Mutex::new(Some(contribution)), told }
    }
}

/// The same, with its records.
struct BuriedRecords<'a>(Contribution, &'a Told);

/// A state of which messages are being given up, in the hands of whoever holds it. A panic in a file system or a clock of the program's own behind the decision
/// leaves it as that says: a message of which there is a letter is done.
pub(super) struct Burying<'a> {
    queue: &'a Queue,
    inner: &'a mut SlotInner,
    batch: StateBatch,
    accounts: Accounts,
    pub(super) written_in: WrittenIn,
    pub(super) told: Told,
    /// Whoever gives up has done what it was told; otherwise a panic takes it, be it in the middle of another one.
    is_over: bool,
}

impl<'a> Burying<'a> {
    pub(super) fn new(
        queue: &'a Queue,
        inner: &'a mut SlotInner,
        (batch, accounts): (StateBatch, Accounts),
    ) -> Self {
        let (written_in, told) = (WrittenIn::default(), Told::default());
        Self { queue, inner, batch, accounts, written_in, told, is_over: false }
    }

    /// Nobody has to be told more.
    pub(super) fn end(mut self) {
        self.is_over = true;
    }

    /// The letters are there, and so the messages are done.
    pub(super) fn take_effect(&mut self) {
        self.inner.accounts = self.accounts;
        self.queue.queues.states.note_decided(self.inner, self.written_in.transaction());
        self.inner.state.finish(self.batch.first, self.batch.last, self.batch.state);
    }
}

impl Drop for Burying<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let told = self.told.0.lock().take();
        match told {
            Some(Outcome::Applied) => self.take_effect(),
            Some(Outcome::Unknown) => self.inner.set_aside(&[self.batch]),
            Some(Outcome::Aborted) | None => {}
        }
        self.queue.watchers.raise();
        self.queue.queues.room.raise();
    }
}

impl Participant for Buried {
    fn topic(&self) -> &'static str {
        SHARE_STATE.name
    }

    fn prepare(&self) -> Result<Option<Box<dyn Prepared + '_>>> {
        let contribution = self.contribution.lock().take();
        Ok(contribution.map(|one| Box::new(BuriedRecords(one, &self.told)) as Box<dyn Prepared>))
    }
}

impl Prepared for BuriedRecords<'_> {
    fn contribution(&self) -> &Contribution {
        &self.0
    }

    fn end(self: Box<Self>, outcome: Outcome) {
        *self.1.0.lock() = Some(outcome);
    }
}
