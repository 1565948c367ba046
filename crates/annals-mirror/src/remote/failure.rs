//! What the client says, as `annals-port` sorts it.

use annals_port::{Error, ErrorKind};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

fn kind(code: Option<Code>) -> ErrorKind {
    match code {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
            ErrorKind::UnknownTopic
        }
        Some(Code::TopicAlreadyExists) => ErrorKind::TopicExists,
        Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => ErrorKind::Fenced,
        Some(
            Code::UnknownMemberId
            | Code::IllegalGeneration
            | Code::RebalanceInProgress
            | Code::FencedInstanceId,
        ) => ErrorKind::NotAssigned,
        Some(Code::MessageSizeTooLarge | Code::InvalidRecord | Code::InvalidTimestamp) => ErrorKind::Refused,
        Some(
            Code::State
            | Code::NotConfigured
            | Code::InvalidArgument
            | Code::InvalidTopic
            | Code::InvalidConfig
            | Code::InvalidPartitions
            | Code::InvalidTransactionalState,
        ) => ErrorKind::Invalid,
        Some(
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::QueueFull
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotCoordinator
            | Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::MessageTimedOut,
        ) => ErrorKind::Retriable,
        _ => ErrorKind::Other,
    }
}

/// What a call was answered with.
pub(super) fn failed(doing: &str) -> impl FnOnce(KafkaError) -> Error {
    let doing = doing.to_owned();
    move |error| {
        let kind = match (kind(error.rdkafka_error_code()), &error) {
            // The same call would be answered with the same.
            (ErrorKind::Retriable, KafkaError::Transaction(of)) if of.txn_requires_abort() => {
                ErrorKind::Other
            }
            (ErrorKind::Other, error) if goes_on(error) => ErrorKind::Retriable,
            (kind, _) => kind,
        };
        Error::new(kind, format!("{doing}: {error}")).with_source(error)
    }
}

/// Whether the call is still under way, and the same call goes on with it.
pub(super) fn goes_on(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(of) if of.is_retriable() && !of.txn_requires_abort())
}

/// The same where there is no more than a code.
pub(super) fn refused(doing: &str, code: Code) -> Error {
    Error::new(kind(Some(code)), format!("{doing}: {code}"))
}
