//! How a record comes to where it waits for its time.

use std::sync::Arc;

use crate::error::Result;
use crate::share::held::{Held, step_for};
use crate::share::holds::Holds;
use crate::share::once_later::WithRecord;
use crate::topic::Partition;
use crate::types::{Durability, Record, Timestamp};
use crate::upkeep::Otherwise;

/// The transactions that send a record with its id.
const WITH_ID: &str = "annals.schedule.once";

impl Holds {
    /// Keeps a record for its time, or sends it at once if that has come.
    pub(super) fn send(
        self: &Arc<Self>,
        record: &Record<'_>,
        at: Timestamp,
        durability: Durability,
    ) -> Result<()> {
        let target = self.producer.place_of(record)?;
        let plain = [record.clone()];
        target.log().check_records(&plain)?;
        let now = self.now();
        if at <= now {
            return target.append(&plain, durability).map(drop);
        }
        self.hold(&target, (record, at), |partition, record| {
            partition.append_internal(&[record], durability).map(drop)
        })
    }

    /// Keeps a record for its time, together with its id.
    pub(super) fn send_with(
        self: &Arc<Self>,
        target: &Partition,
        (record, at): (&Record<'_>, Timestamp),
        (durability, id): (Durability, WithRecord),
    ) -> Result<()> {
        target.log().check_records(std::slice::from_ref(record))?;
        self.hold(target, (record, at), |partition, record| {
            let _one = self.with_id.lock();
            let mut tx = self.transaction(WITH_ID).durability(durability).begin()?;
            tx.send_to(partition, &record)?;
            tx.take_part(|| id, |_| {});
            tx.commit().map(drop)
        })
    }

    /// Has `append` put a record on the step where it waits first.
    fn hold(
        self: &Arc<Self>,
        target: &Partition,
        (record, at): (&Record<'_>, Timestamp),
        append: impl FnOnce(&Partition, Record<'_>) -> Result<()>,
    ) -> Result<()> {
        let now = self.now();
        let headers = Held::new(target, at).headers();
        let partition = self.step(step_for(at.saturating_sub(now)))?;
        let entered = self.enter(&partition, now);
        let record = headers.iter().fold(record.clone(), |record, (name, value)| record.header(name, value));
        let number = partition.number();
        // It may be there after a panic, too. That may be one of the clock, so nobody asks it now.
        let look = Otherwise::new(|| self.look_at(number));
        let appended = append(&partition, record.timestamp(entered));
        look.went_well();
        appended?;
        self.wake_at(number, entered);
        Ok(())
    }
}
