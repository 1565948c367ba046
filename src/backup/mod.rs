//! Backups: checked, and made stores again. [`Store::backup`](crate::Store::backup) makes them.
//!
//! A backup is a directory of files as those of a store, with a list of them, `annals.backup`, that was written last. Without
//! that list it is no backup: it was not finished. What it holds, and how it is made, is in `docs/backup.md`.
//!
//! ```
//! # use annals::{Record, Store, TopicConfig};
//! # let dir = tempfile::tempdir()?;
//! # let (path, copy, again) = (dir.path().join("shop-log"), dir.path().join("monday"), dir.path().join("again"));
//! let store = Store::open(&path)?;
//! store.create_topic("orders", TopicConfig::new())?;
//! store.producer().send(Record::to("orders").value("2 apples"))?;
//! let report = store.backup(&copy)?;
//! assert_eq!(report.partitions[0].end, 1);
//!
//! assert!(annals::backup::verify(&copy)?.is_sound());
//! annals::backup::restore(&copy, &again)?;
//! let restored = Store::open(&again)?;
//! assert_eq!(restored.topic("orders")?.partition(0)?.end(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[expect(clippy::module_inception, reason = "the layer and its central type share the field's word")]
mod backup;
mod list;
mod make;
mod pace;
mod premises;
mod report;
mod restore;
mod target;

pub use backup::{Backup, restore, verify};
pub(crate) use list::{refuse_backup, refuse_unfinished};
pub(crate) use make::{Check, Making, Options};
pub(crate) use premises::refuse_copies;
pub use report::{BackedUp, BackupProgress, BackupReport, RestoreReport};
pub use restore::RestoreOptions;
