//! The store: opens and closes everything, and runs maintenance.

mod builder;
mod caretaker;
mod maintenance;
#[expect(clippy::module_inception, reason = "the layer and its central type share the field's word")]
mod store;

pub use builder::StoreBuilder;
pub use store::Store;
