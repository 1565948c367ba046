//! Brokers of Apache Kafka on this machine, for whoever tests against one: where Java and Maven are.

pub mod cluster;
pub mod java;

/// What a step answers; nothing here tells one failure from another.
pub type Answer<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
