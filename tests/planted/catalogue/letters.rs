//! Whose dead letters are whose.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "letters-of-a-forgotten-group-are-in-no-list",
        file: "src/share/forgetting.rs",
        good: "self.note_left_letters(group)?;",
        bad: "drop(self.note_left_letters(\"\"));",
        caught_by: &[tests("queue", &["letters_in_a_chosen_topic_are_erased"])],
    },
    Bug {
        name: "the-note-of-letters-of-forgotten-groups-is-a-queue",
        file: "src/share/queues.rs",
        good: "if is_of_left_letters(&slot.name.owner) {",
        bad: "if is_of_left_letters(&slot.name.owner) && !is_of_left_letters(&slot.name.owner) {",
        caught_by: &[tests("queue", &["letters_in_a_chosen_topic_are_erased"])],
    },
    Bug {
        name: "a-message-comes-back-beside-its-letter-after-a-panic",
        file: "src/share/burying.rs",
        good: "Some(Outcome::Unknown) => self.inner.set_aside(&[self.batch]),",
        bad: "Some(Outcome::Unknown) => {}",
        caught_by: &[tests("queue", &["panics::a_message_came_back"])],
    },
    Bug {
        name: "a-panic-leaves-out-the-answers-to-other-partitions",
        file: "src/share/message.rs",
        good: "in_drop_each(self.answered(), |(of, offsets)| {\n            let answered",
        bad: "self.answered().into_iter().for_each(|(of, offsets)| {\n            let answered",
        caught_by: &[tests("queue", &["panics::messages_answered"])],
    },
    Bug {
        name: "a-panic-leaves-out-the-releases-behind-a-letter",
        file: "src/share/answers.rs",
        good: "in_drop_each(offsets, |offset| {",
        bad: "offsets.iter().for_each(|offset| {",
        caught_by: &[tests("queue", &["panics::messages_given_up"])],
    },
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
        good: "Ok(topic) => topic.id() != id,",
        bad: "Ok(topic) => topic.id() != id && id == 0,",
        caught_by: &[tests("queue", &["letters_left::"])],
    },
    Bug {
        name: "redriving-stops-at-letters-of-deleted-topics",
        file: "src/share/dead_letters.rs",
        good: "if letter.is_of_deleted_topic() {",
        bad: "if letter.is_of_deleted_topic() && most == 0 {",
        caught_by: &[tests("queue", &["letters_of_names::"])],
    },
    Bug {
        name: "letters-of-deleted-topics-come-again-while-others-are-sent-back",
        file: "src/share/dead_letters.rs",
        good: "is_any_new |= passed.insert(place, letter.into_lock()).is_none();",
        bad: "is_any_new |= passed.insert(place, ()).is_none();",
        caught_by: &[tests("queue", &["letters_of_names::"])],
    },
    Bug {
        name: "letters-of-forgotten-groups-are-not-erased",
        file: "src/share/erasure.rs",
        good: "may_be_own(letters.name(), topic.name()) || self",
        bad: "self",
        caught_by: &[tests("queue", &["letters_of_names::"])],
    },
];
