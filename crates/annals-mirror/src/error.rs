//! What ends a mirror, or a session of it.

use annals::{Offset, TopicPartition};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// A result of the mirror.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a topic is no longer mirrored.
///
/// ```
/// use annals_mirror::Error;
/// fn advice(error: &Error) -> &'static str {
///     match error {
///         Error::Differences(_) => "make the topics alike",
///         Error::Fenced { .. } => "another mirror does it",
///         Error::Deleted { .. } => "keep records for longer, or skip what is gone",
///         _ => "see the message",
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A call to the cluster failed.
    #[error("{doing}: {source}")]
    Cluster {
        /// What was being done.
        doing: String,
        /// What the client says.
        source: KafkaError,
    },
    /// A call of the store failed.
    #[error(transparent)]
    Store(#[from] annals::Error),
    /// The topics on both sides do not match. Nothing was mirrored.
    #[error("the two sides do not fit, and nothing was mirrored:\n  {}", .0.join("\n  "))]
    Differences(Vec<String>),
    /// Another mirror of the topic has begun, or a transaction has exceeded its timeout.
    #[error(
        "another mirror of {topic} has begun, or this one was away for longer than a transaction may take: {source}"
    )]
    Fenced {
        /// The topic.
        topic: String,
        /// What the client says.
        source: KafkaError,
    },
    /// Records were deleted before they were mirrored.
    #[error(
        "{partition}: what is at offsets {position} to {start} was deleted before it was mirrored; `skip_deleted` goes on behind it"
    )]
    Deleted {
        /// The partition of the source.
        partition: TopicPartition,
        /// The mirror's position.
        position: Offset,
        /// The start of the source's partition.
        start: Offset,
    },
    /// What was mirrored before is not from this source.
    #[error("{partition}: the mirror stands at offset {position}, {reason}")]
    Diverged {
        /// The partition of the source.
        partition: TopicPartition,
        /// The mirror's position.
        position: Offset,
        /// What does not match.
        reason: String,
    },
    /// The source holds records of a transaction that has no end in the log yet, and that a power cut may take back; nobody has written the end
    /// within the patience.
    #[error(
        "{partition}: what is at offsets {position} to {end} is of a transaction whose end is not written; open the store to write once, by its program or with `annals retention`, and mirror again"
    )]
    Uncertain {
        /// The partition of the source.
        partition: TopicPartition,
        /// The mirror's position.
        position: Offset,
        /// The offset that it had to reach.
        end: Offset,
    },
    /// The process that had the store open has ended before it synced these records, so a power cut may still take them back; and nobody has the
    /// store open to sync them. What comes before them is mirrored.
    #[error(
        "{partition}: what is at offsets {position} to {end} is not mirrored: it is not synced, and no process has the store open that would; open the store to write once, by its program or with `annals retention`, and mirror again"
    )]
    NotSynced {
        /// The partition of the source.
        partition: TopicPartition,
        /// The mirror's position, which is where the synced records end.
        position: Offset,
        /// Where the records end.
        end: Offset,
    },
    /// The store's partition has records that its mirror has not brought. Mirrored into it, the cluster's would lie between others, or come twice.
    #[error(
        "{partition}: the store has records at offsets {offset} to {end} that this mirror has not brought from the cluster; only the mirror may write to such a topic: delete the topic in the store to mirror it from the start, or mirror into another store"
    )]
    Foreign {
        /// The partition of the store.
        partition: TopicPartition,
        /// The offset of the first such record.
        offset: Offset,
        /// Where the partition's records end.
        end: Offset,
    },
    /// A record cannot be carried over as it is.
    #[error("{partition}@{offset} cannot be mirrored: {reason}")]
    Refused {
        /// The partition of the source.
        partition: TopicPartition,
        /// The record's offset there.
        offset: Offset,
        /// The reason.
        reason: String,
    },
    /// A setting is missing or wrong.
    #[error("{0}")]
    Settings(String),
    /// Nothing took effect within the patience.
    #[error("gave up after {seconds} s without a step: {last}")]
    GaveUp {
        /// The patience.
        seconds: u64,
        /// What ended the last session.
        last: Box<Error>,
    },
}

impl Error {
    pub(crate) fn cluster(doing: impl Into<String>) -> impl FnOnce(KafkaError) -> Self {
        let doing = doing.into();
        move |source| Self::Cluster { doing, source }
    }

    /// Of a producer of that topic. `fatal` is what has ended the producer, if anything has: once it is fenced, its records come back as purged
    /// or with "fatal error", whatever call meets them.
    pub(crate) fn of_producer(
        topic: &str,
        doing: &str,
        fatal: Option<Code>,
    ) -> impl FnOnce(KafkaError) -> Self {
        move |source| {
            let is_fence = |code: &Code| FENCES.contains(code);
            if source.rdkafka_error_code().is_some_and(|code| is_fence(&code)) {
                return Self::Fenced { topic: topic.to_owned(), source };
            }
            if let Some(fence) = fatal.filter(is_fence) {
                return Self::Fenced {
                    topic: topic.to_owned(),
                    source: KafkaError::MessageProduction(fence),
                };
            }
            Self::Cluster { doing: format!("{topic}: {doing}"), source }
        }
    }

    /// Of a record that the store does not take.
    pub(crate) fn of_record(partition: TopicPartition, offset: Offset) -> impl FnOnce(annals::Error) -> Self {
        move |error| {
            let reason = match &error {
                annals::Error::RecordTooLarge { setting, .. } => {
                    format!(
                        "{error}: the cluster counts a batch as it is stored, the store one record as it is; a larger {setting} of the store's topic takes it in"
                    )
                }
                annals::Error::InvalidTimestamp { .. }
                | annals::Error::KeyRequired { .. }
                | annals::Error::InvalidArgument { .. } => error.to_string(),
                _ => return error.into(),
            };
            Self::Refused { partition, offset, reason }
        }
    }

    /// Returns whether a new session may get further.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Cluster { source, .. } => {
                source.rdkafka_error_code().is_none_or(|code| !LASTING.contains(&code))
            }
            Self::Store(error) => error.is_retriable(),
            _ => false,
        }
    }
}

/// Another producer has the transactional id by now, or the transaction has exceeded its timeout.
pub(crate) const FENCES: &[Code] = &[Code::Fenced, Code::ProducerFenced, Code::InvalidProducerEpoch];

/// What the next session would meet again.
const LASTING: &[Code] = &[
    Code::TopicAuthorizationFailed,
    Code::GroupAuthorizationFailed,
    Code::ClusterAuthorizationFailed,
    Code::TransactionalIdAuthorizationFailed,
    Code::SaslAuthenticationFailed,
    Code::MessageSizeTooLarge,
    Code::InvalidMessageSize,
    Code::InvalidRecord,
    Code::InvalidTimestamp,
    Code::InvalidTransactionTimeout,
    Code::UnsupportedVersion,
    Code::UnsupportedFeature,
    Code::NotImplemented,
    Code::InvalidArgument,
    Code::InvalidTopic,
    Code::InvalidConfig,
    Code::PolicyViolation,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_that_reaches_the_mirror_as_a_purged_record_is_a_fence() {
        for came in [Code::PurgeQueue, Code::Fatal] {
            let error =
                |fatal| Error::of_producer("orders", "sending", fatal)(KafkaError::MessageProduction(came));
            assert!(error(None).is_retriable());
            assert!(error(Some(Code::OutOfOrderSequenceNumber)).is_retriable());
            for fence in FENCES {
                assert!(matches!(error(Some(*fence)), Error::Fenced { .. }), "{fence}");
            }
        }
    }
}
