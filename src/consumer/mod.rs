//! Reading as a member of a group, or on one's own.

mod assigned;
mod builder;
#[expect(clippy::module_inception, reason = "the layer and its central type share the field's word")]
mod consumer;
mod positions;

pub use builder::{ConsumerBuilder, StartFrom};
pub use consumer::Consumer;
