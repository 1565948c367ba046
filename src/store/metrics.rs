//! Figures for the recorder of the crate `metrics`.

use metrics::{Label, counter, gauge, histogram};

use crate::error::Result;
use crate::figures::{Counters, Latencies, Latency};
use crate::locks::Mutex;
use crate::log::PartitionStats;
use crate::store::stats::{GroupStats, StoreStats};
use crate::store::store::Store;
use crate::types::TopicPartition;

/// What was handed out of the histograms, which recorders can only add to.
pub(super) type Reported = Mutex<Latencies>;

impl Store {
    /// Hands all figures to the recorder that the program has installed for the crate [`metrics`](https://docs.rs/metrics). The names
    /// are in [docs/figures.md](https://docs.rs/crate/annals/latest/source/docs/figures.md), after OpenTelemetry's conventions for
    /// messaging. Needs the feature `metrics`.
    ///
    /// Call it as often as figures are wanted, and from one thread at a time: before each scrape, or every ten seconds. It takes as long as
    /// [`stats`](Self::stats), and hands out what is new of the latencies, class by class.
    ///
    /// # Errors
    /// As [`stats`](Self::stats).
    pub fn report_metrics(&self) -> Result<()> {
        let stats = self.stats()?;
        stats.topics.iter().flat_map(|topic| &topic.partitions).for_each(report_partition);
        stats.groups.iter().for_each(report_group);
        report_counters(&stats.counters);
        gauge!("annals.transactions.open", system()).set(as_float(stats.open_transactions.len() as u64));
        gauge!("annals.maintenance.failures", system())
            .set(as_float(stats.maintenance_failures.len() as u64));
        let mut reported = self.reported().lock();
        report_latencies(&stats, &reported);
        *reported = stats.latencies;
        Ok(())
    }
}

fn system() -> Vec<Label> {
    vec![Label::new("messaging.system", "annals")]
}

fn place(place: &TopicPartition) -> Vec<Label> {
    let mut labels = system();
    labels.push(Label::new("messaging.destination.name", place.topic().to_owned()));
    labels.push(Label::new("messaging.destination.partition.id", place.partition().to_string()));
    labels
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of more than 2^53 need not be exact")]
fn as_float(number: u64) -> f64 {
    number as f64
}

fn report_partition(stats: &PartitionStats) {
    let labels = place(&stats.topic_partition);
    counter!("messaging.client.sent.messages", labels.clone()).absolute(stats.appended_records);
    let offset = |offset: i64| as_float(offset.unsigned_abs());
    for (name, value) in [
        ("annals.partition.bytes", as_float(stats.bytes)),
        ("annals.partition.records", as_float(stats.records)),
        ("annals.partition.segments", as_float(stats.segments as u64)),
        ("annals.partition.start", offset(stats.start)),
        ("annals.partition.durable", offset(stats.durable)),
        ("annals.partition.end", offset(stats.end)),
    ] {
        gauge!(name, labels.clone()).set(value);
    }
}

fn report_group(stats: &GroupStats) {
    for lag in &stats.partitions {
        let mut labels = place(&lag.topic_partition);
        labels.push(Label::new("messaging.consumer.group.name", stats.group.clone()));
        gauge!("annals.group.lag", labels).set(as_float(lag.lag));
    }
}

fn report_counters(counters: &Counters) {
    for (name, value) in [
        ("annals.appended.records", counters.appended_records),
        ("annals.appended.bytes", counters.appended_bytes),
        ("annals.appended.batches", counters.appended_batches),
        ("annals.syncs", counters.syncs),
        ("annals.rolls", counters.rolls),
        ("annals.write.failures", counters.write_failures),
        ("annals.poisonings", counters.poisonings),
        ("annals.waits.for.room", counters.waits_for_room),
        ("annals.removed.segments", counters.removed_segments),
        ("annals.removed.records", counters.removed_records),
        ("annals.removed.bytes", counters.removed_bytes),
        ("annals.compactions", counters.compactions),
        ("annals.compacted.records", counters.compacted_records),
        ("annals.compacted.bytes", counters.compacted_bytes),
        ("annals.rebalances", counters.rebalances),
        ("annals.skipped.offsets", counters.skipped_offsets),
        ("annals.lost.events", counters.lost_events),
    ] {
        counter!(name, system()).absolute(value);
    }
}

fn report_latencies(stats: &StoreStats, reported: &Latencies) {
    let now = &stats.latencies;
    let operation = |name: &'static str| {
        let mut labels = system();
        labels.push(Label::new("messaging.operation.name", name));
        labels
    };
    let send = |durability: &'static str| {
        let mut labels = operation("send");
        labels.push(Label::new("annals.durability", durability));
        labels
    };
    const OPERATION: &str = "messaging.client.operation.duration";
    for (name, labels, now, before) in [
        (OPERATION, send("memory"), &now.append_memory, &reported.append_memory),
        (OPERATION, send("os"), &now.append_os, &reported.append_os),
        (OPERATION, send("disk"), &now.append_disk, &reported.append_disk),
        (OPERATION, operation("poll"), &now.poll, &reported.poll),
        ("annals.sync.duration", system(), &now.sync, &reported.sync),
        ("annals.write.duration", system(), &now.write, &reported.write),
        ("annals.compaction.duration", system(), &now.compaction, &reported.compaction),
        ("annals.room.duration", system(), &now.room, &reported.room),
    ] {
        report_latency(name, labels, now, before);
    }
}

