//! Who reads which partition: Kafka's range assignment, as a function of values.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::types::TopicPartition;

/// A member as the assignor sees it.
#[derive(Debug)]
pub(super) struct Subscriber<'a> {
    pub(super) member: &'a str,
    pub(super) topics: &'a [Arc<str>],
}

/// For each topic by itself: its partitions in consecutive blocks over its subscribers in the order of their ids, the first
/// ones with one more when it does not come out even. `partitions` tells how many a topic has, 0 when it is gone.
pub(super) fn range(
    subscribers: &[Subscriber<'_>],
    partitions: impl Fn(&str) -> u32,
) -> BTreeMap<String, Vec<TopicPartition>> {
    let mut by_topic: BTreeMap<&Arc<str>, Vec<&str>> = BTreeMap::new();
    for subscriber in subscribers {
        for topic in subscriber.topics {
            by_topic.entry(topic).or_default().push(subscriber.member);
        }
    }
    let mut assignment: BTreeMap<String, Vec<TopicPartition>> =
        subscribers.iter().map(|subscriber| (subscriber.member.to_owned(), Vec::new())).collect();
    for (topic, mut members) in by_topic {
        members.sort_unstable();
        members.dedup();
        let count = partitions(topic);
        let members_count = u32::try_from(members.len()).unwrap_or(u32::MAX).max(1);
        let (each, more) = (count / members_count, count % members_count);
        let mut next = 0;
        for (number, member) in (0..).zip(members) {
            let block = each + u32::from(number < more);
            let own = assignment.entry(member.to_owned()).or_default();
            own.extend(
                (next..next + block).map(|partition| TopicPartition::new(Arc::clone(topic), partition)),
            );
            next += block;
        }
    }
    assignment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(members: &[(&str, &[&str])], partitions: &[(&str, u32)]) -> Vec<(String, Vec<String>)> {
        let topics: Vec<Vec<Arc<str>>> = members
            .iter()
            .map(|(_, topics)| topics.iter().map(|topic| Arc::from(*topic)).collect())
            .collect();
        let subscribers: Vec<_> =
            members.iter().zip(&topics).map(|((member, _), topics)| Subscriber { member, topics }).collect();
        let count =
            |topic: &str| partitions.iter().find(|(name, _)| *name == topic).map_or(0, |(_, count)| *count);
        range(&subscribers, count)
            .into_iter()
            .map(|(member, own)| (member, own.iter().map(ToString::to_string).collect()))
            .collect()
    }

    #[test]
    fn kafkas_example_of_two_topics_and_two_members() {
        let assigned = assign(&[("c1", &["t0", "t1"]), ("c0", &["t0", "t1"])], &[("t0", 3), ("t1", 3)]);
        assert_eq!(
            assigned[0],
            ("c0".into(), vec!["t0-0".into(), "t0-1".into(), "t1-0".into(), "t1-1".into()])
        );
        assert_eq!(assigned[1], ("c1".into(), vec!["t0-2".into(), "t1-2".into()]));
    }

    #[test]
    fn more_members_than_partitions_leaves_the_last_without() {
        let assigned = assign(&[("a", &["t"]), ("b", &["t"]), ("c", &["t"])], &[("t", 2)]);
        assert_eq!(assigned.iter().map(|(_, own)| own.len()).collect::<Vec<_>>(), [1, 1, 0]);
    }

    #[test]
    fn every_partition_has_exactly_one_reader_whatever_the_subscriptions() {
        for members in 1..6_u32 {
            for partitions in 0..9 {
                let names: Vec<String> = (0..members).map(|member| format!("m{member}")).collect();
                let both: &[&str] = &["t", "u"];
                let one: &[&str] = &["t"];
                let members: Vec<_> = (0..)
                    .zip(&names)
                    .map(|(number, name)| (name.as_str(), if number % 2 == 0 { both } else { one }))
                    .collect();
                let assigned = assign(&members, &[("t", partitions), ("u", 3)]);
                let mut all: Vec<_> = assigned.into_iter().flat_map(|(_, own)| own).collect();
                all.sort();
                let mut expected: Vec<_> = (0..partitions).map(|n| format!("t-{n}")).collect();
                expected.extend((0..3).map(|n| format!("u-{n}")));
                expected.sort();
                assert_eq!(all, expected);
            }
        }
    }
}
