//! The ids of messages.

use super::*;

const ANSWERS: Tests = tests("queue", &["answers::"]);
const DONE: Tests = tests("queue", &["done::"]);
const ENQUEUE: Tests = tests("queue", &["enqueue::"]);
const LETTERS: Tests = tests("queue", &["letters::"]);
const LIFE: Tests = tests("queue", &["life::"]);
const LATER: Tests = tests("queue", &["later::"]);
const ORDER: Tests = tests("queue", &["order::"]);
const POWER: Tests = tests("queue", &["power::"]);
const MODEL: Tests = tests("queue", &["model::"]);
const STATES: Tests = tests("lib", &["share::"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "ids-of-a-poisoned-partition-hold-up-others",
        file: "src/share/id_log.rs",
        good: "failed.insert(number, log.explain(error));",
        bad: "return Err(log.explain(error));",
        caught_by: &[tests("queue", &["ids_kept::a_partition", "ids_kept::ids_behind"])],
    },
    Bug {
        name: "ids-written-tell-what-a-producer-has-lost",
        file: "src/share/id_log.rs",
        good: "log.flush_for_others()",
        bad: "log.flush()",
        caught_by: &[tests("queue", &["ids_kept::a_record_lost"])],
    },
    Bug {
        name: "retention-ends-where-ids-cannot-be-read",
        file: "src/share/id_log.rs",
        good: "Err(error) if self.is_broken(&error) => return",
        bad: "Err(error) if self.is_broken(&error) && false => return",
        caught_by: &[tests("queue", &["ids_kept::retention_goes_on"])],
    },
    Bug {
        name: "full-partition-drops-records-before-their-ids-are-written",
        file: "src/log/write/size_limit.rs",
        good: "self.before_removal()?;",
        bad: "self.need_only_from(crate::types::Offset::MAX);",
        caught_by: &[tests("queue", &["ids_kept::ids_outlive_records_that_a_full"])],
    },
    Bug {
        name: "retention-takes-records-whose-ids-came-after-it-asked",
        file: "src/log/retain/removal.rs",
        good: "self.finished().min(self.needed_from())",
        bad: "self.finished()",
        caught_by: &[tests("queue", &["ids_kept::no_record_goes"])],
    },
    Bug {
        name: "compaction-takes-records-whose-ids-came-after-it-asked",
        file: "src/log/compaction/compact.rs",
        good: ".min(self.needed_from());",
        bad: ";",
        caught_by: &[tests("queue", &["ids_kept::no_record_goes"])],
    },
    Bug {
        name: "id-that-was-forgotten-comes-back-as-the-newest-in-another-partition",
        file: "src/share/id_ring.rs",
        good: "self.passed.insert(oldest.partition.number(), oldest);",
        bad: "drop(oldest);",
        caught_by: &[tests("queue", &["ids::the_last_ids"])],
    },
    Bug {
        name: "wider-window-takes-what-it-finds-for-newer-than-what-is-not-written",
        file: "src/share/id_log.rs",
        good: "ring.push_first(missing.into_iter().map(Pending::of));",
        bad: "missing.into_iter().map(Pending::of).for_each(|one| ring.push(one));",
        caught_by: &[tests("queue", &["ids::a_wider_window_in"])],
    },
    Bug {
        name: "ids-that-were-one-too-many-come-back-as-the-newest",
        file: "src/share/id_log.rs",
        good: "entries.extend(mark_entries(topic, &marks));",
        bad: "",
        caught_by: &[tests("queue", &["enqueue::the_last_ids"])],
    },
    Bug {
        name: "ids-looked-for-from-the-time-of-the-last-written-one",
        file: "src/share/id_log.rs",
        good: "let begins = wanted.begins(now).max(0);",
        bad: "let begins = ring.written.back().map_or(0, |(at, _)| *at);",
        caught_by: &[tests("queue", &["ids::ids_are_refused"])],
    },
    Bug {
        name: "wider-window-forgets-what-the-narrow-one-had-no-room-for",
        file: "src/share/id_log.rs",
        good: "if !before.is_empty() {",
        bad: "if before.len() > 1 << 40 {",
        caught_by: &[tests("queue", &["ids::a_wider_window"])],
    },
    Bug {
        name: "letter-sent-back-counts-as-a-sending-of-its-id",
        file: "src/share/ids.rs",
        good: "!was_sent_back(record)",
        bad: "!was_sent_back(record) || true",
        caught_by: &[tests("queue", &["ids::a_letter_that_was_sent_back_is_no"])],
    },
    Bug {
        name: "id-for-later-not-written-with-its-record",
        file: "src/share/once_later.rs",
        good: "(self.queues.ids.partition()?, self.entries.clone())",
        bad: "(self.queues.ids.partition()?, Vec::new())",
        caught_by: &[tests("queue", &["once_later::"])],
    },
    Bug {
        name: "ids-for-later-written-before-those-sent-earlier",
        file: "src/share/id_log.rs",
        good: "self.write_pending(&mut ring, (topic, sent.0))?;",
        bad: "",
        caught_by: &[tests("queue", &["once_later::the_last_ids"])],
    },
    Bug {
        name: "what-a-call-takes-out-takes-its-ids-along",
        file: "src/log/producers/clearing.rs",
        good: "self.outliving.get().and_then(Weak::upgrade)",
        bad: "self.outliving.get().filter(|_| false).and_then(Weak::upgrade)",
        caught_by: &[tests("queue", &["ids::ids_outlive"])],
    },
    Bug {
        name: "id-forgotten-with-its-record",
        file: "src/share/id_log.rs",
        good: "let failed = self.write_pending(ring, (topic.id(), now))?;",
        bad: "let failed = Failed::new();",
        caught_by: &[ENQUEUE],
    },
    Bug {
        name: "id-kept-whose-record-is-lost",
        file: "src/share/id_ring.rs",
        good: "self.partition.durable() > self.offset",
        bad: "self.partition.durable() > self.offset || true",
        caught_by: &[ENQUEUE],
    },
    Bug {
        name: "ids-forgotten-over-a-restart",
        file: "src/share/ids.rs",
        good: "for (at, id) in found {",
        bad: "for (at, id) in found.into_iter().take(0) {",
        caught_by: &[tests("queue", &["enqueue::"])],
    },
    Bug {
        name: "ids-behind-an-open-transaction-forgotten",
        file: "src/share/ids.rs",
        good: "partition.walk(from..Offset::MAX)?.with_undecided();",
        bad: "partition.walk(from..Offset::MAX)?;",
        caught_by: &[tests("queue", &["undecided::"])],
    },
];
