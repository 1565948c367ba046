//! Checking all partitions that a catalog lists, each by itself.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::error::Result;
use crate::format::Identity;
use crate::io::Directory;
use crate::log::{Damage, Log, VerifyReport};
use crate::topic::catalog_file::{CATALOG_FILE, CatalogFile};
use crate::topic::settings::Settings;
use crate::topic::topics::TopicContext;

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
        Err(error) => return found.note(error).map(|()| found),
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
                    if log.check(&mut found, go_on)?.is_break() {
                        return Ok(found);
                    }
                }
                Err(error) => found.note(error)?,
            }
        }
    }
    Ok(found)
}
