//! What is delivered later.

use super::*;

const LATER: Tests = tests("queue", &["later::"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "a-cancel-takes-out-what-a-power-cut-moves-back",
        file: "src/share/holds.rs",
        good: "if offsets.iter().any(|offset| step.moved.has(*offset)) {",
        bad: "if offsets.iter().any(|offset| step.moved.has(*offset + 1_000_000)) {",
        caught_by: &[tests("queue", &["moved_back::a_record"])],
    },
    Bug {
        name: "an-answer-at-disk-outlives-its-message",
        file: "src/share/answers.rs",
        good: "place.partition.keep_through(last)?;",
        bad: "drop(last);",
        caught_by: &[tests("queue", &["moved_back::a_message"])],
    },
    Bug {
        name: "an-answer-at-disk-outlives-the-id-of-its-message",
        file: "src/topic/flushing.rs",
        good: "if self.durable() > last { Ok(()) } else { self.make_durable(last) }",
        bad: "Ok(())",
        caught_by: &[tests("queue", &["moved_back::what_was_acknowledged"])],
    },
    Bug {
        name: "a-commit-at-disk-outlives-what-was-read",
        file: "src/group/commit.rs",
        good: "partition.settle_through(offset - 1))?;",
        bad: "partition.settle_through((*offset).min(0) - 1))?;",
        caught_by: &[tests("queue", &["moved_back::a_consumer"])],
    },
    Bug {
        name: "what-is-erased-is-moved-there-once-more",
        file: "src/topic/compaction.rs",
        good: "self.keep_through(last)?;",
        bad: "drop(last);",
        caught_by: &[tests("queue", &["moved_back::an_erased"])],
    },
    Bug {
        name: "a-delivery-that-was-put-back-counts-after-a-power-cut",
        file: "src/share/put_back.rs",
        good: "if self.settings.counts_written && self.settings.durability == Durability::Disk {",
        bad: "if self.settings.counts_written && false {",
        caught_by: &[tests("queue", &["moved_back::a_delivery"])],
    },
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
