//! Figures for the recorder of the crate `metrics`.

use std::collections::{BTreeMap, BTreeSet};

use metrics::{Label, counter, gauge, histogram};

use crate::error::Result;
use crate::figures::{Counters, Latencies, Latency};
use crate::locks::Mutex;
use crate::log::PartitionStats;
use crate::store::stats::StoreStats;
use crate::store::store::Store;
use crate::types::TopicPartition;

/// What was handed out.
pub(super) type Reported = Mutex<HandedOut>;

/// Recorders can only add to histograms, take no lesser number of a counter, and forget nothing.
#[derive(Debug, Default)]
pub(super) struct HandedOut {
    latencies: Latencies,
    /// Of each partition that there was since the store was opened.
    partitions: BTreeMap<TopicPartition, Sent>,
    /// Of which groups and partitions a lag was told last.
    lags: BTreeSet<(String, TopicPartition)>,
}

/// What a partition has appended.
#[derive(Debug, Default)]
struct Sent {
    /// Those that had the name before it.
    others: u64,
    own: u64,
    is_there: bool,
}

impl Store {
    /// Reports all figures to the recorder that the program has installed for the crate [`metrics`](https://docs.rs/metrics). Their names
    /// are in [docs/figures.md](https://docs.rs/crate/annals/latest/source/docs/figures.md) and follow OpenTelemetry's conventions for
    /// messaging. Needs the feature `metrics`.
    ///
    /// Call it as often as figures are wanted, and from one thread at a time: before each scrape, or every ten seconds. It takes as long as
    /// [`stats`](Self::stats), and reports the new latencies class by class.
    ///
    /// # Errors
    /// As for [`stats`](Self::stats).
    pub fn report_metrics(&self) -> Result<()> {
        let mut reported = self.reported().lock();
        let stats = self.stats()?;
        reported.report_partitions(&stats);
        reported.report_groups(&stats);
        report_counters(&stats.counters);
        gauge!("annals.transactions.open", system()).set(as_float(stats.open_transactions.len() as u64));
        gauge!("annals.maintenance.failures", system())
            .set(as_float(stats.maintenance_failures.len() as u64));
        report_latencies(&stats, &reported.latencies);
        reported.latencies = stats.latencies;
        Ok(())
    }
}

impl HandedOut {
    fn report_partitions(&mut self, stats: &StoreStats) {
        let were_there = self.partitions.iter().filter(|(_, sent)| sent.is_there);
        let mut gone: BTreeSet<_> = were_there.map(|(place, _)| place.clone()).collect();
        for one in stats.topics.iter().flat_map(|topic| &topic.partitions) {
            gone.remove(&one.topic_partition);
            let sent = self.partitions.entry(one.topic_partition.clone()).or_default();
            if one.appended_records < sent.own {
                // A topic that was made anew under the name counts from 0 on.
                sent.others += sent.own;
            }
            (sent.own, sent.is_there) = (one.appended_records, true);
            report_partition(one, sent.others + sent.own);
        }
        for place in gone {
            report_sizes(&place, [0.0; 6]);
            if let Some(sent) = self.partitions.get_mut(&place) {
                sent.is_there = false;
            }
        }
    }

    /// Whoever has forgotten a group, or a topic, has no lag there.
    fn report_groups(&mut self, stats: &StoreStats) {
        let mut lags = BTreeSet::new();
        for group in &stats.groups {
            for lag in &group.partitions {
                report_lag(&group.group, &lag.topic_partition, lag.lag);
                lags.insert((group.group.clone(), lag.topic_partition.clone()));
            }
        }
        self.lags.difference(&lags).for_each(|(group, place)| report_lag(group, place, 0));
        self.lags = lags;
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

fn report_partition(stats: &PartitionStats, sent: u64) {
    counter!("messaging.client.sent.messages", place(&stats.topic_partition)).absolute(sent);
    let offset = |offset: i64| as_float(offset.unsigned_abs());
    let sizes = [as_float(stats.bytes), as_float(stats.records), as_float(stats.segments as u64)];
    let [bytes, records, segments] = sizes;
    let [start, durable, end] = [stats.start, stats.durable, stats.end].map(offset);
    report_sizes(&stats.topic_partition, [bytes, records, segments, start, durable, end]);
}

fn report_sizes(partition: &TopicPartition, values: [f64; 6]) {
    let labels = place(partition);
    let names = [
        "annals.partition.bytes",
        "annals.partition.records",
        "annals.partition.segments",
        "annals.partition.start",
        "annals.partition.durable",
        "annals.partition.end",
    ];
    for (name, value) in names.into_iter().zip(values) {
        gauge!(name, labels.clone()).set(value);
    }
}

fn report_lag(group: &str, partition: &TopicPartition, lag: u64) {
    let mut labels = place(partition);
    labels.push(Label::new("messaging.consumer.group.name", group.to_owned()));
    gauge!("annals.group.lag", labels).set(as_float(lag));
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
    fn what_is_deleted_has_no_sizes_and_no_lag_and_what_was_sent_there_stays_sent() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let notes = Notes::default();
        let send = |count: usize| {
            for _ in 0..count {
                store.producer().send(Record::to("orders").value("x")).unwrap();
            }
            with_local_recorder(&notes, || store.report_metrics().unwrap());
        };
        let place =
            "messaging.system=annals,messaging.destination.name=orders,messaging.destination.partition.id=0";
        let value = |key: &str| *notes.0.lock().unwrap().get(key).unwrap();
        let sent = format!("messaging.client.sent.messages{{{place}}}");
        let end = format!("annals.partition.end{{{place}}}");
        let lag = format!("annals.group.lag{{{place},messaging.consumer.group.name=billing}}");
        store.create_topic("orders", TopicConfig::new()).unwrap();
        let mut billing = store.consumer("billing").unwrap();
        billing.assign([("orders", 0)]).unwrap();
        billing.commit_offsets([(("orders", 0).into(), 0)]).unwrap();
        billing.close().unwrap();
        send(5);
        assert_eq!([value(&sent), value(&end), value(&lag)], [5.0, 5.0, 5.0]);
        store.delete_group("billing").unwrap();
        send(0);
        assert_eq!([value(&end), value(&lag)], [5.0, 0.0]);
        store.delete_topic("orders").unwrap();
        with_local_recorder(&notes, || store.report_metrics().unwrap());
        assert_eq!([value(&sent), value(&end)], [5.0, 0.0]);
        store.create_topic("orders", TopicConfig::new()).unwrap();
        send(2);
        assert_eq!([value(&sent), value(&end)], [7.0, 2.0]);
        send(1);
        assert_eq!([value(&sent), value(&end)], [8.0, 3.0]);
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
