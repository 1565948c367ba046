//! Whether a history of transactions over lists is isolated as promised, in the manner of Elle (Kingsbury, Alvaro: "Elle: Inferring
//! Isolation Anomalies from Experimental Observations", VLDB 2020). It knows nothing of annals.
//!
//! Every key is a list, a write appends a value that nobody else appends. So the last state of a list tells the order of all writes
//! to it, and what a transaction has read tells behind which write it stands and before which. Three kinds of edges follow: write
//! before write, write before read, read before write; and, if it is asked for, what had ended before another began. A cycle
//! is an anomaly.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(super) type Key = usize;
pub(super) type Value = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    /// Nothing of it may be visible, ever.
    Aborted,
    /// It may have taken effect, whole.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transaction {
    /// When its commit was called, and when that returned: any numbers that grow with time.
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) outcome: Outcome,
    /// The lists as it has seen them.
    pub(super) reads: Vec<(Key, Vec<Value>)>,
    pub(super) appends: Vec<(Key, Value)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// No cycle of writes and of reads from writes (G0, G1).
    ReadCommitted,
    /// No cycle, real time included (G2 and strict).
    StrictSerializable,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Anomaly {
    /// A value of an aborted transaction is in a list, or was read (G1a).
    Aborted(Value),
    /// Some of its values are there, and others are not.
    Half(usize),
    /// It was committed and a value of it is gone.
    Lost(Value),
    /// A value stands in a list twice, or nobody has written it.
    Invented(Value),
    /// What was read is no beginning of what the list became.
    NoPrefix(usize, Key),
    /// A transaction's values in one list were read in part (G1b).
    Intermediate(usize, Key),
    /// Each comes before the next by that edge, and the last before the first.
    Cycle(Vec<(usize, Edge)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Edge {
    WriteWrite,
    WriteRead,
    ReadWrite,
    RealTime,
}

type Graph = Vec<BTreeMap<usize, Edge>>;

/// What is wrong with `history`, by what the lists became.
pub(super) fn check(
    history: &[Transaction],
    lists: &BTreeMap<Key, Vec<Value>>,
    level: Level,
) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let writers: BTreeMap<Value, usize> = history
        .iter()
        .enumerate()
        .flat_map(|(at, one)| one.appends.iter().map(move |(_, value)| (*value, at)))
        .collect();
    let mut there = BTreeSet::new();
    for value in lists.values().flatten() {
        if !there.insert(*value) || !writers.contains_key(value) {
            found.push(Anomaly::Invented(*value));
        }
    }
    let mut is_committed = Vec::new();
    for (at, one) in history.iter().enumerate() {
        let present = one.appends.iter().filter(|(_, value)| there.contains(value)).count();
        let missing = one.appends.iter().find(|(_, value)| !there.contains(value));
        match (one.outcome, missing) {
            (Outcome::Aborted, _) if present > 0 => {
                found.extend(one.appends.iter().map(|(_, value)| Anomaly::Aborted(*value)))
            }
            (Outcome::Committed, Some((_, value))) => found.push(Anomaly::Lost(*value)),
            (Outcome::Unknown, Some(_)) if present > 0 => found.push(Anomaly::Half(at)),
            _ => {}
        }
        is_committed
            .push(one.outcome == Outcome::Committed || (one.outcome == Outcome::Unknown && present > 0));
    }
    for (at, one) in history.iter().enumerate() {
        found.extend(
            one.reads
                .iter()
                .filter_map(|(key, read)| look_at_read(history, &writers, lists, (at, *key, read))),
        );
    }
    if found.is_empty() {
        found.extend(cycle(&edges(history, &is_committed, &writers, lists, level)).map(Anomaly::Cycle));
    }
    found
}

fn look_at_read(
    history: &[Transaction],
    writers: &BTreeMap<Value, usize>,
    lists: &BTreeMap<Key, Vec<Value>>,
    (at, key, read): (usize, Key, &[Value]),
) -> Option<Anomaly> {
    let list = lists.get(&key).map_or(&[][..], Vec::as_slice);
    if let Some(value) =
        read.iter().find(|value| writers.get(value).is_none_or(|by| history[*by].outcome == Outcome::Aborted))
    {
        return Some(Anomaly::Aborted(*value));
    }
    if !list.starts_with(read) {
        return Some(Anomaly::NoPrefix(at, key));
    }
    let (last, next) = (read.last()?, list.get(read.len())?);
    (writers.get(last) == writers.get(next)).then_some(Anomaly::Intermediate(at, key))
}

fn edges(
    history: &[Transaction],
    is_committed: &[bool],
    writers: &BTreeMap<Value, usize>,
    lists: &BTreeMap<Key, Vec<Value>>,
    level: Level,
) -> Graph {
    let mut graph: Graph = vec![BTreeMap::new(); history.len()];
    let mut add = |from: usize, to: usize, edge: Edge| {
        if from != to && is_committed[from] && is_committed[to] {
            let known = graph[from].entry(to).or_insert(edge);
            *known = (*known).min(edge);
        }
    };
    for list in lists.values() {
        for pair in list.windows(2) {
            add(writers[&pair[0]], writers[&pair[1]], Edge::WriteWrite);
        }
    }
    for (at, one) in history.iter().enumerate() {
        for (key, read) in &one.reads {
            if let Some(last) = read.last() {
                add(writers[last], at, Edge::WriteRead);
            }
            let next = lists.get(key).and_then(|list| list.get(read.len()));
            if let Some(next) = next.filter(|_| level == Level::StrictSerializable) {
                add(at, writers[next], Edge::ReadWrite);
            }
        }
        if level == Level::StrictSerializable {
            let later = history.iter().enumerate().filter(|(_, other)| one.ended < other.began);
            later.for_each(|(other, _)| add(at, other, Edge::RealTime));
        }
    }
    graph
}

/// A shortest cycle, if there is one.
fn cycle(graph: &Graph) -> Option<Vec<(usize, Edge)>> {
    let on_one = on_cycles(graph);
    let from = |start: usize| {
        let mut came: BTreeMap<usize, usize> = BTreeMap::new();
        let mut todo = VecDeque::from([start]);
        while let Some(at) = todo.pop_front() {
            for to in graph[at].keys().filter(|to| on_one.contains(to)) {
                if *to == start {
                    let mut path = vec![(at, graph[at][to])];
                    let mut now = at;
                    while let Some(before) = came.get(&now) {
                        path.push((*before, graph[*before][&now]));
                        now = *before;
                    }
                    path.reverse();
                    return Some(path);
                }
                if !came.contains_key(to) {
                    came.insert(*to, at);
                    todo.push_back(*to);
                }
            }
        }
        None
    };
    on_one.iter().filter_map(|start| from(*start)).min_by_key(Vec::len)
}

/// What is left when those that nobody comes before, or that come before nobody, are taken away again and again.
fn on_cycles(graph: &Graph) -> BTreeSet<usize> {
    let mut left: BTreeSet<usize> = (0..graph.len()).collect();
    loop {
        let has_next: BTreeSet<usize> =
            left.iter().copied().filter(|at| graph[*at].keys().any(|to| left.contains(to))).collect();
        let reached: BTreeSet<usize> = has_next.iter().flat_map(|at| graph[*at].keys().copied()).collect();
        let both: BTreeSet<usize> = has_next.intersection(&reached).copied().collect();
        if both == left {
            return left;
        }
        left = both;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(time: u64, reads: &[(Key, &[Value])], appends: &[(Key, Value)]) -> Transaction {
        Transaction {
            began: time,
            ended: time + 15,
            outcome: Outcome::Committed,
            reads: reads.iter().map(|(key, read)| (*key, read.to_vec())).collect(),
            appends: appends.to_vec(),
        }
    }

    fn look(history: &[Transaction], lists: &[(Key, &[Value])], level: Level) -> Vec<Anomaly> {
        check(history, &lists.iter().map(|(key, list)| (*key, list.to_vec())).collect(), level)
    }

    use Level::{ReadCommitted, StrictSerializable};

    #[test]
    fn a_history_that_could_be_one_after_the_other_is_sound() {
        let history = [
            committed(10, &[(0, &[])], &[(0, 1), (1, 2)]),
            committed(20, &[(0, &[1]), (1, &[2])], &[(1, 3)]),
            committed(21, &[(2, &[])], &[(0, 4)]),
            Transaction { outcome: Outcome::Aborted, ..committed(30, &[(0, &[1])], &[(0, 9)]) },
            Transaction {
                outcome: Outcome::Unknown,
                ended: u64::MAX,
                ..committed(40, &[], &[(2, 5), (0, 6)])
            },
        ];
        assert_eq!(look(&history, &[(0, &[1, 4, 6]), (1, &[2, 3]), (2, &[5])], StrictSerializable), []);
        assert_eq!(
            look(&history, &[(0, &[1, 4]), (1, &[2, 3])], StrictSerializable),
            [],
            "it did not take effect"
        );
    }

    #[test]
    fn every_planted_anomaly_is_found() {
        let lists: &[(Key, &[Value])] = &[(0, &[1, 2]), (1, &[3, 4])];
        // Lost update: both have read the empty list.
        let lost = [committed(10, &[(0, &[])], &[(0, 1)]), committed(11, &[(0, &[])], &[(0, 2)])];
        assert!(matches!(look(&lost, &lists[..1], StrictSerializable)[..], [Anomaly::Cycle(_)]));
        assert_eq!(look(&lost, &lists[..1], ReadCommitted), []);
        // Write skew: each rests on what the other changes.
        let skew = [committed(10, &[(0, &[])], &[(1, 3)]), committed(11, &[(1, &[])], &[(0, 1)])];
        let found = look(&skew, &[(0, &[1]), (1, &[3])], StrictSerializable);
        assert_eq!(found, [Anomaly::Cycle(vec![(0, Edge::ReadWrite), (1, Edge::ReadWrite)])]);
        // Two writers in opposite orders (G0), found at the lower level too.
        let opposite = [committed(10, &[], &[(0, 1), (1, 4)]), committed(11, &[], &[(0, 2), (1, 3)])];
        assert!(matches!(look(&opposite, lists, ReadCommitted)[..], [Anomaly::Cycle(_)]));
        // Information in a circle (G1c).
        let circle = [committed(10, &[(1, &[3])], &[(0, 1)]), committed(11, &[(0, &[1])], &[(1, 3)])];
        assert!(matches!(look(&circle, &[(0, &[1]), (1, &[3])], ReadCommitted)[..], [Anomaly::Cycle(_)]));
        // One that saw half of another.
        let fractured = [committed(10, &[], &[(0, 1), (1, 3)]), committed(11, &[(0, &[1]), (1, &[])], &[])];
        assert!(matches!(
            look(&fractured, &[(0, &[1]), (1, &[3])], StrictSerializable)[..],
            [Anomaly::Cycle(_)]
        ));
        // One that did not see what had ended before it began.
        let stale = [committed(10, &[], &[(0, 1)]), committed(40, &[(0, &[])], &[])];
        let found = look(&stale, &[(0, &[1])], StrictSerializable);
        assert_eq!(found, [Anomaly::Cycle(vec![(0, Edge::RealTime), (1, Edge::ReadWrite)])]);
        assert_eq!(look(&stale, &[(0, &[1])], ReadCommitted), []);
    }

    #[test]
    fn what_is_read_or_left_of_others_is_looked_at() {
        let aborted = Transaction { outcome: Outcome::Aborted, ..committed(10, &[], &[(0, 1)]) };
        let unknown = Transaction { outcome: Outcome::Unknown, ..committed(10, &[], &[(0, 1), (1, 2)]) };
        let two = committed(10, &[], &[(0, 1), (0, 2)]);
        let reader = |read: &[Value]| committed(20, &[(0, read)], &[]);
        let look = |one: &Transaction, read: &[Value], list: &[Value]| {
            look(&[one.clone(), reader(read)], &[(0, list)], ReadCommitted)
        };
        assert_eq!(look(&aborted, &[], &[1]), [Anomaly::Aborted(1)]);
        assert_eq!(look(&aborted, &[1], &[]), [Anomaly::Aborted(1)]);
        assert_eq!(look(&unknown, &[], &[1]), [Anomaly::Half(0)]);
        assert_eq!(look(&two, &[], &[1]), [Anomaly::Lost(2)]);
        assert_eq!(look(&two, &[1], &[1, 2]), [Anomaly::Intermediate(1, 0)]);
        assert_eq!(look(&two, &[2], &[1, 2]), [Anomaly::NoPrefix(1, 0)]);
        assert_eq!(look(&two, &[], &[1, 2, 1]), [Anomaly::Invented(1)]);
        assert_eq!(look(&two, &[], &[1, 2, 7]), [Anomaly::Invented(7)]);
    }
}
