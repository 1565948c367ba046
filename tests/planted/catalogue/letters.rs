//! Whose dead letters are whose.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "letters-of-other-topics-handed-out",
        file: "src/share/letter.rs",
        good: "says(TOPIC_HEADER, &of.topic) && says(GROUP_HEADER, group)",
        bad: "(says(TOPIC_HEADER, &of.topic) || true) && says(GROUP_HEADER, group)",
        caught_by: &[tests("queue", &["letters::"])],
    },
    Bug {
        name: "letters-of-a-deleted-topic-are-those-of-its-namesake",
        file: "src/share/letter.rs",
        good: "id.unwrap_or_default() == of.id",
        bad: "(id.is_some() || of.id.is_none())",
        caught_by: &[tests("queue", &["letters_left::"])],
    },
    Bug {
        name: "letters-of-a-deleted-topic-sent-into-its-namesake",
        file: "src/share/dead_letters.rs",
        good: "letter.topic_id.is_some_and(|id| id != topic.id())",
        bad: "letter.topic_id.is_some_and(|id| id != topic.id() && id == 0)",
        caught_by: &[tests("queue", &["letters_left::"])],
    },
    Bug {
        name: "letters-of-a-deleted-topic-cannot-be-found",
        file: "src/share/dead_letters.rs",
        good: "if own.is_some() && whose == Whose::Own {",
        bad: "if own.is_some() {",
        caught_by: &[tests("queue", &["letters_left::"])],
    },
];
