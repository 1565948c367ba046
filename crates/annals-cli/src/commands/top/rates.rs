//! Two looks at a store, and what happened between them.

use std::collections::BTreeMap;
use std::time::Instant;

use annals::stats::{GroupLag, PartitionStats};
use annals::{Offset, StoreReader, TopicPartition};

use crate::commands::figures::is_internal;
use crate::commands::top::Options;
use crate::failure::Outcome;
use crate::show::{Object, Table};

/// A look.
#[derive(Debug)]
pub(super) struct Sample {
    at: Instant,
    by_partition: bool,
    partitions: Vec<PartitionStats>,
    groups: Vec<(String, GroupLag)>,
}

impl Sample {
    pub(super) fn take(options: &Options, store: &StoreReader) -> Outcome<Self> {
        let stats = store.stats()?;
        let at = Instant::now();
        let topics = stats.topics.into_iter();
        let topics = topics.filter(|topic| !(options.exclude_internal && is_internal(&topic.topic)));
        let partitions = topics.flat_map(|topic| topic.partitions).collect();
        let groups = stats.groups.into_iter();
        let groups =
            groups.flat_map(|group| group.partitions.into_iter().map(move |lag| (group.group.clone(), lag)));
        Ok(Self { at, by_partition: options.partitions, partitions, groups: groups.collect() })
    }

    pub(super) fn is_by_partition(&self) -> bool {
        self.by_partition
    }

    pub(super) fn by_partition(&mut self, by_partition: bool) {
        self.by_partition = by_partition;
    }
}

/// A topic, or one partition of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) partitions: u64,
    pub(super) records_per_second: f64,
    pub(super) bytes_per_second: f64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) segments: u64,
}

/// A group in a topic.
#[derive(Debug, Clone, Default)]
pub(super) struct GroupRow {
    pub(super) group: String,
    pub(super) topic: String,
    pub(super) members: u64,
    pub(super) lag: u64,
    pub(super) records_per_second: f64,
}

/// What happened between two looks.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// The busiest first.
    pub(super) rows: Vec<Row>,
    /// The farthest behind first.
    pub(super) groups: Vec<GroupRow>,
}

impl Rates {
    pub(super) fn between(before: &Sample, now: &Sample) -> Self {
        let seconds = now.at.duration_since(before.at).as_secs_f64().max(1e-9);
        let ends: BTreeMap<&TopicPartition, (Offset, u64)> = before
            .partitions
            .iter()
            .map(|one| (&one.topic_partition, (one.end, one.appended_bytes)))
            .collect();
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        for one in &now.partitions {
            let place = &one.topic_partition;
            let name = if now.by_partition { place.to_string() } else { place.topic().to_owned() };
            let row = rows.entry(name.clone()).or_insert_with(|| Row { name, ..Row::default() });
            let (end, appended) = ends.get(place).copied().unwrap_or((one.end, one.appended_bytes));
            row.partitions += 1;
            // Less than before: another topic of the name, or another process that writes, which counts from 0 on.
            let records = if one.end < end { one.end } else { one.end - end };
            let bytes = one.appended_bytes.checked_sub(appended).unwrap_or(one.appended_bytes);
            row.records_per_second += float(records.unsigned_abs()) / seconds;
            row.bytes_per_second += float(bytes) / seconds;
            row.records += one.records;
            row.bytes += one.bytes;
            row.segments += one.segments as u64;
        }
        let committed: BTreeMap<(&str, &TopicPartition), Offset> = before
            .groups
            .iter()
            .filter_map(|(group, lag)| Some(((group.as_str(), &lag.topic_partition), lag.committed?)))
            .collect();
        let mut groups: BTreeMap<(String, String), GroupRow> = BTreeMap::new();
        for (group, lag) in &now.groups {
            let topic = lag.topic_partition.topic().to_owned();
            let row = groups.entry((group.clone(), topic.clone())).or_insert_with(|| GroupRow {
                group: group.clone(),
                topic,
                ..GroupRow::default()
            });
            let then = committed.get(&(group.as_str(), &lag.topic_partition)).copied();
            let moved = lag.committed.zip(then).map_or(0, |(now, then)| now.saturating_sub(then).max(0));
            row.lag += lag.lag;
            row.members += u64::from(lag.member.is_some());
            row.records_per_second += float(moved.unsigned_abs()) / seconds;
        }
        let mut rows: Vec<_> = rows.into_values().collect();
        rows.sort_by(|one, other| other.bytes_per_second.total_cmp(&one.bytes_per_second));
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.lag));
        Self { rows, groups }
    }

    pub(super) fn summary(&self) -> String {
        let sum = |of: fn(&Row) -> f64| self.rows.iter().map(of).sum::<f64>();
        format!(
            "{} partitions, {} records, {}; {}/s, {} records/s",
            self.rows.iter().map(|row| row.partitions).sum::<u64>(),
            self.rows.iter().map(|row| row.records).sum::<u64>(),
            size(float(self.rows.iter().map(|row| row.bytes).sum())),
            size(sum(|row| row.bytes_per_second)),
            whole(sum(|row| row.records_per_second)),
        )
    }

    pub(super) fn topics(&self) -> Table {
        let mut table = Table::new(&TOPICS);
        self.rows.iter().for_each(|row| table.row(row.cells()));
        table
    }

    pub(super) fn group_table(&self) -> Table {
        let mut table = Table::new(&GROUPS);
        self.groups.iter().for_each(|row| table.row(row.cells()));
        table
    }

    pub(super) fn objects(&self) -> Vec<Object> {
        let rows = self.rows.iter().map(|row| {
            Object::new("rate")
                .text("name", &row.name)
                .number("partitions", row.partitions)
                .number("records_per_second", whole(row.records_per_second))
                .number("bytes_per_second", whole(row.bytes_per_second))
                .number("records", row.records)
                .number("bytes", row.bytes)
                .number("segments", row.segments)
        });
        let groups = self.groups.iter().map(|row| {
            Object::new("group_rate")
                .text("group", &row.group)
                .text("topic", &row.topic)
                .number("lag", row.lag)
                .number("records_per_second", whole(row.records_per_second))
        });
        rows.chain(groups).collect()
    }
}

