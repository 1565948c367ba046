//! What an event store asks for: the events of one key, those that match a query, and appends that depend on them.

mod backwards;
mod reader;
mod select;
#[expect(clippy::module_inception, reason = "the layer and its central type share the field's word")]
mod stream;
mod transaction;

pub use backwards::EventsBackwards;
pub use reader::{EventReader, OwnedEvents};
pub use stream::Stream;
