//! The store: opens and closes everything, and runs maintenance.

mod builder;
mod caretaker;
mod life;
mod maintenance;
mod stats;
#[expect(clippy::module_inception, reason = "the layer and its central type share the field's word")]
mod store;
mod troubles;

pub use builder::StoreBuilder;
pub use stats::{GroupLag, GroupStats, StoreStats, Trouble};
pub use store::Store;