/// What is new, class by class.
fn report_latency(name: &'static str, labels: Vec<Label>, now: &Latency, before: &Latency) {
    let handle = histogram!(name, labels);
    let known = |end| before.buckets().find(|(other, _)| *other == end).map_or(0, |(_, count)| count);
    for (end, count) in now.buckets() {
        let new = usize::try_from(count.saturating_sub(known(end))).unwrap_or(usize::MAX);
        if new > 0 {
            handle.record_many(end.as_secs_f64(), new);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
        SharedString, Unit, with_local_recorder,
    };

    use annals::{Durability, Record, Store, TopicConfig};

    /// What was handed in, by name and labels.
    #[derive(Default)]
    struct Notes(Arc<Mutex<BTreeMap<String, f64>>>);

    struct Note(Arc<Mutex<BTreeMap<String, f64>>>, String);

    impl Note {
        fn change(&self, change: impl FnOnce(f64) -> f64) {
            let mut all = self.0.lock().unwrap();
            let value = all.entry(self.1.clone()).or_default();
            *value = change(*value);
        }
    }

    impl CounterFn for Note {
        fn increment(&self, value: u64) {
            self.change(|before| before + super::as_float(value));
        }

        fn absolute(&self, value: u64) {
            self.change(|before| before.max(super::as_float(value)));
        }
    }

    impl GaugeFn for Note {
        fn increment(&self, value: f64) {
            self.change(|before| before + value);
        }

        fn decrement(&self, value: f64) {
            self.change(|before| before - value);
        }

        fn set(&self, value: f64) {
            self.change(|_| value);
        }
    }

    impl HistogramFn for Note {
        fn record(&self, _: f64) {
            self.change(|before| before + 1.0);
        }
    }

    impl Notes {
        fn note(&self, key: &Key) -> Arc<Note> {
            let labels: Vec<_> =
                key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            Arc::new(Note(Arc::clone(&self.0), format!("{}{{{}}}", key.name(), labels.join(","))))
        }
    }

    impl Recorder for Notes {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.note(key))
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.note(key))
        }

        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(self.note(key))
        }
    }

    /// However often they are handed out: a length is handed out once.
    #[test]
    fn every_figure_reaches_the_recorder_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.create_topic("orders", TopicConfig::new()).unwrap();
        let producer = store.producer_builder().durability(Durability::Disk).build().unwrap();
        let mut billing = store.consumer("billing").unwrap();
        billing.subscribe(["orders"]).unwrap();
        let notes = Notes::default();
        let all = Arc::clone(&notes.0);
        for round in 1..=3_u32 {
            producer.send(Record::to("orders").value("2 apples")).unwrap();
            assert_eq!(billing.poll(std::time::Duration::from_secs(5)).unwrap().len(), 1);
            with_local_recorder(&notes, || store.report_metrics().unwrap());
            let all = all.lock().unwrap();
            let round = f64::from(round);
            let system = "messaging.system=annals";
            let place =
                format!("{system},messaging.destination.name=orders,messaging.destination.partition.id=0");
            let operation = "messaging.client.operation.duration";
            for (key, expected) in [
                (format!("messaging.client.sent.messages{{{place}}}"), round),
                (format!("annals.partition.end{{{place}}}"), round),
                (format!("annals.group.lag{{{place},messaging.consumer.group.name=billing}}"), round),
                (
                    format!("{operation}{{{system},messaging.operation.name=send,annals.durability=disk}}"),
                    round,
                ),
                (format!("{operation}{{{system},messaging.operation.name=poll}}"), round),
                (format!("annals.appended.records{{{system}}}"), round),
            ] {
                assert_eq!(all.get(&key), Some(&expected), "{key} in {all:?}");
            }
            // In the background, too.
            let syncs = all.get(&format!("annals.sync.duration{{{system}}}")).unwrap();
            assert!(*syncs >= round && *syncs == *all.get(&format!("annals.syncs{{{system}}}")).unwrap());
        }
        store.close().unwrap();
    }

    #[test]
    fn of_appends_at_os_some_are_measured() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let partition = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
        for _ in 0..160 {
            partition.append(&[Record::new().value("x")], Durability::Os).unwrap();
        }
        let latencies = store.stats().unwrap().latencies;
        assert_eq!((latencies.append_os.count(), latencies.write.count()), (10, 10));
        assert!(latencies.append_os.sum() >= latencies.write.sum());
        store.close().unwrap();
    }
}
