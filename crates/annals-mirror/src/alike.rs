//! Whether two topics fit each other, and how the one that is missing is made.

use std::collections::BTreeMap;

use annals::TopicConfig;

/// What is compared, by Kafka's keys.
pub(crate) const COMPARED: &[&str] = &[
    "cleanup.policy",
    "message.timestamp.type",
    "message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms",
    "max.message.bytes",
];
/// What decides which records stay. A cluster has defaults of its own for it, so a topic that is made there gets what holds here.
pub(crate) const KEPT: &[&str] = &[
    "retention.ms",
    "retention.bytes",
    "delete.retention.ms",
    "min.compaction.lag.ms",
    "max.compaction.lag.ms",
];
const NO_LIMIT: &str = "9223372036854775807";
/// Kafka's least.
const SEGMENT_LEAST_BYTES: u64 = 1 << 20;

/// A topic on one side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Description {
    pub(crate) partitions: u32,
    /// What holds of [`COMPARED`] and [`KEPT`].
    pub(crate) values: BTreeMap<String, String>,
    /// What was set for this topic.
    pub(crate) given: BTreeMap<String, String>,
}

impl Description {
    pub(crate) fn of_ours(partitions: u32, config: &TopicConfig) -> Self {
        let value = |key: &&str| ((*key).to_owned(), config.get(key).to_owned());
        Self {
            partitions,
            values: COMPARED.iter().chain(KEPT).map(value).collect(),
            given: config.values().clone(),
        }
    }

    fn value(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }

    fn number(&self, key: &str) -> i128 {
        self.value(key).parse().unwrap_or(0)
    }

    /// A setting that may be -1, which is no limit.
    fn limit(&self, key: &str) -> i128 {
        self.value(key).parse().ok().filter(|limit| *limit >= 0).unwrap_or(i128::MAX)
    }

    /// The settings of a topic in the cluster that is to take the records of this one.
    pub(crate) fn for_cluster(&self) -> BTreeMap<String, String> {
        let mut settings = self.given.clone();
        settings.retain(|key, _| !key.starts_with("annals."));
        if let Some(bytes) = settings.get_mut("segment.bytes")
            && bytes.parse::<u64>().is_ok_and(|bytes| bytes < SEGMENT_LEAST_BYTES)
        {
            *bytes = SEGMENT_LEAST_BYTES.to_string();
        }
        settings.extend(KEPT.iter().map(|key| ((*key).to_owned(), self.value(key).to_owned())));
        self.for_target(settings)
    }

    /// The same for one in the store. What annals has no setting for stays in the cluster.
    pub(crate) fn for_store(&self) -> TopicConfig {
        let known = TopicConfig::new();
        let mut settings = self.given.clone();
        settings.retain(|key, _| !known.get(key).is_empty());
        let config = TopicConfig::new().partitions(self.partitions);
        self.for_target(settings).into_iter().fold(config, |config, (key, value)| config.set(key, value))
    }

    fn for_target(&self, mut settings: BTreeMap<String, String>) -> BTreeMap<String, String> {
        // What holds here though nobody set it may be another default there.
        for key in ["cleanup.policy", "message.timestamp.after.max.ms", "max.message.bytes"] {
            settings.insert(key.to_owned(), self.value(key).to_owned());
        }
        settings.insert("message.timestamp.type".to_owned(), "CreateTime".to_owned());
        settings.insert("message.timestamp.before.max.ms".to_owned(), NO_LIMIT.to_owned());
        settings
    }
}

fn policies(text: &str) -> Vec<&str> {
    let mut policies: Vec<_> = text.split(',').map(str::trim).collect();
    policies.sort_unstable();
    policies
}

/// In what the target does not fit the source, one sentence each.
pub(crate) fn differences(topic: &str, source: &Description, target: &Description) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, is: &str, must: String| {
        found.push(format!("{topic}: {what} is {is} on the target and must be {must}"));
    };
    if source.partitions != target.partitions {
        differ("the number of partitions", &target.partitions.to_string(), source.partitions.to_string());
    }
    let key = "cleanup.policy";
    if policies(source.value(key)) != policies(target.value(key)) {
        differ(key, target.value(key), format!("{}, as on the source", source.value(key)));
    }
    let key = "message.timestamp.type";
    if target.value(key) != "CreateTime" {
        differ(key, target.value(key), "CreateTime: a mirrored record keeps its time".to_owned());
    }
    let key = "message.timestamp.before.max.ms";
    if target.value(key) != NO_LIMIT {
        differ(key, target.value(key), format!("{NO_LIMIT}: old records are to be taken"));
    }
    for key in ["message.timestamp.after.max.ms", "max.message.bytes"] {
        if target.number(key) < source.number(key) {
            differ(key, target.value(key), format!("at least {}, as on the source", source.value(key)));
        }
    }
    found
}

/// What the target deletes although the source still has it, one sentence each.
pub(crate) fn shorter(topic: &str, source: &Description, target: &Description) -> Vec<String> {
    if !policies(target.value("cleanup.policy")).contains(&"delete") {
        return Vec::new();
    }
    let is_shorter = |key: &&&str| target.limit(key) < source.limit(key);
    let tell = |key: &&str| {
        let (is, must) = (target.value(key), source.value(key));
        format!(
            "{topic}: {key} is {is} on the target and {must} on the source, so the target deletes records that the source keeps, old ones at once; set it to {must} there, or allow a shorter retention"
        )
    };
    ["retention.ms", "retention.bytes"].iter().filter(is_shorter).map(tell).collect()
}

