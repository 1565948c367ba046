//! Queues: what becomes of messages on their way to a worker and back, of their order where there was none, and who is told.

use super::*;

const PANICS: Tests = tests("queue", &["panics::"]);
const ORDER: Tests = tests("queue", &["order::a_queue_that_comes"]);
const COMPANY: Tests = tests("queue", &["company::who_waits"]);
const STATES: Tests = tests("lib", &["share::tests::order"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "what-a-take-had-gathered-when-it-panicked-counts-as-delivered",
        file: "src/share/gathered.rs",
        good: "drop(delivery.queue.put_back(&delivery.place, delivery.lock, &offsets));",
        bad: "drop(delivery.queue.release(&delivery.place, delivery.lock, (&offsets, None)));",
        caught_by: &[PANICS],
    },
    Bug {
        name: "clock-that-panics-where-something-is-dropped-ends-the-process",
        file: "src/io/caught.rs",
        good: "if first.is_none() && !std::thread::panicking() {",
        bad: "if first.is_none() {",
        caught_by: &[PANICS],
    },
    Bug {
        name: "part-of-a-drop-that-panics-ends-it",
        file: "src/io/caught.rs",
        good: "            first = Some(panic);\n",
        bad: "            first = Some(panic);\n            break;\n",
        caught_by: &[
            tests("queue", &["panics::messages_dropped_behind"]),
            tests("processes", &["groups::a_consumer_whose_drop"]),
        ],
    },
    Bug {
        name: "look-and-life-of-two-owners",
        file: "src/share/away.rs",
        good: "if after == before {",
        bad: "if after >= before {",
        caught_by: &[tests("lib", &["share::tests::lives"])],
    },
    Bug {
        name: "queue-that-comes-to-keep-order-forgets-delays",
        file: "src/share/share_partition.rs",
        good: "self.runs.set(offset, offset, (run.state.blocked(), run.count));",
        bad: "self.runs.set(offset, offset, (RunState::Blocked, run.count));",
        caught_by: &[ORDER, STATES, tests("queue", &["undecided::a_message_whose_answer_cannot"])],
    },
    Bug {
        name: "delay-that-is-over-passes-an-older-one-of-its-key",
        file: "src/share/share_partition.rs",
        good: "for offset in behind.into_iter().flatten() {",
        bad: "for offset in behind.into_iter().flatten().take(0) {",
        caught_by: &[ORDER],
    },
    Bug {
        name: "suspect-that-waits-for-its-key-is-tried-in-company",
        file: "src/share/doubts.rs",
        good: "RunState::Blocked => RunState::BlockedSuspect,",
        bad: "RunState::Blocked => RunState::Blocked,",
        caught_by: &[STATES],
    },
    Bug {
        name: "locks-that-figures-find-over-are-told-to-nobody",
        file: "src/share/gone.rs",
        good: "self.expire(inner, (partition, group), now);",
        bad: "inner.state.expire(now);",
        caught_by: &[tests("queue", &["answers::locks_that_figures"])],
    },
    Bug {
        name: "last-attempt-whose-record-was-deleted-keeps-others-waiting",
        file: "src/topic/retention.rs",
        good: "let deleted = self.log().delete_records(before);\n        self.log().after_removal();",
        bad: "let deleted = self.log().delete_records(before);",
        caught_by: &[COMPANY],
    },
    Bug {
        name: "last-attempt-that-retention-took-keeps-others-waiting",
        file: "src/topic/retention.rs",
        good: "let retained = self.log().apply_retention(ask);\n        self.log().after_removal();",
        bad: "let retained = self.log().apply_retention(ask);",
        caught_by: &[COMPANY],
    },
];
