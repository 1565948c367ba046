//! Figures and events.

use super::*;

const FIGURES: Tests = tests("interface", &["figures::"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "time-of-the-first-record-read-with-each-look",
        file: "src/log/stats.rs",
        good: "Some(known).filter(|_| is_current);",
        bad: "Some(known).filter(|_| !is_current);",
        caught_by: &[tests("interface", &["figures::figures_that"])],
    },
    Bug {
        name: "a-deleted-topic-takes-its-counts-along",
        file: "src/log/log.rs",
        good: "self.figures.add_gone(std::mem::take(&mut writer.appended));",
        bad: "writer.appended = Default::default();",
        caught_by: &[FIGURES],
    },
    Bug {
        name: "a-class-of-lengths-ends-too-early",
        file: "src/figures/histogram.rs",
        good: "(quarter * (STEPS + step + 1)) << power",
        bad: "(quarter * (STEPS + step)) << power",
        caught_by: &[tests("lib", &["figures::"])],
    },
    Bug {
        name: "nobody-is-woken-to-tell-of-an-event",
        file: "src/figures/event.rs",
        good: "let is_first = waiting.len() == 1;",
        bad: "let is_first = false;",
        caught_by: &[FIGURES],
    },
    Bug {
        name: "a-partition-is-poisoned-each-time-it-is-asked",
        file: "src/log/poison.rs",
        good: "if is_first {",
        bad: "if is_first || cfg!(unix) {",
        caught_by: &[FIGURES],
    },
    Bug {
        name: "writes-that-came-too-late-counted-as-failures",
        file: "src/log/write/writer.rs",
        good: "        if was_tried(error) {",
        bad: "        if was_tried(error) || self.end() >= 0 {",
        caught_by: &[tests("interface", &["deletions_beside_senders"])],
    },
    Bug {
        name: "a-position-beyond-an-end-stops-the-whole-commit",
        file: "src/group/commit.rs",
        good: "Err(beyond) if kind != CommitKind::Given => {",
        bad: "Err(beyond) if kind != CommitKind::Given && offset < 0 => {",
        caught_by: &[tests("interface", &["one_partition_sought_beyond"])],
    },
];
