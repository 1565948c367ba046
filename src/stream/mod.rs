//! What an event store asks for: the events of one key, those that match a query, and appends that depend on them.

mod backwards;
mod merged;
mod next;
mod projection;
mod reader;
mod select;
mod snapshots;
#[expect(clippy::module_inception, reason = "the layer and its central type share the field's word")]
mod stream;
mod transaction;
#[cfg(feature = "serde")]
pub(crate) mod typed;
mod view;

pub use backwards::EventsBackwards;
pub use merged::MergedEvents;
pub use next::NextEvents;
pub use projection::{Progress, Projection};
pub use reader::{EventReader, OwnedEvents};
pub use snapshots::{Snapshot, Snapshots};
pub use stream::Stream;
pub use view::StreamView;
