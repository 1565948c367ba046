//! Whose dead letters are whose.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "letters-of-other-topics-handed-out",
        file: "src/share/letter.rs",
        good: "says(TOPIC_HEADER, topic) && says(GROUP_HEADER, group)",
        bad: "(says(TOPIC_HEADER, topic) || true) && says(GROUP_HEADER, group)",
        caught_by: &[tests("queue", &["letters::"])],
    },
    Bug {
        name: "letters-of-namesakes-have-one-key",
        file: "src/share/letter.rs",
        good: "{}-{}@{} {topic_id} {group}",
        bad: "{}-{}@{} {group}",
        caught_by: &[tests("queue", &["letters_of_names::"])],
    },
    Bug {
        name: "letters-of-a-deleted-topic-sent-into-its-namesake",
        file: "src/share/dead_letters.rs",
        good: "(Ok(topic), Some(id)) => topic.id() != id,",
        bad: "(Ok(topic), Some(id)) => topic.id() != id && id == 0,",
        caught_by: &[tests("queue", &["letters_left::"])],
    },
    Bug {
        name: "a-letter-is-sent-back-to-whatever-has-the-name-of-its-topic",
        file: "src/share/dead_letters.rs",
        good: "tx.send_to(&target, &back)?;",
        bad: "tx.send(back.topic(target.topic()).partition(target.number()))?;",
        caught_by: &[tests("queue", &["letters_left::a_letter_was_sent"])],
    },
    Bug {
        name: "a-letter-is-written-to-whatever-has-the-name-of-the-topic-of-letters",
        file: "src/share/burial.rs",
        good: "let sent = tx.send_to(&target, &letter.record(record, (without, &missing)));",
        bad: "let sent = letter.record(record, (without, &missing)).topic(topic.name());\n                let sent = tx.send(sent.partition(target.number()));",
        caught_by: &[tests("queue", &["letters_left::a_letter_in_a_topic"])],
    },
    Bug {
        name: "redriving-stops-at-letters-of-deleted-topics",
        file: "src/share/redrive.rs",
        good: "if !*gone.entry(id).or_insert_with(|| is_gone(topics, &target, id)) {",
        bad: "if !*gone.entry(id).or_insert_with(|| is_gone(topics, &target, id) && end < 0) {",
        caught_by: &[tests("queue", &["letters_of_names::redriving", "redriven::redriving_did_not"])],
    },
    Bug {
        name: "redriving-takes-letters-that-others-have",
        file: "src/share/share_partition.rs",
        good: "self.runs.at(offset).filter(|(_, run)| run.state == RunState::Available)",
        bad: "self.runs.at(offset).filter(|(_, run)| !run.state.is_final())",
        caught_by: &[tests("queue", &["redriven::redriving_takes"])],
    },
    Bug {
        name: "what-redriving-passes-over-fills-the-queue-of-the-letters",
        file: "src/share/redrive.rs",
        good: "let taken = self.queue.take_those(self.place, &self.found, most)?;",
        bad: "drop(self.queue.look(self.place, Wanted::Oldest(70_000), LOCK_TIMEOUT)?);\n            let taken = self.queue.take_those(self.place, &self.found, most)?;",
        caught_by: &[tests("queue", &["redriven::redriving_did_not"])],
    },
    Bug {
        name: "letters-that-were-passed-over-are-handed-out-in-part",
        file: "src/share/dead_letters.rs",
        good: "while letters.len() < most {",
        bad: "while letters.is_empty() && most > 0 {",
        caught_by: &[tests("queue", &["redriven::redriving_did_not"])],
    },
    Bug {
        name: "an-erasure-is-silent-on-letters-that-could-not-be-opened",
        file: "src/share/erasure.rs",
        good: "outcomes.chain(not_opened.into_iter().map(Err)).collect()",
        bad: "outcomes.chain(not_opened.into_iter().map(Err).take(0)).collect()",
        caught_by: &[tests("queue", &["erased::an_erasure"])],
    },
    Bug {
        name: "an-erasure-ends-where-the-schedule-fails",
        file: "src/share/erasure.rs",
        good: "let of_held = holds.take_out(&topic, &|other| other == key);",
        bad: "let of_held = Ok::<_, Error>(holds.take_out(&topic, &|other| other == key)?);",
        caught_by: &[tests("queue", &["erased::a_step"])],
    },
    Bug {
        name: "a-cancel-ends-at-the-first-step-that-fails",
        file: "src/share/holds.rs",
        good: "let outcomes: Vec<_> =\n            steps.all.iter().map(|step| self.take_out_of_step(&steps.groups, step, wanted)).collect();",
        bad: "let mut outcomes = Vec::new();\n        for step in &steps.all {\n            outcomes.push(Ok::<_, Error>(self.take_out_of_step(&steps.groups, step, wanted)?));\n        }",
        caught_by: &[tests("queue", &["erased::a_step"])],
    },
    Bug {
        name: "letters-of-forgotten-groups-are-not-erased",
        file: "src/share/erasure.rs",
        good: "may_be_own(letters.name(), topic.name()) || has_some(letters.id())",
        bad: "has_some(letters.id())",
        caught_by: &[tests("queue", &["letters_of_names::"])],
    },
];
