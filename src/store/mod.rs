//! The store: opens and closes everything, and runs maintenance.

mod backup;
mod builder;
mod caretaker;
mod clients;
mod failures;
mod folding;
mod hold;
mod life;
mod maintenance;
#[cfg(feature = "metrics")]
mod metrics;
mod reader;
mod recovery;
mod stats;
#[expect(clippy::module_inception, reason = "the layer and its central type share the field's word")]
mod store;
mod teller;
mod topics;
#[cfg(feature = "tracing")]
mod traces;

pub use backup::BackupBuilder;
pub use builder::StoreBuilder;
pub use hold::MaintenanceGuard;
pub use reader::StoreReader;
pub use stats::{GroupLag, GroupStats, MaintenanceFailure, ReaderStats, StoreStats};
pub use store::Store;
