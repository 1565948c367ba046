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
