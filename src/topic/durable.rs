//! Waiting for the disk as a future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{Error, Result};
use crate::log::{DurableWait, RestsOn};
use crate::topic::flushing::tell_one_loss;
use crate::topic::moved::{Moved, poll_all};
use crate::topic::partition::Partition;
use crate::types::Offset;

/// A future that is ready when records survive a power cut, or when it is known that they will not. Any executor can poll it; a store has one
/// thread that syncs for all waiting tasks. Dropping it ends the waiting and nothing else.
///
/// ```
/// # use annals::{Durability, Record, Store, TopicConfig};
/// # fn block_on<F: Future>(future: F) -> F::Output {
/// #     let mut future = std::pin::pin!(future);
/// #     loop {
/// #         let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// #         if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) { return output; }
/// #     }
/// # }
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let orders = store.create_topic("orders", TopicConfig::new())?.partition(0)?;
/// # block_on(async {
/// let sent = orders.append(&[Record::new().value("2 apples")], Durability::Os)?; // short
/// orders.durable_through(sent.last_offset).await?; // as long as a sync, and no thread waits
/// assert!(orders.durable() > sent.last_offset);
/// # Ok::<(), annals::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a future does nothing until it is polled"]
pub struct Durable {
    /// Those that are not over.
    waits: Vec<DurableWait>,
    /// The same for what rests on transactions.
    moved: Vec<Moved>,
    /// The first failure of those that are.
    outcome: Result<()>,
    /// What it tells where nothing fails.
    told: Option<Error>,
    /// Of what these have lost it tells, in the poll that returns `Ready`: dropped before, it has used nothing up.
    flushed: Vec<Partition>,
    /// A topic that is deleted meanwhile is no failure.
    passes_over_deleted: bool,
    is_over: bool,
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable").field("waits_for", &self.waits.len()).finish_non_exhaustive()
    }
}

impl Durable {
    fn new(waits: Result<Vec<DurableWait>>) -> Self {
        let (waits, outcome) = match waits {
            Ok(waits) => (waits, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        Self {
            waits,
            moved: Vec::new(),
            outcome,
            told: None,
            flushed: Vec::new(),
            passes_over_deleted: false,
            is_over: false,
        }
    }

    /// Ready when all of these are; topics that were deleted meanwhile are passed over.
    pub(crate) fn of_waits(waits: Vec<DurableWait>) -> Self {
        Self { passes_over_deleted: true, ..Self::new(Ok(waits)) }
    }

    /// The same, and what is waited for here: transactions that are not to be taken back by a power cut.
    pub(crate) fn and_those(self, moved: impl IntoIterator<Item = Result<RestsOn>>) -> Self {
        Self { moved: moved.into_iter().map(Moved::new).collect(), ..self }
    }

    /// The same, but that it tells why something was left out once all the rest went well.
    pub(crate) fn telling(self, why: Option<Error>) -> Self {
        Self { told: why, ..self }
    }

    /// What is not to be waited for, as it has failed.
    pub(crate) fn failed(error: Error) -> Self {
        Self::new(Err(error))
    }

    /// Everything accepted so far in these partitions, as a flush of all of them: of a transaction that is committed, what it has elsewhere, too.
    pub(crate) fn of_all(partitions: impl IntoIterator<Item = Partition>) -> Self {
        let flushed: Vec<_> = partitions.into_iter().collect();
        let waits = flushed.iter().map(|partition| partition.log().await_all()).collect();
        let moved: Vec<_> =
            flushed.iter().map(|partition| partition.await_settled(partition.end())).collect();
        Self { flushed, ..Self::of_waits(waits) }.and_those(moved)
    }
}

impl Future for Durable {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(Err(Error::invalid("the future was ready already")));
        }
        let forked = this.flushed.first().map_or(Ok(()), |partition| partition.log().check_process());
        if let Err(forked) = forked {
            this.is_over = true;
            return Poll::Ready(Err(forked));
        }
        let first = poll_all(&mut this.waits, context.waker(), this.passes_over_deleted);
        this.outcome = std::mem::replace(&mut this.outcome, Ok(())).and(first);
        this.moved.iter_mut().for_each(|one| one.poll(context.waker()));
        if !this.waits.is_empty() || this.moved.iter().any(Moved::waits) {
            return Poll::Pending;
        }
        this.is_over = true;
        let moved = this.moved.drain(..).map(Moved::outcome).fold(Ok(()), Result::and);
        this.outcome = std::mem::replace(&mut this.outcome, Ok(())).and(moved);
        // Of one that has lost records: those of the others the next flush tells.
        let lost = tell_one_loss(&std::mem::take(&mut this.flushed));
        let left_out = this.told.take().map_or(Ok(()), Err);
        Poll::Ready(lost.and(std::mem::replace(&mut this.outcome, Ok(()))).and(left_out))
    }
}

impl Partition {
    /// Returns a future that is ready when the record at `offset`, and all before it, survive a power cut; records of a transaction if the
    /// rest of it does. Records in memory are written for it.
    ///
    /// With [`Durability::Os`](crate::Durability::Os) this is how a task sends at `Disk`: it sends, which is short, and awaits this.
    /// Many tasks share one sync.
    ///
    /// # Errors
    /// When it is ready: [`OffsetOutOfRange`](Error::OffsetOutOfRange) for an offset that was not assigned, [`Lost`](Error::Lost) when the
    /// write of the record has failed meanwhile, so that the offset may be another record's, [`Io`](Error::Io),
    /// [`Poisoned`](Error::Poisoned), [`UnknownTopic`](Error::UnknownTopic), [`StoreClosed`](Error::StoreClosed).
    pub fn durable_through(&self, offset: Offset) -> Durable {
        Durable::new(self.log().await_durable(offset).map(|wait| vec![wait]))
    }

    /// Returns a future that is ready when everything accepted before this call survives a power cut: [`flush`](Self::flush) without a
    /// waiting thread.
    ///
    /// # Errors
    /// When it is ready: as for `flush`.
    pub fn flush_async(&self) -> Durable {
        if let Err(forked) = self.log().check_process() {
            return Durable::failed(forked);
        }
        let waits = self.log().check_open().map(|()| vec![self.log().await_all()]);
        let moved = self.await_settled(self.end());
        Durable { flushed: vec![self.clone()], ..Durable::new(waits) }.and_those([moved])
    }
}
