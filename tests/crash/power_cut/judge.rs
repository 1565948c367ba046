//! What is done on a disk that a power cut left: it is opened and compared, and then lived on.

use std::sync::Arc;

use annals::{Durability, Store, Topic};

use crate::power_cut::model::Model;
use crate::power_cut::promise::{self, Entry, Found, Outcome, Promises};
use crate::power_cut::scenes;
use annals_testing::power_cut::Disk;
use annals_testing::power_cut::Fate;
use annals_testing::power_cut::{cut, points};

/// One life of a store on a disk that a power cut left.
struct Life {
    model: Model,
    store: Store,
    found: Found,
}

impl Life {
    fn begin(disk: Disk, promises: &Promises) -> Outcome<Self> {
        let model = Model::new(disk, None);
        let store =
            scenes::open(&model, &scenes::clock(), 100).map_err(|error| format!("does not open: {error}"))?;
        let found = promises.check(&store)?;
        Ok(Self { model, store, found })
    }

    /// Ends the process. What the system holds stays.
    fn end(self) -> Outcome<Disk> {
        let disk = self.model.kill();
        match self.model.violations().first() {
            Some(violation) => Err(violation.clone()),
            None => Ok(disk),
        }
    }

    /// One more record in every partition, on the disk.
    fn append(&self, promises: &mut Promises) -> Outcome<()> {
        for partition in promise::topics(&self.store).iter().flat_map(Topic::partitions) {
            let entry =
                Entry { key: b"after".into(), value: Some(b"the power cut".into()), ends_batch: true };
            let record = annals::Record::new().key("after").value("the power cut");
            let log = promises.log(partition.topic_partition());
            let appended =
                partition.append(&[record], Durability::Disk).map_err(|error| error.to_string())?;
            if appended.first_offset != log.end() {
                return Err(format!("appended at {}, not {}", appended.first_offset, log.end()));
            }
            log.entries.push(Arc::new(entry));
            log.durable = log.end();
        }
        Ok(())
    }

    fn close(self) -> Outcome<Disk> {
        self.store.close().map_err(|error| error.to_string())?;
        self.end()
    }
}

/// Opens the disk, compares what is there, and then, as `variant` says: opens it once more, or appends and has another
/// power cut, or appends and closes, or closes.
pub(crate) fn judge(disk: Disk, promises: &Promises, variant: usize) -> Outcome<()> {
    let life = Life::begin(disk, promises)?;
    let unclean = |life: &Life| {
        let recovery = life.store.recovery();
        let all: Vec<_> =
            recovery.iter().filter(|report| !report.clean).map(|one| format!("{one:?}")).collect();
        (!all.is_empty()).then(|| all.join("; "))
    };
    let before = unclean(&life);
    let mut now = promises.observed(&life.store, &life.found)?;
    let disk = match variant % 4 {
        0 => life.end()?,
        1 => {
            life.append(&mut now)?;
            let disk = life.end()?.reachable();
            cut(&disk, &vec![Fate::Lost; points(&disk).len()])
        }
        2 => {
            life.append(&mut now)?;
            life.close()?
        }
        _ => life.close()?,
    };
    let again = Life::begin(disk, &now).map_err(|why| format!("the next life: {why}"))?;
    if variant % 4 >= 2
        && let Some(report) = unclean(&again)
    {
        return Err(format!("closed, and not clean: {report}; the life before: {before:?}"));
    }
    again.end().map(drop)
}
