//! Checking and restoring backups. [`Store::backup`](crate::Store::backup) makes them.
//!
//! A backup is a directory of files like those of a store, with a list of them, `annals.backup`, that is written last. Without
//! that list it is not a backup: it was not finished. `docs/backup.md` says what it holds, and how it is made.
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
