//! Queues: records of a topic that workers of a group take, answer one by one, and see again until they are done. What is under
//! way is kept in `__share_group_state`, as Kafka's share groups keep it.

mod answers;
mod arrivals;
mod backlog;
mod builder;
mod burial;
mod dead_letters;
mod done;
mod enqueuer;
mod erasure;
mod held;
mod holds;
mod id_found;
mod id_log;
mod id_ring;
mod ids;
mod lanes;
mod letter;
mod letter_count;
mod look;
mod message;
mod once_later;
mod pace;
mod participant;
mod put_back;
mod queue;
mod queues;
mod retry;
mod runs;
mod schedule;
mod seen_queues;
mod selection;
mod settings;
mod share_partition;
mod slot;
mod state_log;
mod stats;
mod take;
#[cfg(test)]
mod tests;
mod tidy;
mod wakes;
mod worker;

pub use builder::QueueBuilder;
pub use dead_letters::{DeadLetter, DeadLetters};
pub use enqueuer::{Enqueuer, EnqueuerBuilder};
pub(crate) use holds::Holds;
pub use message::{Message, Messages, MessagesIter};
pub(crate) use queues::Queues;
pub use retry::RetryPolicy;
pub use schedule::Schedule;
pub use seen_queues::ReaderQueueStats;
pub(crate) use seen_queues::SeenQueues;
pub use stats::QueueStats;
pub use take::NextMessages;
pub use worker::{Worker, WorkerWaker};
