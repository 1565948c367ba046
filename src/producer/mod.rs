//! Sending records: which partition, how far before the call returns, how much may wait in memory.

mod builder;
#[expect(clippy::module_inception, reason = "the layer and its central type share the field's word")]
mod producer;
mod sticky;
mod topic_producer;

pub use builder::ProducerBuilder;
pub use producer::Producer;
pub use topic_producer::TopicProducer;