pub(super) const TOPICS: [&str; 7] =
    ["TOPIC", ">PARTITIONS", ">RECORDS/S", ">BYTES/S", ">RECORDS", ">BYTES", ">SEGMENTS"];
/// Those that go first where there is no room for all: how many there are changes less than how fast they come.
pub(super) const TOPICS_DROPPED: [usize; 5] = [6, 1, 4, 5, 3];
pub(super) const GROUPS_DROPPED: [usize; 1] = [3];
pub(super) const GROUPS: [&str; 4] = ["GROUP", "TOPIC", ">LAG", ">RECORDS/S"];

impl Row {
    pub(super) fn cells(&self) -> [String; 7] {
        [
            self.name.clone(),
            self.partitions.to_string(),
            whole(self.records_per_second),
            size(self.bytes_per_second),
            self.records.to_string(),
            size(float(self.bytes)),
            self.segments.to_string(),
        ]
    }
}

impl GroupRow {
    pub(super) fn cells(&self) -> [String; 4] {
        [self.group.clone(), self.topic.clone(), self.lag.to_string(), whole(self.records_per_second)]
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn float(number: u64) -> f64 {
    number as f64
}

fn whole(number: f64) -> String {
    format!("{number:.0}")
}

/// `1.5 MiB`.
fn size(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut bytes, mut unit) = (bytes, 0);
    while bytes >= 1024.0 && unit + 1 < units.len() {
        bytes /= 1024.0;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{bytes:.0} {name}") } else { format!("{bytes:.1} {name}") }
}

#[cfg(test)]
mod tests {
    use annals::{Record, Store, TopicConfig};

    use super::*;

    fn look(store: &StoreReader) -> Sample {
        let interval = std::time::Duration::ZERO;
        let options = Options { interval, iterations: None, partitions: false, exclude_internal: true };
        Sample::take(&options, store).unwrap()
    }

    /// What came is told by what was appended: sizes stay as they are in a topic that is full, and fall.
    #[test]
    fn what_comes_is_seen_where_as_much_goes() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let store = Store::open(dir.path()).unwrap();
        let full = TopicConfig::new().set("segment.bytes", "4096").set("annals.size.limit.bytes", "16384");
        let full = full.set("annals.size.limit.action", "drop-oldest");
        store.create_topic("full", full).unwrap();
        let send = |count: usize| {
            let value = "x".repeat(500);
            for _ in 0..count {
                store.producer().send(Record::to("full").value(&value)).unwrap();
            }
        };
        send(100);
        let reader = StoreReader::attach(dir.path()).unwrap();
        let before = look(&reader);
        send(100);
        let now = look(&reader);
        let seconds = now.at.duration_since(before.at).as_secs_f64();
        let rates = Rates::between(&before, &now);
        let row = &rates.rows[0];
        let came = (row.records_per_second * seconds, row.bytes_per_second * seconds);
        assert!((came.0 - 100.0).abs() < 0.1 && came.1 > 50_000.0 && came.1 < 100_000.0, "{came:?}");
        assert!(row.bytes <= 16_384);
        // Another topic of that name has fewer records than the one before had.
        store.delete_topic("full").unwrap();
        store.create_topic("full", TopicConfig::new()).unwrap();
        send(3);
        let after = look(&reader);
        let rates = Rates::between(&now, &after);
        let seconds = after.at.duration_since(now.at).as_secs_f64();
        assert!((rates.rows[0].records_per_second * seconds - 3.0).abs() < 0.1, "{rates:?}");
        store.close().unwrap();
        assert_eq!(Rates::between(&after, &look(&reader)).rows[0].bytes_per_second, 0.0);
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(
            [size(0.0), size(1023.0), size(1536.0), size(5e9)],
            ["0 B", "1023 B", "1.5 KiB", "4.7 GiB"]
        );
    }
}
