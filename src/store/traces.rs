//! Events for the subscribers of the crate `tracing`.

use tracing::{Level, event};

use crate::figures::Event;

/// Names are those of OpenTelemetry's conventions where they have any.
pub(super) fn trace(event: &Event) {
    let name = event.name();
    match event {
        Event::Poisoned { partition, error } => event!(
            target: "annals", Level::ERROR, { messaging.destination.name = partition.topic(),
            messaging.destination.partition.id = partition.partition(), error.message = %error }, "{name}"
        ),
        Event::Recovered { partition, end, scanned_bytes, torn_bytes } => event!(
            target: "annals", Level::WARN, { messaging.destination.name = partition.topic(),
            messaging.destination.partition.id = partition.partition(), end, scanned_bytes, torn_bytes }, "{name}"
        ),
        Event::Skipped { partition, from, to } => event!(
            target: "annals", Level::WARN, { messaging.destination.name = partition.topic(),
            messaging.destination.partition.id = partition.partition(), from, to }, "{name}"
        ),
        Event::Rolled { partition, base_offset } => event!(
            target: "annals", Level::DEBUG, { messaging.destination.name = partition.topic(),
            messaging.destination.partition.id = partition.partition(), base_offset }, "{name}"
        ),
        Event::Synced { partition, durable, took } => event!(
            target: "annals", Level::TRACE, { messaging.destination.name = partition.topic(),
            messaging.destination.partition.id = partition.partition(), durable, seconds = took.as_secs_f64() }, "{name}"
        ),
        Event::WaitedForRoom { partition, took } => event!(
            target: "annals", Level::WARN, { messaging.destination.name = partition.topic(),
            messaging.destination.partition.id = partition.partition(), seconds = took.as_secs_f64() }, "{name}"
        ),
        Event::Removed { partition, start, segments, records, bytes } => event!(
            target: "annals", Level::INFO, { messaging.destination.name = partition.topic(),
            messaging.destination.partition.id = partition.partition(), start, segments, records, bytes }, "{name}"
        ),
        Event::Compacted { partition, removed_records, bytes_before, bytes_after, took } => event!(
            target: "annals", Level::INFO, { messaging.destination.name = partition.topic(),
            messaging.destination.partition.id = partition.partition(), removed_records, bytes_before, bytes_after,
            seconds = took.as_secs_f64() }, "{name}"
        ),
        Event::GivenUp { partition, group, first, last, deliveries, reason } => event!(
            target: "annals", Level::WARN, { messaging.destination.name = partition.topic(),
            messaging.destination.partition.id = partition.partition(), messaging.consumer.group.name = group.as_str(),
            first, last, deliveries, reason = reason.as_str() }, "{name}"
        ),
        Event::LocksExpired { partition, group, messages } => event!(
            target: "annals", Level::WARN, { messaging.destination.name = partition.topic(),
            messaging.destination.partition.id = partition.partition(), messaging.consumer.group.name = group.as_str(),
            messages }, "{name}"
        ),
        Event::Rebalanced { group, members } => event!(
            target: "annals", Level::INFO, { messaging.consumer.group.name = group.as_str(), members }, "{name}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record as Values};
    use tracing::subscriber::with_default;
    use tracing::{Metadata, Subscriber};

    use annals::{Durability, Record, Store, TopicConfig};

    /// Everything as a line.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>, Arc<AtomicU64>);

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0 += &format!(" {}={value:?}", field.name());
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "annals"
        }

        fn new_span(&self, span: &Attributes<'_>) -> Id {
            let mut line = Line(format!("span {}", span.metadata().name()));
            span.record(&mut line);
            self.0.lock().unwrap().push(line.0);
            Id::from_u64(self.1.fetch_add(1, Ordering::SeqCst) + 1)
        }

        fn record(&self, _: &Id, values: &Values<'_>) {
            let mut line = Line("values".to_owned());
            values.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            let mut line = Line(format!("{}", event.metadata().level()));
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }

        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn spans_and_events_have_the_names_of_opentelemetry() {
        let lines = Lines::default();
        with_default(lines.clone(), || {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
            store.create_topic("orders", TopicConfig::new()).unwrap();
            let producer = store.producer_builder().durability(Durability::Disk).build().unwrap();
            producer.send(Record::to("orders").value("2 apples")).unwrap();
            let mut billing = store.consumer("billing").unwrap();
            billing.subscribe(["orders"]).unwrap();
            billing.poll(std::time::Duration::ZERO).unwrap();
            store.maintain().unwrap();
        });
        let lines = lines.0.lock().unwrap();
        let has = |parts: &[&str]| lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
        let send = ["span send", "messaging.system=\"annals\"", "messaging.operation.type=\"send\""];
        assert!(has(&[
            &send[..],
            &["messaging.destination.name=\"orders\"", "messaging.batch.message_count=1"]
        ]
        .concat()));
        assert!(
            has(&["span poll", "messaging.operation.type=\"receive\"", "group.name=\"billing\""]),
            "{lines:?}"
        );
        assert!(
            has(&["TRACE", "synced", "messaging.destination.name=\"orders\"", "durable=1", "seconds="]),
            "{lines:?}"
        );
        assert!(
            has(&["INFO", "rebalanced", "messaging.consumer.group.name=\"billing\"", "members=1"]),
            "{lines:?}"
        );
    }
}