/// With which name of the cluster a new topic's would collide: Kafka takes a dot and an underscore for one.
pub(crate) fn collision<'a>(name: &str, others: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = |one: &str| one.replace('.', "_");
    others.into_iter().find(|other| *other != name && alike(other) == alike(name))
}

/// In what the cluster's topic that keeps maps is not as it has to be: one that is there may be another's work.
pub(crate) fn differences_of_map(name: &str, there: &Description) -> Vec<String> {
    let policy = there.value("cleanup.policy");
    if policies(policy) == ["compact"] {
        return Vec::new();
    }
    vec![format!(
        "{name}: cleanup.policy is {policy} and must be compact: the mirror keeps there how far it is"
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(config: TopicConfig) -> Description {
        Description::of_ours(3, &config)
    }

    #[test]
    fn all_differences_are_told_at_once() {
        let source = ours(TopicConfig::new().set("cleanup.policy", "compact").max_message_bytes(4 << 20));
        let mut target = ours(
            TopicConfig::new()
                .set("message.timestamp.type", "LogAppendTime")
                .set("message.timestamp.before.max.ms", "60000")
                .set("message.timestamp.after.max.ms", "1"),
        );
        target.partitions = 2;
        let found = differences("orders", &source, &target);
        assert_eq!(found.len(), 6, "{found:#?}");
        assert_eq!(found[0], "orders: the number of partitions is 2 on the target and must be 3");
        assert!(found[5].contains("max.message.bytes is 1048588") && found[5].contains("at least 4194304"));
    }

    #[test]
    fn a_target_that_keeps_less_is_told() {
        let kept = |settings: &[(&str, &str)]| {
            ours(settings.iter().fold(TopicConfig::new(), |config, (key, value)| config.set(*key, *value)))
        };
        let all = kept(&[]);
        let week = kept(&[("retention.ms", "604800000")]);
        let (small, both) = (
            kept(&[("retention.bytes", "1000000")]),
            kept(&[("retention.ms", "1000"), ("retention.bytes", "1000")]),
        );
        let count = |source, target| shorter("orders", source, target).len();
        assert_eq!(
            [count(&all, &all), count(&all, &week), count(&week, &all), count(&week, &week)],
            [0, 1, 0, 0]
        );
        assert_eq!(
            [count(&all, &small), count(&small, &week), count(&all, &both), count(&week, &both)],
            [1, 1, 2, 2]
        );
        let told = shorter("orders", &all, &week);
        assert!(told[0].contains("retention.ms is 604800000 on the target and -1 on the source"), "{told:?}");
        let compacted = kept(&[("cleanup.policy", "compact"), ("retention.ms", "1000")]);
        assert_eq!(count(&all, &compacted), 0, "nothing goes by age there");
    }

    #[test]
    fn what_is_made_in_a_cluster_keeps_as_long_whatever_the_defaults_there_are() {
        let made = ours(TopicConfig::new()).for_cluster();
        assert_eq!([&*made["retention.ms"], &made["retention.bytes"]], ["-1", "-1"]);
        assert_eq!(made["delete.retention.ms"], "86400000");
        let made = ours(TopicConfig::new().set("retention.ms", "1000")).for_cluster();
        assert_eq!(made["retention.ms"], "1000");
    }

    #[test]
    fn names_that_a_cluster_takes_for_one_collide() {
        assert_eq!(collision("a.b2", ["a_b", "a_b2", "x"]), Some("a_b2"));
        assert_eq!(collision("a_b.c", ["a.b_c"]), Some("a.b_c"));
        assert_eq!(collision("a.b", ["a.b", "ab", "a.b.c"]), None);
    }

    #[test]
    fn a_map_that_would_lose_runs_is_told() {
        let map = |policy: &str| ours(TopicConfig::new().set("cleanup.policy", policy));
        assert_eq!(differences_of_map("map", &map("compact")), [""; 0]);
        assert_eq!(differences_of_map("map", &map("delete")).len(), 1);
        assert_eq!(differences_of_map("map", &map("compact,delete")).len(), 1);
    }

    #[test]
    fn what_is_made_from_a_description_fits_it() {
        let given = TopicConfig::new()
            .set("cleanup.policy", "delete,compact")
            .set("annals.key.index", "true")
            .set("message.timestamp.before.max.ms", "1000")
            .max_message_bytes(9_000_000)
            .segment_bytes(4096);
        let source = ours(given);
        let made = source.for_cluster();
        assert!(!made.contains_key("annals.key.index"));
        assert_eq!(made["segment.bytes"], "1048576");
        let there = Description { partitions: 3, values: made.clone(), given: made };
        assert_eq!(differences("orders", &source, &there), [""; 0]);
        let mut there = there;
        there.given.insert("min.insync.replicas".to_owned(), "2".to_owned());
        let back = there.for_store();
        assert!(!back.values().contains_key("min.insync.replicas"));
        assert_eq!(differences("orders", &there, &Description::of_ours(3, &back)), [""; 0]);
    }
}
