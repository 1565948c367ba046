//! Checking all partitions that a catalog lists, each by itself.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::Identity;
use crate::io::Directory;
use crate::log::{Checked, Damage, Log, TornTail};
use crate::topic::catalog_file::{CATALOG_FILE, CatalogFile};
use crate::topic::settings::Settings;
use crate::topic::topics::TopicContext;

/// What a check of a whole store found.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # store.producer().send(Record::to("orders").value("2 apples"))?;
/// store.close()?;
/// let found = Store::verify(dir.path())?;
/// assert!(found.is_sound());
/// assert_eq!((found.partitions, found.batches, found.records), (1, 1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Partitions looked at.
    pub partitions: u64,
    /// Segments walked.
    pub segments: u64,
    /// Batches found.
    pub batches: u64,
    /// Records of the sound ones.
    pub records: u64,
    /// Bytes of the batches found.
    pub bytes: u64,
    /// What is not as it was written.
    pub findings: Vec<Damage>,
    /// What a crash left behind the last whole batch of a partition. That is no damage: the next append cuts it off.
    pub torn: Vec<TornTail>,
    /// The `.log` files whose indexes are missing or differ. That is no damage: they are rebuilt when they are needed.
    pub stale_indexes: Vec<std::path::PathBuf>,
}

impl VerifyReport {
    /// True when everything is as it was written.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn take(&mut self, checked: &mut Checked) {
        self.segments += std::mem::take(&mut checked.segments);
        self.batches += std::mem::take(&mut checked.batches);
        self.records += std::mem::take(&mut checked.records);
        self.bytes += std::mem::take(&mut checked.bytes);
        self.findings.append(&mut checked.findings);
        self.stale_indexes.append(&mut checked.stale_indexes);
    }
}

/// Checks every partition of the store in `root`. Changes nothing. `go_on` is asked after each segment.
pub(crate) fn verify(
    root: &Directory,
    context: &TopicContext,
    go_on: &mut dyn FnMut(&VerifyReport) -> ControlFlow<()>,
) -> Result<VerifyReport> {
    let mut found = VerifyReport::default();
    let catalog = match CatalogFile::read(root) {
        Ok(Some(catalog)) => catalog,
        Ok(None) => {
            let reason =
                "the file is missing: this is no store, or it has lost its list of topics".to_owned();
            found.findings.push(Damage { path: root.join(CATALOG_FILE), position: 0, offset: None, reason });
            return Ok(found);
        }
        Err(error) => return note(found, &error),
    };
    for (name, topic) in &catalog.catalog().topics {
        let settings = Settings::stored(topic)?;
        for partition in 0..topic.partitions {
            let identity = Identity { store: catalog.catalog().store, topic: topic.id, partition };
            let log_context = context.of_partition(root, name.as_str(), identity);
            found.partitions += 1;
            match Log::open(log_context, Arc::clone(settings.log())) {
                Ok((log, report)) => {
                    found.torn.extend(report.torn);
                    let mut checked = Checked::default();
                    let outcome = log.check(&mut checked, &mut |checked| {
                        let mut so_far = found.clone();
                        so_far.bytes += checked.bytes;
                        go_on(&so_far)
                    })?;
                    found.take(&mut checked);
                    if outcome.is_break() {
                        return Ok(found);
                    }
                }
                Err(error) => found = note(found, &error)?,
            }
        }
    }
    Ok(found)
}

fn note(mut found: VerifyReport, error: &Error) -> Result<VerifyReport> {
    match Damage::told_by(error) {
        Some(damage) => {
            found.findings.push(damage);
            Ok(found)
        }
        None => Err(error.clone()),
    }
}
