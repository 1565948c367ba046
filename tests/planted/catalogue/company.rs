//! Queues: a last attempt, and what may end the process, go out in nobody's company.

use super::*;

const COMPANY: Tests = tests("queue", &["company::"]);
const STATES: Tests = tests("lib", &["share::"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "suspects-go-out-in-company",
        file: "src/share/queue.rs",
        good: "if !inner.is_searched {",
        bad: "if false {",
        caught_by: &[tests("queue", &["life::a_message_that_ends"])],
    },
    Bug {
        name: "last-attempt-beside-what-may-end-the-process",
        file: "src/share/suspects.rs",
        good: "last: held().next().is_none(),",
        bad: "last: true,",
        caught_by: &[COMPANY],
    },
    Bug {
        name: "what-may-end-the-process-goes-out-beside-a-last-attempt",
        file: "src/share/suspects.rs",
        good: "doubted: !held().any(|share| share.is_last),",
        bad: "doubted: true,",
        caught_by: &[COMPANY],
    },
    Bug {
        name: "last-attempt-that-is-over-keeps-others-waiting",
        file: "src/share/suspects.rs",
        good: "self.suspects.show(self.slot, &mut self.inner);",
        bad: "_ = (self.suspects, self.slot, Suspects::show);",
        caught_by: &[COMPANY],
    },
    Bug {
        name: "end-of-a-last-attempt-wakes-nobody-in-other-queues",
        file: "src/share/suspects.rs",
        good: "if frees {\n            self.watchers.raise();",
        bad: "if frees && false {\n            self.watchers.raise();",
        caught_by: &[
            tests("queue", &["company::who_waits"]),
            tests("tasks", &["a_worker_is_woken_by_the_end"]),
        ],
    },
    Bug {
        name: "lock-of-a-last-attempt-that-runs-out-wakes-nobody-in-other-queues",
        file: "src/share/look.rs",
        good: ".chain(selection.held_back_until)",
        bad: ".chain(selection.held_back_until.filter(|_| false))",
        caught_by: &[tests("queue", &["company::who_waits"])],
    },
    Bug {
        name: "last-attempt-in-a-topic-that-is-gone-keeps-others-waiting",
        file: "src/share/forgetting.rs",
        good: "held.iter_mut().for_each(|inner| inner.state.forget_what_is_out());",
        bad: "",
        caught_by: &[tests("queue", &["company::a_last_attempt_in_a_topic"])],
    },
    Bug {
        name: "last-attempt-waits-for-the-lock-of-what-is-done",
        file: "src/share/doubts.rs",
        good: "until: self.out.last_end()?,",
        bad: "until: self.out.last_end()? + 3_600_000,",
        caught_by: &[tests("queue", &["company::a_last_attempt_waits_no_longer"]), STATES],
    },
    Bug {
        name: "last-attempt-waits-for-the-lock-before-it-was-renewed-for-less",
        file: "src/share/doubts.rs",
        good: "if let Some((_, is_last)) = self.out.at(offset) {",
        bad: "if let Some((before, is_last)) = self.out.at(offset) {\n            let until = until.max(before);",
        caught_by: &[tests("queue", &["company::a_last_attempt_waits_no_longer"])],
    },
    Bug {
        name: "an-answer-looks-through-all-that-is-out",
        file: "src/share/watched.rs",
        good: "        self.lasts > 0\n",
        bad: "        self.runs.values().inspect(|_| self.look()).any(|(_, (_, is_last))| *is_last)\n",
        caught_by: &[tests("lib", &["share::doubts::"])],
    },
    Bug {
        name: "lock-that-is-renewed-for-less-wakes-nobody-in-other-queues",
        file: "src/share/suspects.rs",
        good: "|| ends_before(share))",
        bad: "|| (ends_before(share) && false))",
        caught_by: &[tests("queue", &["company::a_last_attempt_waits_no_longer"])],
    },
    Bug {
        name: "figures-that-find-a-last-attempt-gone-keep-it-to-themselves",
        file: "src/share/stats.rs",
        good: "let mut inner = slot.enter(&self.suspects);",
        bad: "let others = crate::share::suspects::Suspects::default();\n            let mut inner = slot.enter(&others);",
        caught_by: &[tests("queue", &["company::a_last_attempt_that_made_room"])],
    },
    Bug {
        name: "message-that-was-out-and-failed-once-more-is-taken-along",
        file: "src/share/doubts.rs",
        good: "if is_last(span.count, limit) { &self.earlier } else { &self.doubted }",
        bad: "{ _ = is_last(span.count, limit); &self.doubted }",
        caught_by: &[tests("queue", &["company::a_message_that_was_out"]), STATES],
    },
];
