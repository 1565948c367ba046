//! What belongs to a topic, positions of consumers, and what a panic of the program's own clock or file system leaves of them.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    // What belongs to a topic, and positions.
    Bug {
        name: "what-was-handed-out-before-a-rebalance-takes-effect-without-its-offsets",
        file: "src/consumer/consumer.rs",
        good: "            self.owed.insert(place.clone(), lost.partition.clone());\n",
        bad: "",
        caught_by: &[tests("interface", &["transactions::together::"])],
    },
    Bug {
        name: "what-was-handed-out-of-the-only-partition-takes-effect-without-its-offsets",
        file: "src/group/pending.rs",
        good: "        pending.clone().try_for_each(Pending::check_owes_nothing)?;\n        let mut pending: Vec<_> = pending.filter(|one| !one.positions.is_empty()).collect();\n",
        bad: "        let mut pending: Vec<_> = pending.filter(|one| !one.positions.is_empty()).collect();\n        pending.iter().try_for_each(|one| one.check_owes_nothing())?;\n",
        caught_by: &[tests("interface", &["transactions::together::"])],
    },
    Bug {
        name: "partition-that-was-taken-and-then-deleted-refuses-the-offsets-of-others",
        file: "src/consumer/commit.rs",
        good: "self.owed.iter().find(|(_, partition)| !partition.is_gone())",
        bad: "self.owed.iter().next()",
        caught_by: &[tests("interface", &["transactions::together::"])],
    },
    Bug {
        name: "commit-for-a-name-and-not-a-topic",
        file: "src/group/groups.rs",
        good: "self.topic_id == partition.topic_id()",
        bad: "self.topic_id == partition.topic_id() || self.names_id",
        caught_by: &[tests("interface", &["groups::deletion::"])],
    },
    Bug {
        name: "assignment-of-a-name-and-not-a-topic",
        file: "src/topic/partition.rs",
        good: "self.topic_id == other.topic_id && self.number() == other.number()",
        bad: "self.topic() == other.topic() && self.number() == other.number()",
        caught_by: &[tests("interface", &["groups::deletion::"])],
    },
    Bug {
        name: "changes-of-commits-in-one-batch-whatever-it-takes",
        file: "src/topic/ledger.rs",
        good: "bytes <= most_bytes",
        bad: "bytes <= most_bytes || true",
        caught_by: &[tests("interface", &["groups::large::"]), tests("lib", &["ledger::"])],
    },
    Bug {
        name: "position-without-a-record-not-committed",
        file: "src/consumer/assigned.rs",
        good: "self.reader.as_ref().map(Reader::position)",
        bad: "self.reader.as_ref().map(Reader::position).filter(|at| self.committed.as_ref().is_ok_and(|c| c.is_some_and(|c| c < *at)))",
        caught_by: &[tests("interface", &["groups::positions::a_position_at_the_end"])],
    },
    Bug {
        name: "consumed-deleted-before-its-commit-is-durable",
        file: "src/group/consumed.rs",
        good: "self.sync_consumed(&written_in)?;",
        bad: "if below > 0 {\n            return Ok(Some(below));\n        }",
        caught_by: &[tests("interface", &["groups::positions::what_was_consumed"])],
    },
    Bug {
        name: "one-failing-partition-polled-first-for-ever",
        file: "src/consumer/poll.rs",
        good: "self.next = self.after(&place);\n                    self.note_deleted(&error);",
        bad: "self.next = None;\n                    self.note_deleted(&error);",
        caught_by: &[tests("interface", &["groups::fairness::"])],
    },
    // Panics of a clock or a file system of the program's own.
    Bug {
        name: "what-a-poll-has-read-before-a-panic-is-nobody-s",
        file: "src/consumer/poll.rs",
        good: "                assigned.take_back();",
        bad: "",
        caught_by: &[
            tests("crash", &["handed_out::what_a_poll"]),
            tests("crash", &["handed_out::a_commit_after"]),
        ],
    },
    Bug {
        name: "partition-that-panics-is-polled-with-the-others-for-ever",
        file: "src/consumer/poll.rs",
        good: "self.panicked = Some(place);",
        bad: "",
        caught_by: &[tests("crash", &["handed_out::a_partition_whose_files"])],
    },
    Bug {
        name: "fetch-that-panics-goes-on-behind-what-it-has-read",
        file: "src/log/read/fetching.rs",
        good: "            reader.go_back(from);",
        bad: "",
        caught_by: &[tests("crash", &["handed_out::what_a_reader"])],
    },
    Bug {
        name: "fetch-after-a-panic-asks-for-as-much-again",
        file: "src/log/read/reader.rs",
        good: "Self { max_bytes: 1, ..self }",
        bad: "self",
        caught_by: &[tests("crash", &["handed_out::a_batch_before"])],
    },
    Bug {
        name: "fetch-of-a-log-that-is-closed-meanwhile-moves-the-position",
        file: "src/log/read/reader.rs",
        good: "                self.go_back(from);",
        bad: "",
        caught_by: &[tests("crash", &["handed_out::a_close_in_the_middle"])],
    },
    Bug {
        name: "hits-that-were-looked-at-before-a-panic-are-passed-over",
        file: "src/log/read/by_content.rs",
        good: "                reader.go_back(from);",
        bad: "",
        caught_by: &[tests("crash", &["handed_out::what_a_reader"])],
    },
    Bug {
        name: "directory-lock-that-panics-is-waited-for-for-ever",
        file: "src/store/life.rs",
        good: "in_drop_each(parts, |part| part(self));",
        bad: "parts.into_iter().for_each(|part| part(self));",
        caught_by: &[tests("lib", &["store::life::"])],
    },
    Bug {
        name: "group-whose-taking-panics-stays-locked",
        file: "src/group/spool.rs",
        good: "Otherwise::new(|| spool.unlock_group(group));",
        bad: "Otherwise::new(|| if !std::thread::panicking() { spool.unlock_group(group) });",
        caught_by: &[tests("processes", &["folds::a_group_whose_taking"])],
    },
    Bug {
        name: "partitions-that-panic-as-they-are-shown-end-the-round",
        file: "src/store/caretaker.rs",
        good: "first = first.and(caught(|| {\n            self.topics.show_rest();\n            Ok(())\n        }));",
        bad: "self.topics.show_rest();",
        caught_by: &[tests("processes", &["crowded::retention"])],
    },
    Bug {
        name: "automatic-commit-is-dropped-with-its-partitions",
        file: "src/consumer/commit.rs",
        good: "self.auto_commit.is_wanted() && !self.endings.is_claimed()",
        bad: "self.auto_commit.is_due() && !self.endings.is_claimed()",
        caught_by: &[tests("interface", &["groups::commits::what_was_handed_out"])],
    },
];
