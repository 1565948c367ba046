//! The store: opens and closes everything, and runs maintenance.

mod builder;
mod caretaker;
mod failures;
mod life;
mod maintenance;
mod reader;
mod stats;
#[expect(clippy::module_inception, reason = "the layer and its central type share the field's word")]
mod store;

pub use builder::StoreBuilder;
pub use reader::StoreReader;
pub use stats::{GroupLag, GroupStats, MaintenanceFailure, ReaderStats, StoreStats};
pub use store::Store;
