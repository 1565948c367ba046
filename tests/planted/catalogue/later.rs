//! What is delivered later.

use super::*;

const LATER: Tests = tests("queue", &["later::"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "segments-of-what-was-taken-back-stay",
        file: "src/share/moves.rs",
        good: "let is_emptied = waiting.records.is_empty()",
        bad: "let is_emptied = waiting.records.len() > 1_000_000",
        caught_by: &[tests("queue", &["later::what_was_taken_back"])],
    },
    Bug {
        name: "what-waits-behind-a-record-of-a-clock-that-was-ahead-waits-for-it",
        file: "src/share/moves.rs",
        good: "waiting.records.iter().rposition(|one| due_at(one) <= now).map_or(0, |last| last + 1)",
        bad: "waiting.records.iter().take_while(|one| due_at(one) <= now).count()",
        caught_by: &[tests("queue", &["later_passed::what_stands_behind"])],
    },
    Bug {
        name: "what-is-scheduled-survives-erasure",
        file: "src/share/holds.rs",
        good: "record.key().is_some_and(key_matches) && Held::is_for(record, topic.id())",
        bad: "record.key().is_some_and(key_matches) && Held::is_for(record, !topic.id())",
        caught_by: &[LATER],
    },
    Bug {
        name: "later-is-at-the-end-of-the-first-step",
        file: "src/share/transfer.rs",
        good: "if held.at > now {",
        bad: "if held.at > now && false {",
        caught_by: &[LATER],
    },
    Bug {
        name: "scheduled-twice-after-a-kill",
        file: "src/share/transfer.rs",
        good: "tx.take_part(|| PendingOffsets::new(&self.groups), |offsets| offsets.set(pending))?;",
        bad: "drop(pending);",
        caught_by: &[tests("queue", &["later::each"])],
    },
    Bug {
        name: "what-has-an-id-holds-up-its-step",
        file: "src/share/moves.rs",
        good: "due.retain(|one| !has_id(one));",
        bad: "return self.keep_ids(step);",
        caught_by: &[tests("queue", &["later_passed::what_has_no_id", "later_passed::more_than"])],
    },
    Bug {
        name: "what-was-passed-is-not-remembered-over-a-kill",
        file: "src/share/transfer.rs",
        good: "Some(Beyond { text, read_to: moved.end() })",
        bad: "Some(Beyond { text: text.repeat(0), read_to: moved.end() })",
        caught_by: &[tests("queue", &["later_passed::what_has_no_id"])],
    },
    Bug {
        name: "thousands-of-a-clock-that-was-ahead-stay-in-front",
        file: "src/share/moves.rs",
        good: "step.ahead = ahead.map(|ahead| ahead.offset);",
        bad: "step.ahead = ahead.map(|ahead| ahead.offset).filter(|at| *at < 0);",
        caught_by: &[tests("queue", &["later_passed::what_is_scheduled_behind", "later_passed::what_waits"])],
    },
    Bug {
        name: "step-of-an-earlier-life-is-taken-to-be-in-order",
        file: "src/share/moves.rs",
        good: "all.iter().for_each(|step| wakes.begin(step.partition.number(), now));",
        bad: "all.iter().for_each(|step| wakes.put_off(step.partition.number(), now));",
        caught_by: &[tests("queue", &["later_passed::what_is_scheduled_behind"])],
    },
    Bug {
        name: "move-that-a-panic-came-behind-is-made-again",
        file: "src/share/moves.rs",
        good: "            self.steps.all.clear();\n",
        bad: "",
        caught_by: &[tests("queue", &["panics::a_record_for_later_is_delivered_once"])],
    },
];
