//! What became of the records that were produced.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use annals::Offset;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext};

use crate::offset_map::Runs;

/// What the client has told of the records of a transaction.
#[derive(Default)]
pub(super) struct Deliveries {
    runs: Mutex<BTreeMap<u32, Runs>>,
    failure: Mutex<Option<Failure>>,
}

/// A record that did not arrive.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: KafkaError,
    pub(super) partition: i32,
    /// In the source.
    pub(super) offset: Offset,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    /// The offset in the source.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, source: usize) {
        let source = Offset::try_from(source).unwrap_or(Offset::MAX);
        match result {
            Ok(message) => self.note(message.partition(), source, Ok(message.offset())),
            Err((error, message)) => self.note(message.partition(), source, Err(error.clone())),
        }
    }
}

impl Deliveries {
    fn note(&self, partition: i32, source: Offset, outcome: Result<Offset, KafkaError>) {
        // A record that is in the cluster at an offset that the client does not know: the way of it could not be kept.
        let unknown = KafkaError::MessageProduction(RDKafkaErrorCode::NoOffset);
        let outcome = outcome.and_then(|target| if target < 0 { Err(unknown) } else { Ok(target) });
        match (outcome, u32::try_from(partition)) {
            (Ok(target), Ok(partition)) => {
                let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
                runs.entry(partition).or_default().push(source, target);
            }
            (Ok(_), Err(_)) => {}
            (Err(error), _) => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert(Failure { error, partition, offset: source });
            }
        }
    }

    /// Where the records went since the last call, by partition.
    pub(super) fn take_runs(&self) -> BTreeMap<u32, Runs> {
        std::mem::take(&mut *self.runs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The first that has failed since the last call.
    pub(super) fn take_failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What has ended the producer for good, if anything has.
pub(super) fn fatal(producer: &BaseProducer<Deliveries>) -> Option<RDKafkaErrorCode> {
    producer.client().fatal_error().map(|(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_at_an_unknown_offset_is_a_failure_and_gets_no_run() {
        let deliveries = Deliveries::default();
        deliveries.note(0, 5, Ok(7));
        assert!(deliveries.take_failure().is_none());
        // As the client reports a sequence number that the broker has seen before.
        deliveries.note(0, 6, Ok(-1001));
        let failure = deliveries.take_failure().unwrap();
        assert_eq!((failure.partition, failure.offset), (0, 6));
        let error = crate::Error::of_producer("orders", "sending", None)(failure.error);
        assert!(error.is_retriable(), "the next session sends it again");
        let runs = deliveries.take_runs();
        let map = crate::OffsetMap::default();
        assert_eq!(map.with(&runs[&0]).set.values().map(|run| run.source_next).collect::<Vec<_>>(), [6]);
    }
}
