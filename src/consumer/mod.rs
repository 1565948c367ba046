//! Reading as a member of a group, or on one's own.

mod assigned;
mod auto_commit;
mod builder;
mod commit;
#[expect(clippy::module_inception, reason = "the layer and its central type share the field's word")]
mod consumer;
mod next;
mod owed;
mod poll;
mod positions;
mod rebalance;
#[cfg(feature = "async")]
mod stream;
mod waker;

pub use builder::{ConsumerBuilder, OnDeleted, StartFrom};
pub use consumer::Consumer;
pub use next::Next;
pub(crate) use positions::Polled;
pub use rebalance::Rebalance;
#[cfg(feature = "async")]
pub use stream::ConsumerStream;
pub use waker::ConsumerWaker;
